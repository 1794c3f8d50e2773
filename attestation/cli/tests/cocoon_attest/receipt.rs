//! `receipt verify`: the whole chain, and each of its links broken.

use attestation::{ExecutorKind, GpuClaim};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
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

/// The refused step of a receipt from a worker with a GPU, whose GPU evidence came and nobody appraised.
fn refused_step(change: fn(&mut Leaf)) -> Option<String> {
    let mut worker = Worker::new();
    worker.device_evidence = Some(b"not looked at".to_vec());
    worker.claims.executor = ExecutorKind::Cuda;
    worker.claims.gpus = vec![GpuClaim {
        uuid: "GPU-1".into(),
        name: "NVIDIA H100".into(),
    }];
    let record = worker.record(&worker.evidence());
    let mut leaf = leaf(1);
    leaf.executor = "cuda".into();
    leaf.gpu_uuid = Some("GPU-1".into());
    change(&mut leaf);
    let files = Files::new();
    let receipt = worker.receipts_of(&[leaf], &record).remove(0);
    let receipt = serde_json::to_vec(&receipt).unwrap();
    let receipt = files.write("receipt.json", receipt);
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
    let json = simulated(&worker.platform, &arguments).json();
    Some(json.get("failed_step")?.as_str()?.to_owned())
}

#[test]
fn gpu_evidence_that_nobody_appraised_attests_no_gpu() {
    let refused = Some("GPU claimed".to_owned());
    assert_eq!(refused_step(|_| {}), None);
    assert_eq!(refused_step(|leaf| leaf.gpu_attested = true), refused);
    assert_eq!(refused_step(|leaf| leaf.gpu_uuid = None), refused);
}

/// Whoever writes the record writes its policy; "accepted" under it says nothing that its author did not want said.
#[test]
fn a_verdict_under_the_records_own_policy_says_so() {
    let own = "the appraisal policy is the record's own";
    let said = verify(|_, _| {}, &[]);
    assert!(said.output.contains(own), "{}", said.output);
    let files = Files::new();
    let policy = files.write("policy.toml", Worker::new().platform.policy_toml());
    let said = verify(|_, _| {}, &["--policy", text(&policy)]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(!said.output.contains(own), "{}", said.output);
}

/// A file that is looked at must not be able to write the verdict on itself.
#[test]
fn what_a_receipt_says_stays_on_its_line() {
    let forged = "x\n\nACCEPTED under Intel SGX Root CA\u{1b}[2J\u{9b}H\u{202e}";
    let header = serde_json::json!({ "alg": forged, "kid": "", "typ": "" });
    let said = verify(
        |_, receipt| {
            let header = URL_SAFE_NO_PAD.encode(header.to_string());
            let (_, rest) = receipt.statement.split_once('.').unwrap();
            receipt.statement = format!("{header}.{rest}");
        },
        &[],
    );
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(
        said.output.contains("ACCEPTED under Intel"),
        "{}",
        said.output
    );
    let is_plain =
        |character: char| character == '\n' || !(character.is_control() || character == '\u{202e}');
    assert!(said.output.chars().all(is_plain), "{}", said.output);
    assert!(
        said.output
            .lines()
            .all(|line| !line.starts_with("ACCEPTED")),
        "{}",
        said.output
    );
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
