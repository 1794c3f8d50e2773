//! `receipt` and `attestation` against honest and forging gateways.

use crate::fake::{Fake, Mischief};

fn submitted(fake: &Fake) -> String {
    fake.write("a", b"abc");
    let ran = fake.cocoon(&["submit", "sha256_batch", "a"]).expect(0);
    ran.output.trim().to_owned()
}

#[test]
fn a_receipt_is_json_for_other_programs() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    let printed = fake.cocoon(&["receipt", &id]).expect(0).json();
    assert_eq!(printed["index"], 0);
    fake.cocoon(&["receipt", &id, "-o", "receipt.json"])
        .expect(0);
    let written: protocol::receipt::Receipt =
        serde_json::from_slice(&fake.read("receipt.json")).unwrap();
    assert!(written.verify().is_ok());
}

#[test]
fn a_verification_is_told_step_by_step_with_what_it_leaves_open() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    fake.cocoon(&["output", &id, "-o", "out.bin"]).expect(0);
    let ran = fake.cocoon(&["receipt", &id, "--verify"]).expect(0);
    let steps: Vec<_> = ran
        .output
        .lines()
        .filter(|line| line.starts_with("PASS"))
        .collect();
    assert_eq!(steps.len(), 8, "{}", ran.output);
    assert!(steps[7].contains("as downloaded"));
    let record = format!(
        "cocoon attestation {id} -o record.json\n    cocoon-attest receipt verify --receipt receipt.json --attestation record.json"
    );
    ran.says(&[
        "The receipt holds as far as it was verified here.",
        "Not verified here:",
        "attested worker",
        &record,
    ]);
}

#[test]
fn what_was_not_downloaded_is_the_gateways_word() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    fake.cocoon(&["receipt", &id, "--verify"])
        .expect(0)
        .says(&["as the gateway announces it"]);
}

#[test]
fn a_task_submitted_elsewhere_is_verified_as_far_as_it_is_known() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    let digest = fake.cocoon(&["status", &id, "--json"]).json()["tasks"][0]["digest"].clone();
    std::fs::remove_dir_all(fake.server.home.path().join(".local")).unwrap();
    let ran = fake.cocoon(&["receipt", &id, "--verify"]).expect(0);
    assert_eq!(
        ran.output
            .lines()
            .filter(|line| line.starts_with("SKIP"))
            .count(),
        3
    );
    let given = [
        "receipt",
        &id,
        "--verify",
        "--task-digest",
        digest.as_str().unwrap(),
    ];
    let ran = fake.cocoon(&given).expect(0);
    assert_eq!(
        ran.output
            .lines()
            .filter(|line| line.starts_with("SKIP"))
            .count(),
        2
    );
    let wrong = "00".repeat(32);
    fake.cocoon(&["receipt", &id, "--verify", "--task-digest", &wrong])
        .expect(2)
        .says(&["FAIL", "does NOT hold"]);
    fake.write("other-output", b"x");
    fake.cocoon(&["receipt", &id, "--verify", "--output-file", "other-output"])
        .expect(2)
        .says(&["as in the file"]);
}

#[test]
fn a_forged_receipt_does_not_hold() {
    for (mischief, step) in [
        (Mischief::ForgesReceipt, "inputs"),
        (Mischief::ChangesLeaf, "inclusion"),
    ] {
        let fake = Fake::with(mischief);
        let id = submitted(&fake);
        let ran = fake.cocoon(&["receipt", &id, "--verify"]).expect(2);
        let failed: Vec<_> = ran
            .output
            .lines()
            .filter(|line| line.starts_with("FAIL"))
            .collect();
        assert_eq!(failed.len(), 1, "{}", ran.output);
        assert!(failed[0].contains(step));
        let json = fake
            .cocoon(&["receipt", &id, "--verify", "--json"])
            .expect(2)
            .json();
        assert_eq!(json["verification"]["holds"], false);
    }
}

#[test]
fn waiting_for_a_task_finds_a_forged_receipt() {
    let fake = Fake::with(Mischief::ForgesReceipt);
    fake.write("a", b"abc");
    let ran = fake
        .cocoon(&["submit", "sha256_batch", "a", "--wait", "--quiet"])
        .expect(2)
        .says(&["FAIL", "does NOT hold"]);
    assert!(ran.output.is_empty());
    // What the receipt does not name is not handed on.
    fake.cocoon(&["submit", "sha256_batch", "a", "--output", "out.bin"])
        .expect(2);
    assert!(!fake.exists("out.bin"));
    let json = fake
        .cocoon(&["submit", "sha256_batch", "a", "--wait", "--json"])
        .expect(2)
        .json();
    assert_eq!(json["receipt"]["holds"], false);
}

#[test]
fn an_attestation_record_is_handed_out_byte_for_byte() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    let printed = fake.cocoon(&["attestation", &id]).expect(0);
    assert_eq!(printed.output, r#"{"schema": "a record", "suite": 4865}"#);
    fake.cocoon(&["attestation", &id, "-o", "record.json"])
        .expect(0)
        .says(&["cocoon-attest verify --record record.json"]);
    assert_eq!(fake.read("record.json"), printed.output.as_bytes());
    fake.turns(Mischief::Says("[]"));
    fake.cocoon(&["attestation", &id, "-o", "other.json"])
        .expect(1);
    assert!(!fake.exists("other.json"));
}
