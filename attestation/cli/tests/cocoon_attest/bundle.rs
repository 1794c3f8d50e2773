//! `verify --evidence`, `bundle create` and `verify --bundle`: whatever holds everything, the verdict is the same.

use attestation::Evidence;

use crate::{
    harness::{Files, NOW_S, Said, shipped, simulated, text},
    world::Worker,
};
use simulator::CollateralOptions;

/// A worker's collection with everything that a verdict on it wants.
struct Case {
    worker: Worker,
    files: Files,
}

impl Case {
    fn new() -> Self {
        let worker = Worker::new();
        let files = Files::new();
        let platform = &worker.platform;
        files.write("policy.toml", platform.policy_toml());
        let collateral = platform.collateral_json(&CollateralOptions::at(NOW_S));
        files.write("collateral.json", collateral);
        files.write("evidence.cbor", worker.evidence().encode().unwrap());
        let binding = serde_json::to_vec(&worker.binding).unwrap();
        files.write("binding.json", binding);
        let record = serde_json::to_vec(&worker.record(&worker.evidence())).unwrap();
        files.write("record.json", record);
        Self { worker, files }
    }

    /// Runs with each word that names a file of ours replaced by its path.
    fn run(&self, line: &str) -> Said {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| {
                let is_file = word.contains('.') && !word.starts_with('-');
                if is_file {
                    text(&self.files.path(word)).to_owned()
                } else {
                    word.to_owned()
                }
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        simulated(&self.worker.platform, &words)
    }
}

/// Collateral, policy and time, at `NOW_S`.
const REST: &str = "--collateral collateral.json --policy policy.toml --time 1790000000";

#[test]
fn a_collection_is_appraised_over_its_connection() {
    let case = Case::new();
    let said = case.run(&format!(
        "verify --evidence evidence.cbor --binding binding.json {REST}"
    ));
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.contains("PASS  report data"), "{}", said.output);
    assert!(said.output.contains("PASS  claims "), "{}", said.output);
}

#[test]
fn without_its_connection_nothing_but_the_quote_is_judged_and_the_verdict_says_so() {
    let case = Case::new();
    let line = format!("verify --evidence evidence.cbor {REST}");
    let said = case.run(&line);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.contains("SKIP  report data"), "{}", said.output);
    assert!(said.output.contains("SKIP  claims"), "{}", said.output);
    assert!(
        said.output.contains("no connection was given"),
        "{}",
        said.output
    );
    assert_eq!(
        case.run(&format!("{line} --json")).json()["verdict"],
        "accepted"
    );
}

/// The registers tie a log to its quote, whoever the connection was with.
#[test]
fn without_its_connection_a_log_is_replayed_all_the_same() {
    let case = Case::new();
    let policy = case.worker.platform.policy_toml();
    let demanding = policy.replace("event_log = \"not-required\"", "event_log = \"required\"");
    case.files.write("policy.toml", demanding);
    let line = format!("verify --json --evidence evidence.cbor {REST}");
    assert_eq!(case.run(&line).json()["code"], "E517");
    let mut evidence = case.worker.evidence();
    evidence.event_log = Some(case.worker.platform.event_log().encode().unwrap());
    case.files
        .write("evidence.cbor", evidence.encode().unwrap());
    let said = case.run(&line);
    assert_eq!(said.exit, 0, "{said:?}");
    let shown = case.run("inspect --json evidence.cbor").json();
    assert!(shown["event_log"]["run_time_events"].is_u64(), "{shown}");
}

#[test]
fn evidence_of_another_connection_is_refused() {
    let case = Case::new();
    let mut binding = case.worker.binding.clone();
    binding.exported = [9; 32];
    case.files
        .write("binding.json", serde_json::to_vec(&binding).unwrap());
    let said = case.run(&format!(
        "verify --json --evidence evidence.cbor --binding binding.json {REST}"
    ));
    assert_eq!(said.exit, 2, "{said:?}");
    assert_eq!(said.json()["code"], "E206");
}

#[test]
fn the_facts_may_stand_beside_others() {
    let case = Case::new();
    let binding = serde_json::json!({ "binding": case.worker.binding, "claims": "" });
    case.files.write("binding.json", binding.to_string());
    let said = case.run(&format!(
        "verify --evidence evidence.cbor --binding binding.json {REST}"
    ));
    assert_eq!(said.exit, 0, "{said:?}");
    case.files.write("binding.json", "{}");
    let said = case.run(&format!(
        "verify --evidence evidence.cbor --binding binding.json {REST}"
    ));
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(
        said.errors.contains("report-data --help"),
        "{}",
        said.errors
    );
}

#[test]
fn a_bundle_gives_the_verdict_of_what_it_was_made_of() {
    let case = Case::new();
    case.files.write("quote.bin", &case.worker.evidence().quote);
    for (name, made_of) in [
        (
            "evidence",
            format!("--evidence evidence.cbor --binding binding.json {REST}"),
        ),
        ("unbound", format!("--evidence evidence.cbor {REST}")),
        ("quote", format!("--quote quote.bin {REST}")),
        ("record", "--record record.json".to_owned()),
    ] {
        let created = case.run(&format!(
            "bundle create {made_of} --output {name}.bundle.json"
        ));
        assert_eq!(created.exit, 0, "{name}: {created:?}");
        assert!(created.errors.contains("verify --bundle"), "{created:?}");
        let bundle = std::fs::read(case.files.path(&format!("{name}.bundle.json"))).unwrap();
        crate::harness::conforms(&serde_json::from_slice(&bundle).unwrap());
        let direct = case.run(&format!("verify --json {made_of}")).json();
        let said = case.run(&format!("verify --json --bundle {name}.bundle.json"));
        assert_eq!(said.exit, 0, "{name}: {said:?}");
        assert_eq!(said.json()["transcript"], direct["transcript"], "{name}");
        let notes = said.json()["notes"].to_string();
        assert!(notes.contains("its author's word"), "{notes}");
        let inspected = case.run(&format!("inspect --json {name}.bundle.json"));
        assert_eq!(inspected.exit, 0, "{name}: {inspected:?}");
        assert_eq!(inspected.json()["kind"], "bundle", "{name}");
    }
}

#[test]
fn what_is_named_beside_a_bundle_takes_its_place() {
    let case = Case::new();
    case.run("bundle create --record record.json --output bundle.json");
    let later = case.run("verify --json --bundle bundle.json --time 2030-01-01T00:00:00Z");
    assert_eq!(later.exit, 2, "{later:?}");
    let policy = case.worker.platform.policy_toml();
    case.files.write(
        "strict.toml",
        policy.replace("\"UpToDate\"", "\"SWHardeningNeeded\""),
    );
    let strict = case.run("verify --json --bundle bundle.json --policy strict.toml");
    assert_eq!(strict.exit, 2, "{strict:?}");
    assert_eq!(strict.json()["code"], "E401");
}

#[test]
fn the_shipped_binary_refuses_a_bundle_of_another_root() {
    let case = Case::new();
    case.run("bundle create --record record.json --output bundle.json");
    let said = shipped(&[
        "verify",
        "--json",
        "--bundle",
        text(&case.files.path("bundle.json")),
    ]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert_eq!(said.json()["simulated"], false);
}

#[test]
fn a_bundle_is_not_overwritten_and_can_go_to_standard_output() {
    let case = Case::new();
    let line = "bundle create --record record.json --output bundle.json";
    assert_eq!(
        case.run(&format!("{line} --json")).json()["bundle"]["file"].as_str(),
        case.files.path("bundle.json").to_str()
    );
    let again = case.run(line);
    assert_eq!(again.exit, 1, "{again:?}");
    assert!(again.errors.contains("exists already"), "{}", again.errors);
    let printed = case.run("bundle create --record record.json --output -");
    let file = std::fs::read_to_string(case.files.path("bundle.json")).unwrap();
    assert_eq!(printed.output, file);
}

#[test]
fn what_is_no_bundle_is_an_error_that_names_the_file() {
    let case = Case::new();
    case.run("bundle create --record record.json --output bundle.json");
    let good = std::fs::read_to_string(case.files.path("bundle.json")).unwrap();
    for (bad, words) in [
        ("{}".to_owned(), "no bundle"),
        ("[".to_owned(), "not JSON"),
        (good.replace("bundle/1", "bundle/2"), "bundle/2"),
        (good.replace("\"time_s\"", "\"time\""), "time"),
        (good.replace("schema = 1", "schema = 3"), "its own policy"),
    ] {
        case.files.write("bad.json", &bad);
        let said = case.run("verify --json --bundle bad.json");
        assert_eq!(said.exit, 1, "{words}: {said:?}");
        assert!(said.errors.contains(words), "{words}: {}", said.errors);
        assert_eq!(said.json()["schema"], "cocoon-attest/error/1");
    }
}

#[test]
fn what_does_not_belong_together_is_bad_usage() {
    let case = Case::new();
    for line in [
        format!("verify --evidence evidence.cbor --report-data 00 {REST}"),
        format!("verify --quote evidence.cbor --binding binding.json {REST}"),
        format!("verify --quote evidence.cbor --evidence evidence.cbor {REST}"),
        "verify --evidence evidence.cbor".to_owned(),
        "bundle create --quote evidence.cbor --output bundle.json".to_owned(),
    ] {
        assert_eq!(case.run(&line).exit, 1, "{line}");
    }
    let nonsense = case.run(&format!("verify --evidence record.json {REST}"));
    assert_eq!(nonsense.exit, 1, "{nonsense:?}");
    case.files
        .write("cut.cbor", &case.worker.evidence().encode().unwrap()[..100]);
    let cut = case.run(&format!("verify --evidence cut.cbor {REST}"));
    assert_eq!(cut.exit, 1);
    assert!(
        cut.errors.contains("cut.cbor is no CMW collection"),
        "{}",
        cut.errors
    );
    assert!(Evidence::decode(b"").is_err());
}
