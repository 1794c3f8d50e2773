//! `verify`: quotes and records, under the simulator's root and under Intel's.

use attestation::TcbStatus;
use simulator::{CollateralOptions, QuoteVersion, SimulatedPlatform, TdOptions};

use crate::{
    harness::{Files, NOW_S, Said, shipped, simulated, text},
    world::Worker,
};

/// Files of one quote with its collateral and policy.
struct Case {
    platform: SimulatedPlatform,
    files: Files,
    time: String,
}

impl Case {
    fn new() -> Self {
        let case = Self {
            platform: SimulatedPlatform::from_seed(7),
            files: Files::new(),
            time: NOW_S.to_string(),
        };
        case.files.write("policy.toml", case.platform.policy_toml());
        case.quote(|_| {});
        case.collateral(|_| {});
        case
    }

    fn quote(&self, change: impl FnOnce(&mut TdOptions)) {
        let mut td = self.platform.td();
        change(&mut td);
        let quote = self.platform.quote(QuoteVersion::V5, &td, &[0x42; 64]);
        self.files.write("quote.bin", quote);
    }

    fn collateral(&self, change: impl FnOnce(&mut CollateralOptions)) {
        let mut options = CollateralOptions::at(NOW_S);
        change(&mut options);
        self.files
            .write("collateral.json", self.platform.collateral_json(&options));
    }

    fn run(&self, run: impl FnOnce(&[&str]) -> Said, more: &[&str]) -> Said {
        let paths =
            ["quote.bin", "collateral.json", "policy.toml"].map(|name| self.files.path(name));
        let [quote, collateral, policy] = paths.each_ref().map(|path| text(path));
        let arguments = [
            "verify",
            "--quote",
            quote,
            "--collateral",
            collateral,
            "--policy",
            policy,
            "--time",
            &self.time,
        ];
        run(&[&arguments[..], more].concat())
    }

    fn simulated(&self, more: &[&str]) -> Said {
        self.run(|arguments| simulated(&self.platform, arguments), more)
    }

    fn json(&self) -> serde_json::Value {
        self.simulated(&["--json"]).json()
    }
}

#[test]
fn a_good_quote_is_accepted_loudly_under_the_simulators_root() {
    let said = Case::new().simulated(&["--report-data", &"42".repeat(64)]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.starts_with("SIMULATED: "), "{}", said.output);
    assert!(
        said.output.lines().next().unwrap().contains("not Intel"),
        "{}",
        said.output
    );
    assert!(
        said.output.contains("\nACCEPTED under NOT INTEL: "),
        "{}",
        said.output
    );
    assert!(said.output.contains("PASS  report data"), "{}", said.output);
}

#[test]
fn the_shipped_binary_refuses_whatever_the_simulator_signs() {
    let case = Case::new();
    let said = case.run(shipped, &[]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(!said.output.contains("SIMULATED:"), "{}", said.output);
    assert!(said.output.contains("\nREFUSED E"), "{}", said.output);
    // Nothing is to be mended in it: it is of another hierarchy, and says so itself.
    assert!(
        said.output.contains("Why: the collateral says"),
        "{}",
        said.output
    );
    assert!(!said.output.contains("What to do: "), "{}", said.output);
    let json = case.run(shipped, &["--json"]).json();
    let foreign = json["foreign_root"].as_str().unwrap();
    assert!(foreign.contains("SIMULATED - not Intel"), "{foreign}");
    assert_eq!(json["verdict"], "refused");
    assert_eq!(json["simulated"], false);
    assert_eq!(json["trust_anchor"], "Intel SGX Root CA");
    assert_eq!(
        json["failed_step"],
        "signatures, certificates and collateral"
    );
}

#[test]
fn json_has_a_stable_shape() {
    let json = Case::new().json();
    let members: Vec<_> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members,
        [
            "schema",
            "verdict",
            "trust_anchor",
            "simulated",
            "foreign_root",
            "failed_step",
            "code",
            "remedy",
            "subject",
            "checks",
            "transcript",
            "notes",
        ]
    );
    assert_eq!(json["schema"], "cocoon-attest/verify/1");
    assert_eq!(json["verdict"], "accepted");
    assert_eq!(json["simulated"], true);
    assert!(json["foreign_root"].is_null());
    assert!(json["code"].is_null());
}

#[test]
fn without_report_data_the_verdict_says_what_was_not_judged() {
    let said = Case::new().simulated(&[]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.contains("SKIP  report data"), "{}", said.output);
    assert!(said.output.contains("was not judged"), "{}", said.output);
}

/// A log never travels in a quote: that a policy demands one is no reason to refuse a quote alone.
#[test]
fn a_log_that_the_policy_demands_is_not_looked_for_in_a_quote() {
    let case = Case::new();
    let policy = case.platform.policy_toml();
    let demanding = policy.replace("event_log = \"not-required\"", "event_log = \"required\"");
    assert!(demanding.contains("event_log = \"required\""));
    case.files.write("policy.toml", demanding);
    let said = case.simulated(&[]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.contains("SKIP  event log"), "{}", said.output);
}

#[test]
fn each_fault_is_refused_with_its_own_code() {
    let refused = |code: &str, change: fn(&mut Case)| {
        let mut case = Case::new();
        change(&mut case);
        let said = case.simulated(&["--json"]);
        assert_eq!(said.exit, 2, "{code}: {said:?}");
        assert_eq!(said.json()["code"], code, "{}", said.output);
        assert!(said.json()["remedy"].is_string(), "{code}");
    };
    refused("E501", |case| case.quote(|td| td.debug = true));
    refused("E503", |case| case.quote(|td| td.migratable = true));
    refused("E506", |case| case.quote(|td| td.mr_service_td = [1; 48]));
    refused("E508", |case| case.quote(|td| td.xfam = [0xff; 8]));
    refused("E509", |case| case.quote(|td| td.mr_config_id = [1; 48]));
    refused("E513", |case| case.quote(|td| td.mr_seam = [1; 48]));
    refused("E514", |case| case.quote(|td| td.mrtd = [1; 48]));
    refused("E515", |case| case.quote(|td| td.rtmrs[2] = [1; 48]));
    refused("E516", |case| case.quote(|td| td.rtmrs[3] = [1; 48]));
    refused("E401", |case| {
        case.collateral(|options| options.tcb_status = TcbStatus::OutOfDate);
    });
    refused("E402", |case| {
        case.collateral(|options| options.tcb_status = TcbStatus::Revoked);
    });
    refused("E405", |case| {
        case.collateral(|options| options.pce_id = [1, 0]);
    });
    refused("E408", |case| {
        case.collateral(|options| options.evaluation_number = 16);
    });
    refused("E309", |case| {
        case.collateral(|options| options.revoke_pck = true);
    });
    refused("E904", |case| case.time = (NOW_S + 31 * 86_400).to_string());
    refused("E905", |case| case.time = "2026-09-21T00:00:00Z".to_owned());
}

/// A reader of files has no gateway whose refresh could have failed.
#[test]
fn out_of_date_collateral_names_the_times_that_it_is_for() {
    let mut case = Case::new();
    case.time = (NOW_S + 31 * 86_400).to_string();
    let said = case.simulated(&[]);
    assert!(
        said.output.contains("REFUSED E904 at step \"collateral in date\": the TCB info was due for an update at 2026-10-21T14:13:20Z, before 2026-10-22T14:13:20Z\n"),
        "{}",
        said.output
    );
    let remedy =
        "Verify at a time from 2026-09-21T13:13:20Z until 2026-10-21T14:13:20Z with --time";
    assert!(said.output.contains(remedy), "{}", said.output);
    assert!(said.output.contains("SKIP  not reached"), "{}", said.output);
    let remedied = case.json()["remedy"].as_str().unwrap().to_owned();
    assert!(remedied.starts_with(remedy), "{remedied}");
}

#[test]
fn all_that_failed_is_counted() {
    let case = Case::new();
    case.quote(|td| td.rtmrs[2] = [1; 48]);
    let one = case.simulated(&[]).output;
    assert!(one.contains("REFUSED E515 at step \"release\": "), "{one}");
    case.quote(|td| td.rtmrs = [[1; 48]; 4]);
    let several = case.simulated(&[]).output;
    assert!(several.contains("\" (and 2 more): "), "{several}");
}

#[test]
fn wrong_report_data_is_refused() {
    let said = Case::new().simulated(&["--json", "--report-data", &"43".repeat(64)]);
    assert_eq!(said.exit, 2);
    assert_eq!(said.json()["code"], "E206");
    let short = Case::new().simulated(&["--report-data", "43"]);
    assert_eq!(
        short.exit, 1,
        "a mistake in the command line is no finding: {short:?}"
    );
}

#[test]
fn a_record_is_appraised_again_with_nothing_beside_it() {
    let worker = Worker::new();
    let record = worker.record(&worker.evidence());
    let files = Files::new();
    let path = files.write("record.json", serde_json::to_vec(&record).unwrap());
    let said = simulated(&worker.platform, &["verify", "--record", text(&path)]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.contains("PASS  report data"), "{}", said.output);
    assert!(said.output.contains("gateway's word"), "{}", said.output);
    let later = simulated(
        &worker.platform,
        &[
            "verify",
            "--record",
            text(&path),
            "--time",
            "2030-01-01T00:00:00Z",
        ],
    );
    assert_eq!(later.exit, 2, "{later:?}");
}

#[test]
fn a_record_whose_evidence_was_exchanged_is_refused() {
    let worker = Worker::new();
    let mut evidence = worker.evidence();
    let mut claims = worker.claims.clone();
    claims.worker_id = "worker-2".into();
    evidence.claims = claims.encode().unwrap();
    let files = Files::new();
    let record = serde_json::to_vec(&worker.record(&evidence)).unwrap();
    let path = files.write("record.json", record);
    let said = simulated(
        &worker.platform,
        &["verify", "--json", "--record", text(&path)],
    );
    assert_eq!(said.exit, 2);
    assert_eq!(said.json()["code"], "E206");
}

/// Which of several files is meant, its error says.
#[test]
fn a_file_that_cannot_be_used_is_named() {
    for (contents, words) in [
        ("", "quote.bin: the quote is empty"),
        ("no quote!", "quote.bin: the quote is text, but"),
    ] {
        let case = Case::new();
        case.files.write("quote.bin", contents);
        let said = case.simulated(&[]);
        assert_eq!(said.exit, 1, "{said:?}");
        assert!(said.errors.contains(words), "{words}: {said:?}");
    }
}

#[test]
fn files_that_are_not_what_they_should_be_are_errors() {
    for name in ["collateral.json", "policy.toml"] {
        let case = Case::new();
        case.files.write(name, "{}");
        let said = case.simulated(&[]);
        assert_eq!(said.exit, 1, "{name}: {said:?}");
        assert!(said.errors.contains(name), "{}", said.errors);
    }
}
