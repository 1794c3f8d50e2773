//! `receipt verify`: the whole chain, and each of its links broken.

use protocol::{
    Sha256Digest,
    receipt::{Leaf, Receipt, ReceiptSigner},
};
use ring::rand::SystemRandom;

use crate::{
    harness::{Files, Said, shipped, simulated, text},
    world::{Worker, leaf},
};

/// Runs `receipt verify` on the second receipt of a good worker, after `change`.
fn verify(change: impl FnOnce(&Worker, &mut Receipt), more: &[&str]) -> Said {
    let worker = Worker::new();
    let record = worker.record(&worker.evidence());
    let mut receipt = worker.receipts(&record).remove(1);
    change(&worker, &mut receipt);
    let files = Files::new();
    let receipt = files.write("receipt.json", serde_json::to_vec(&receipt).unwrap());
    let record = files.write("record.json", serde_json::to_vec(&record).unwrap());
    let arguments = [
        "receipt",
        "verify",
        "--receipt",
        text(&receipt),
        "--attestation",
        text(&record),
    ];
    simulated(&worker.platform, &[&arguments[..], more].concat())
}

#[test]
fn a_receipt_leads_to_the_root() {
    let said = verify(|_, _| {}, &[]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.starts_with("SIMULATED: "), "{}", said.output);
    for step in [
        "receipt key",
        "statement",
        "inclusion",
        "leaf",
        "attestation id",
        "receipt key claimed",
    ] {
        assert!(
            said.output.contains(&format!("PASS  {step}")),
            "{step}: {}",
            said.output
        );
    }
    assert!(
        said.output.contains("proves neither the arithmetic"),
        "{}",
        said.output
    );
    let json = verify(|_, _| {}, &["--json"]).json();
    assert_eq!(json["schema"], "cocoon-attest/receipt-verify/1");
    assert_eq!(json["verdict"], "accepted");
    assert_eq!(json["subject"]["receipt"]["operation"], "sha256_batch");
    assert_eq!(json["subject"]["receipt"]["duration_ms"], 25);
}

#[test]
fn each_broken_link_is_named() {
    let failed = |step: &str, change: fn(&Worker, &mut Receipt)| {
        let said = verify(change, &["--json"]);
        assert_eq!(said.exit, 2, "{step}: {said:?}");
        assert_eq!(said.json()["failed_step"], step, "{}", said.output);
    };
    failed("receipt key", |_, receipt| {
        receipt.receipt_key = vec![0; 91];
    });
    failed("statement", |_, receipt| receipt.statement.push('A'));
    failed("inclusion", |_, receipt| receipt.index = 0);
    failed("inclusion", |_, receipt| {
        let last = receipt.leaf.last_mut().unwrap();
        *last ^= 1;
    });
    failed("attestation id", |worker, receipt| {
        let mut other = Worker::new();
        other.claims.sequence = 9;
        let record = other.record(&other.evidence());
        let forged = Worker {
            signer: other.signer,
            ..Worker::new()
        };
        *receipt = forged.receipts(&record).remove(1);
        assert_ne!(receipt.receipt_key, worker.signer.key().spki());
    });
    failed("receipt key claimed", |worker, receipt| {
        let thief = Worker {
            signer: ReceiptSigner::generate(&SystemRandom::new()).unwrap(),
            ..Worker::new()
        };
        *receipt = thief.receipts(&worker.record(&worker.evidence())).remove(1);
    });
}

#[test]
fn a_leaf_that_says_what_the_worker_never_claimed_is_refused() {
    let failed = |step: &str, change: fn(&mut Leaf)| {
        let said = verify(
            |worker, receipt| {
                let mut leaf = leaf(1);
                change(&mut leaf);
                let record = worker.record(&worker.evidence());
                *receipt = worker.receipts_of(&[leaf], &record).remove(0);
            },
            &["--json"],
        );
        assert_eq!(said.exit, 2, "{step}: {said:?}");
        assert_eq!(said.json()["failed_step"], step, "{}", said.output);
    };
    failed("module claimed", |leaf| {
        leaf.module_digest = Sha256Digest::of(b"another");
    });
    failed("executor claimed", |leaf| leaf.executor = "cuda".into());
    failed("GPU claimed", |leaf| leaf.gpu_uuid = Some("GPU-1".into()));
    failed("GPU claimed", |leaf| leaf.gpu_attested = true);
}

#[test]
fn a_receipt_of_a_refused_attestation_is_refused() {
    let worker = Worker::new();
    let mut td = worker.platform.td();
    td.debug = true;
    let record = worker.record(&worker.evidence_of(&td));
    let files = Files::new();
    let receipt = files.write(
        "receipt.json",
        serde_json::to_vec(&worker.receipts(&record)[0]).unwrap(),
    );
    let record = files.write("record.json", serde_json::to_vec(&record).unwrap());
    let arguments = [
        "receipt",
        "verify",
        "--json",
        "--receipt",
        text(&receipt),
        "--attestation",
        text(&record),
    ];
    let said = simulated(&worker.platform, &arguments);
    assert_eq!(said.exit, 2, "{said:?}");
    assert_eq!(said.json()["code"], "E501");
    let said = shipped(&arguments);
    assert_eq!(
        said.exit, 2,
        "Intel's root refuses it in any case: {said:?}"
    );
}

#[test]
fn a_file_that_is_no_receipt_is_an_error() {
    let files = Files::new();
    let path = files.write("receipt.json", "{}");
    let said = shipped(&[
        "receipt",
        "verify",
        "--receipt",
        text(&path),
        "--attestation",
        text(&path),
    ]);
    assert_eq!(said.exit, 1);
    assert!(said.errors.contains("is no receipt"), "{}", said.errors);
}
