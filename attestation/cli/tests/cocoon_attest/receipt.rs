//! `receipt verify`: the whole chain, and each of its links broken.

use attestation::{ExecutorKind, GpuClaim, gpu::DeviceEvidence};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use protocol::{
    Sha256Digest,
    receipt::{Leaf, Receipt, ReceiptSigner},
};
use ring::rand::SystemRandom;
use serde_json::Value;
use simulator::gpu::{GpuFlaw, GpuOptions, SimulatedGpu};

use crate::{
    harness::{Files, GPU_SEED, NOW_S, Said, shipped, simulated, text},
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
}

/// Demands GPU evidence where GPUs are claimed, and no reference measurements.
const GPU_RULES: &str = r#"gpu = "if-claimed"

[gpu]
driver_version_min = "550.54.14"
driver_versions_denied = []
vbios_versions_min = { hopper = "96.00.9F.00.01" }
reference_measurements = "not-required"
ocsp = "required"
ocsp_grace_hours = 0
enrolled = "any"
revoked = []
"#;

/// A worker that showed its GPU's evidence, to a gateway that appraises none.
fn gpu_worker(flaw: Option<GpuFlaw>) -> (Worker, String) {
    let mut worker = Worker::new();
    let gpu = SimulatedGpu::new(GPU_SEED, 0);
    let mut options = GpuOptions::at(NOW_S);
    options.flaw = flaw;
    let report = gpu.report(&worker.binding.gpu_nonce(), &options);
    let devices = vec![report];
    worker.device_evidence = Some(DeviceEvidence { devices }.encode().unwrap());
    worker.claims.executor = ExecutorKind::Cuda;
    worker.claims.gpus = vec![GpuClaim {
        uuid: gpu.uuid(),
        name: "NVIDIA H100".into(),
    }];
    (worker, gpu.uuid())
}

/// The verdict on a receipt that names `gpu_uuid`.
fn gpu_verdict(worker: &Worker, gpu_uuid: Option<String>) -> Value {
    let record = worker.record(&worker.evidence());
    let mut leaf = leaf(1);
    leaf.executor = "cuda".into();
    leaf.gpu_uuid = gpu_uuid;
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
    simulated(&worker.platform, &arguments).json()
}

/// That evidence came says nothing; somebody must have looked at it.
#[test]
fn a_gpu_is_attested_where_its_evidence_was_appraised() {
    let (mut worker, uuid) = gpu_worker(None);
    let attested = |verdict: &Value| {
        assert_eq!(verdict["failed_step"], Value::Null, "{verdict}");
        verdict["subject"]["receipt"]["gpu_attested"].clone()
    };
    assert_eq!(attested(&gpu_verdict(&worker, Some(uuid.clone()))), false);
    worker.policy = worker.policy.replace("gpu = \"not-required\"\n", GPU_RULES);
    assert_eq!(attested(&gpu_verdict(&worker, Some(uuid))), true);
}

/// Nor that it could be read: the answer stands beside the refusal.
#[test]
fn a_gpu_whose_evidence_was_refused_is_not_attested() {
    for flaw in [GpuFlaw::Signature, GpuFlaw::ForeignRoot, GpuFlaw::Nonce] {
        let (mut worker, uuid) = gpu_worker(Some(flaw));
        worker.policy = worker.policy.replace("gpu = \"not-required\"\n", GPU_RULES);
        let verdict = gpu_verdict(&worker, Some(uuid));
        assert_eq!(verdict["verdict"], "refused", "{flaw:?}");
        let receipt = &verdict["subject"]["receipt"];
        assert_eq!(receipt["gpu_attested"], false, "{flaw:?}: {verdict}");
    }
}

#[test]
fn a_gpu_that_nobody_claimed_is_not_attested() {
    let (mut worker, _) = gpu_worker(None);
    worker.policy = worker.policy.replace("gpu = \"not-required\"\n", GPU_RULES);
    let verdict = gpu_verdict(&worker, Some("GPU-another".to_owned()));
    assert_eq!(verdict["failed_step"], "GPU claimed");
    assert_eq!(verdict["subject"]["receipt"]["gpu_attested"], false);
}

#[test]
fn a_receipt_of_a_gpu_worker_names_the_gpu() {
    let (worker, _) = gpu_worker(None);
    assert_eq!(gpu_verdict(&worker, None)["failed_step"], "GPU claimed");
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
