//! `report-data`.

use crate::harness::{Files, shipped, text};

const EXPORTED: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// Known answer: computed by an independent implementation.
const REPORT_DATA: &str = "b6019018f97165ea448559d7f0de4039b19583b0ecc669805ebea38f85ec4de4\
                           15a8bff04ccaaed0139e23bb1487a03c28cafbb9ffdf97142d69966504c9249f";
const GPU_NONCE: &str = "6934104aa752de947d62f70120d38d75e996c4f8d0e3e419ea54334f0ae70f97";

#[test]
fn a_file_of_facts_gives_the_known_answer() {
    let facts = serde_json::json!({
        "binding": {
            "role": "client",
            "hash": "sha384",
            "exported": EXPORTED,
            "attester_spki": "57".repeat(91),
            "peer_spki": "47".repeat(91),
        },
        "device_evidence": hex::encode("device-evidence"),
        "claims": "a0",
    });
    let files = Files::new();
    let path = files.write("facts.json", facts.to_string());
    let said = shipped(&["report-data", "--json", text(&path)]);
    assert_eq!(said.exit, 0, "{said:?}");
    let json = said.json();
    assert_eq!(json["schema"], "cocoon-attest/report-data/1");
    assert_eq!(json["result"]["report_data"], REPORT_DATA);
    assert_eq!(json["result"]["gpu_nonce"], GPU_NONCE);
    assert_eq!(json["result"]["preimage"].as_str().unwrap().len(), 2 * 223);
}

#[test]
fn flags_mean_what_the_file_means() {
    let (attester, peer) = ("57".repeat(91), "47".repeat(91));
    let said = shipped(&[
        "report-data",
        "--role",
        "client",
        "--hash",
        "sha384",
        "--exported",
        EXPORTED,
        "--attester-spki",
        &attester,
        "--peer-spki",
        &peer,
        "--device-evidence",
        "6465766963652d65766964656e6365",
        "--claims",
        "a0",
    ]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.contains(REPORT_DATA), "{}", said.output);
}

#[test]
fn a_wrong_fact_is_named() {
    let said = shipped(&[
        "report-data",
        "--role",
        "bystander",
        "--hash",
        "sha384",
        "--exported",
        EXPORTED,
        "--attester-spki",
        "00",
        "--peer-spki",
        "00",
    ]);
    assert_eq!(said.exit, 1);
    assert!(said.errors.contains("bystander"), "{}", said.errors);
}
