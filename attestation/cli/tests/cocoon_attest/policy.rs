//! `policy lint`, `policy diff`, `policy simulate`.

use serde_json::Value;
use simulator::SimulatedPlatform;

use crate::{
    harness::{Files, Said, shipped, simulated, text},
    world::Worker,
};

fn good() -> String {
    SimulatedPlatform::from_seed(7).policy_toml()
}

fn lint(policy: &str, more: &[&str]) -> Said {
    let files = Files::new();
    let path = files.write("policy.toml", policy);
    shipped(&[&["policy", "lint", text(&path)][..], more].concat())
}

fn paths(remarks: &Value) -> Vec<&str> {
    let remarks = remarks.as_array().unwrap().iter();
    remarks
        .map(|remark| remark["path"].as_str().unwrap())
        .collect()
}

#[test]
fn every_mistake_is_found_with_its_path() {
    let bad = good()
        .replace("schema = 1", "schema = 2\nunheard_of = 1")
        .replace("grace_hours = ", "grace_hours = 9999 #");
    let said = lint(&bad, &["--json"]);
    assert_eq!(said.exit, 2, "{said:?}");
    let json = said.json();
    assert_eq!(json["sound"], false);
    assert_eq!(
        paths(&json["mistakes"]),
        ["schema", "collateral.grace_hours", "unheard_of"]
    );
    let text = lint(&bad, &[]);
    assert!(text.output.contains("mistake  schema: "), "{}", text.output);
    assert!(
        text.output.ends_with("3 mistakes, 0 warnings\n"),
        "{}",
        text.output
    );
}

#[test]
fn what_is_no_toml_is_one_mistake_of_the_whole_file() {
    let said = lint("= 1", &["--json"]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert_eq!(paths(&said.json()["mistakes"]), [""]);
    let said = lint(&good().replace("[tcb]", "[tcb"), &[]);
    let words = "mistake  policy: the appraisal policy is not TOML: line 4, column 5: ";
    assert!(said.output.contains(words), "{}", said.output);
    assert!(!said.output.contains("\\u{a}"), "{}", said.output);
    assert!(said.output.ends_with("1 mistake, 0 warnings\n"), "{said:?}");
    assert_eq!(shipped(&["policy", "lint", "/nonexistent"]).exit, 1);
}

#[test]
fn what_is_left_to_fill_in_is_a_mistake() {
    let template = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../packaging/config/appraisal-policy.toml"
    ))
    .unwrap();
    let said = lint(&template, &["--json"]);
    assert_eq!(said.exit, 2, "{said:?}");
    let json = said.json();
    assert!(
        paths(&json["mistakes"]).contains(&"td.xfam_required"),
        "{json}"
    );
    let texts = json["mistakes"].to_string();
    assert!(texts.contains("still to be filled in"), "{texts}");
}

/// Each rule that is wide open, by what makes it so.
#[test]
fn what_is_wide_open_is_a_warning() {
    for (from, to, path) in [
        (
            "evaluation_data_number_min = 17",
            "evaluation_data_number_min = 0",
            "tcb.evaluation_data_number_min",
        ),
        (
            "\"UpToDate\"",
            "\"UpToDate\", \"OutOfDate\"",
            "tcb.statuses_allowed",
        ),
        ("grace_days = 0", "grace_days = 91", "tcb.grace_days"),
        (
            "grace_hours = 0",
            "grace_hours = 25",
            "collateral.grace_hours",
        ),
        (
            "xfam_mask = \"ffffffffffffffff\"",
            "xfam_mask = \"fffffffffffffffe\"",
            "td.xfam",
        ),
    ] {
        let policy = good();
        assert!(policy.contains(from), "{from} is not in {policy}");
        let before = lint(&policy, &["--json"]).json();
        assert!(
            !paths(&before["warnings"]).contains(&path),
            "{path}: {before}"
        );
        let mut policy = policy.replace(from, to);
        if path == "td.xfam" {
            policy = policy.replace("xfam_required = \"e7", "xfam_required = \"e6");
        }
        let after = lint(&policy, &["--json"]).json();
        assert!(paths(&after["warnings"]).contains(&path), "{path}: {after}");
    }
    let json = lint(&good(), &["--json"]).json();
    for path in [
        "platforms.enrolled",
        "evidence.event_log",
        "tcb.advisories_denied",
    ] {
        let is_open = match path {
            "platforms.enrolled" => good().contains("enrolled = \"any\""),
            "evidence.event_log" => good().contains("event_log = \"not-required\""),
            _ => good().contains("advisories_denied = []"),
        };
        assert_eq!(
            paths(&json["warnings"]).contains(&path),
            is_open,
            "{path}: {json}"
        );
    }
}

/// Each rule that is well by itself and means nothing beside another.
#[test]
fn what_only_shows_beside_another_rule_is_a_warning() {
    let warned = |policy: &str, path: &str, words: &str| {
        let said = lint(policy, &[]);
        assert_eq!(said.exit, 0, "{said:?}");
        let line = format!("warning  {path}: {words}");
        assert!(said.output.contains(&line), "{line}: {}", said.output);
    };
    assert!(
        good().contains("statuses_in_grace = []\ngrace_days = 0"),
        "{}",
        good()
    );
    warned(
        &good().replace(
            "statuses_in_grace = []",
            "statuses_in_grace = [\"OutOfDate\"]",
        ),
        "tcb.statuses_in_grace",
        "never allowed",
    );
    warned(
        &good().replace("grace_days = 0", "grace_days = 1"),
        "tcb.grace_days",
        "nothing has this grace",
    );
    let (ppid, other) = ("a0".repeat(16), "b0".repeat(16));
    let listed = |revoked: &str| {
        let (before, after) = (
            good(),
            format!("[platforms]\nenrolled = [\"{ppid}\"]\nrevoked = [{revoked}]\n"),
        );
        let (head, tail) = before.split_once("[platforms]").unwrap();
        let (_, tail) = tail.split_once("[evidence]").unwrap();
        format!("{head}{after}[evidence]{tail}")
    };
    let both = format!("\"{other}\", \"{ppid}\"");
    warned(&listed(&both), "platforms.enrolled", "nothing is admitted");
    let one = lint(&listed(&format!("\"{other}\"")), &[]);
    assert!(!one.output.contains("nothing is admitted"), "{one:?}");
}

#[test]
fn warnings_are_findings_on_demand() {
    let open = good().replace(
        "evaluation_data_number_min = 17",
        "evaluation_data_number_min = 0",
    );
    assert_eq!(lint(&open, &[]).exit, 0);
    assert_eq!(lint(&open, &["--deny-warnings"]).exit, 2);
}

fn diff(old: &str, new: &str, more: &[&str]) -> Said {
    let files = Files::new();
    let (old, new) = (files.write("old.toml", old), files.write("new.toml", new));
    shipped(&[&["policy", "diff", text(&old), text(&new)][..], more].concat())
}

#[test]
fn a_comparison_is_of_meaning_and_not_of_text() {
    let comment = format!("# a comment\n{}", good());
    let same = diff(&good(), &comment, &["--json", "--deny-laxer"]);
    assert_eq!(same.exit, 0, "{same:?}");
    assert_eq!(same.json()["changes"].as_array().unwrap().len(), 0);

    let new = good()
        .replace(
            "evaluation_data_number_min = 17",
            "evaluation_data_number_min = 18",
        )
        .replace("\"UpToDate\"", "\"UpToDate\", \"OutOfDate\"");
    let said = diff(&good(), &new, &["--json"]);
    assert_eq!(said.exit, 0, "{said:?}");
    let json = said.json();
    assert_eq!(
        (&json["stricter"], &json["laxer"], &json["other"]),
        (&1.into(), &1.into(), &0.into())
    );
    let text = diff(&good(), &new, &[]);
    assert!(
        text.output
            .contains("stricter  tcb.evaluation_data_number_min"),
        "{}",
        text.output
    );
    assert!(
        text.output.contains("laxer     allows OutOfDate"),
        "{}",
        text.output
    );
}

#[test]
fn a_laxer_policy_is_a_finding_on_demand() {
    let new = good().replace("\"UpToDate\"", "\"UpToDate\", \"OutOfDate\"");
    assert_eq!(diff(&good(), &new, &["--deny-laxer"]).exit, 2);
    assert_eq!(diff(&new, &good(), &["--deny-laxer"]).exit, 0);
    // A profile that is called something else admits whom it did.
    let renamed = good().replacen("name = \"simulated\"", "name = \"another\"", 1);
    let said = diff(&good(), &renamed, &["--deny-laxer", "--json"]);
    assert_eq!(said.exit, 0, "{said:?}");
    let json = said.json();
    assert_eq!((&json["neutral"], &json["other"]), (&1.into(), &0.into()));
    assert_eq!(json["changes"][0]["direction"], "neutral");
    let broken = diff(&good(), "", &[]);
    assert_eq!(broken.exit, 1, "{broken:?}");
    assert!(broken.errors.contains("new.toml"), "{}", broken.errors);
}

/// Two workers' records, one of them on a platform that lacks updates by the second policy.
struct Pool {
    worker: Worker,
    files: Files,
}

impl Pool {
    fn new() -> Self {
        let pool = Self {
            worker: Worker::new(),
            files: Files::new(),
        };
        let good = pool.worker.record(&pool.worker.evidence());
        pool.files
            .write("1.json", serde_json::to_vec(&good).unwrap());
        let mut td = pool.worker.platform.td();
        td.rtmrs[2] = [9; 48];
        let unknown = pool.worker.record(&pool.worker.evidence_of(&td));
        pool.files
            .write("2.json", serde_json::to_vec(&unknown).unwrap());
        pool.files.write("notes.txt", "not evidence");
        pool
    }

    fn simulate(&self, policy: &str, more: &[&str]) -> Said {
        let policy = self.files.write("policy.toml", policy);
        let dir = self.files.path("");
        let arguments = [
            "policy",
            "simulate",
            text(&policy),
            "--evidence-dir",
            text(&dir),
        ];
        simulated(&self.worker.platform, &[&arguments[..], more].concat())
    }
}

#[test]
fn a_policy_that_cuts_nobody_says_so() {
    let pool = Pool::new();
    let said = pool.simulate(&good(), &["--json"]);
    assert_eq!(said.exit, 0, "{said:?}");
    let json = said.json();
    assert_eq!(
        (&json["kept"], &json["refused"], &json["cut"]),
        (&1.into(), &1.into(), &0.into())
    );
    assert_eq!(json["rows"][1]["before"]["code"], "E515");
}

#[test]
fn a_policy_that_would_cut_names_worker_step_and_code() {
    let pool = Pool::new();
    let strict = good().replace("\"UpToDate\"", "\"SWHardeningNeeded\"");
    let said = pool.simulate(&strict, &["--json"]);
    assert_eq!(said.exit, 2, "{said:?}");
    let row = &said.json()["rows"][0];
    assert_eq!(row["effect"], "cut");
    assert_eq!(row["worker"], "worker-1");
    assert_eq!(row["after"]["code"], "E401");
    assert!(row["after"]["step"].is_string());
    let table = pool.simulate(&strict, &[]).output;
    assert!(table.contains("CUT      worker-1"), "{table}");
    assert!(
        table.contains("1 would be cut, 0 kept, 0 gained, 1 refused either way"),
        "{table}"
    );
}

#[test]
fn a_policy_may_also_let_in_what_was_refused() {
    let pool = Pool::new();
    let policy = good();
    let (_, rtmr2) = policy.split_once("rtmr2 = \"").unwrap();
    let lax = policy.replace(&rtmr2[..96], &"09".repeat(48));
    let said = pool.simulate(&lax, &["--json"]);
    assert_eq!(said.json()["gained"], 1, "{said:?}");
    assert_eq!(said.json()["cut"], 1, "{said:?}");
}

#[test]
fn what_cannot_be_read_is_no_yes() {
    let pool = Pool::new();
    pool.files.write("3.json", "{}");
    let said = pool.simulate(&good(), &["--json"]);
    assert_eq!(said.exit, 1, "{said:?}");
    assert_eq!(said.json()["unreadable"][0]["file"], "3.json");
    let empty = Files::new();
    let policy = empty.write("policy.toml", good());
    let said = shipped(&[
        "policy",
        "simulate",
        text(&policy),
        "--evidence-dir",
        text(&empty.path("")),
    ]);
    assert_eq!(said.exit, 1);
    let words = "`cocoon-admin worker attestation --id WORKER --output ";
    assert!(said.errors.contains(words), "{}", said.errors);
}

#[test]
fn both_verdicts_can_be_of_another_time() {
    let pool = Pool::new();
    let late = ["--time", "2030-01-01T00:00:00Z"];
    let said = pool.simulate(&good(), &[&late[..], &["--json"]].concat());
    assert_eq!(said.exit, 2, "{said:?}");
    let json = said.json();
    assert_eq!(
        (&json["refused"], &json["unappraised"]),
        (&0.into(), &2.into())
    );
    assert_eq!(json["rows"][0]["before"]["appraised"], false);
    // That nobody is cut is no clean bill.
    let said = pool.simulate(&good(), &late);
    let words = "\nNothing was appraised by either policy: E904 ";
    assert!(said.output.contains(words), "{}", said.output);
}
