//! Verdicts on receipts that hold, and on every way in which one does not.

use protocol::SessionId;
use protocol::receipt::{LEAF_VERSION, ReceiptSigner, Statement, tree};
use ring::rand::SystemRandom;

use super::*;

fn body() -> TaskBody {
    TaskBody {
        operation: "sha256_batch".to_owned(),
        version: 1,
        parameters: serde_json::Map::new(),
        inputs: vec![InputDescriptor::of(b"abc")],
    }
}

fn task() -> TaskId {
    TaskId::from_parts(1, 2)
}

fn expected() -> Expectation {
    Expectation {
        task: task(),
        digest: Some(Sha256Digest::of(b"digest")),
        body: Some(body()),
        output: Some(KnownOutput {
            content: OutputView {
                sha256: Sha256Digest::of(b"output"),
                bytes: 6,
            },
            origin: "as downloaded",
        }),
    }
}

fn leaf() -> Leaf {
    Leaf {
        version: LEAF_VERSION,
        task: task().to_string(),
        task_digest: Sha256Digest::of(b"digest"),
        operation: "sha256_batch".to_owned(),
        operation_version: 1,
        module_digest: Sha256Digest::of(b"module"),
        model_digest: None,
        inputs: vec![Sha256Digest::of(b"abc")],
        output: Sha256Digest::of(b"output"),
        output_bytes: 6,
        executor: "cpu".to_owned(),
        gpu_uuid: None,
        attempt: 1,
        started_ms: 1,
        finished_ms: 2,
    }
}

fn receipt(leaf: &Leaf) -> Receipt {
    let random = SystemRandom::new();
    let signer = ReceiptSigner::generate(&random).unwrap();
    let leaf = leaf.encode();
    let statement = Statement {
        root: tree::root(&[tree::leaf_hash(&leaf)]),
        tree_size: 1,
        worker: "worker-1".parse().unwrap(),
        session: SessionId::from_parts(1, 2),
        attestation: "ab".repeat(64),
        batch: 1,
    };
    Receipt {
        leaf,
        index: 0,
        proof: vec![],
        statement: statement.sign(&signer, &random).unwrap(),
        receipt_key: signer.key().spki(),
    }
}

/// As in `PASS signature`, one for each step.
fn outcomes(verification: &Verification) -> Vec<String> {
    let line = |step: &Step| format!("{} {}", step.outcome, step.name);
    verification.steps.iter().map(line).collect()
}

fn failures(verification: &Verification) -> Vec<&'static str> {
    let failed = verification
        .steps
        .iter()
        .filter(|step| step.outcome == Outcome::Fail);
    failed.map(|step| step.name).collect()
}

#[test]
fn a_receipt_of_the_submitted_task_holds() {
    let verification = verify(&receipt(&leaf()), &expected());
    assert!(verification.holds);
    assert_eq!(
        outcomes(&verification),
        [
            "PASS signature",
            "PASS inclusion",
            "PASS leaf",
            "PASS task",
            "PASS task digest",
            "PASS operation",
            "PASS inputs",
            "PASS output"
        ]
    );
    assert!(verification.not_verified[1].contains("cocoon-attest receipt verify"));
}

#[test]
fn a_model_that_computed_is_named() {
    let model = Sha256Digest::of(b"model");
    let mut leaf = leaf();
    leaf.model_digest = Some(model);
    let steps = verify(&receipt(&leaf), &expected()).steps;
    let operation = steps.iter().find(|step| step.name == "operation").unwrap();
    assert_eq!(operation.outcome, Outcome::Pass);
    let wanted = format!("sha256_batch version 1, with the model {model}");
    assert_eq!(operation.detail, wanted);
}

#[test]
fn what_is_not_known_is_skipped_and_never_passed() {
    let nothing = Expectation {
        task: task(),
        digest: None,
        body: None,
        output: None,
    };
    let verification = verify(&receipt(&leaf()), &nothing);
    assert!(verification.holds);
    assert_eq!(
        outcomes(&verification)[4..],
        [
            "SKIP task digest",
            "SKIP operation",
            "SKIP inputs",
            "SKIP output"
        ]
    );
}

#[test]
fn a_receipt_of_anything_else_fails_at_its_step() {
    type Change = fn(&mut Leaf);
    let cases: [(&str, Change); 7] = [
        ("task", |leaf| {
            leaf.task = TaskId::from_parts(9, 9).to_string();
        }),
        ("task digest", |leaf| {
            leaf.task_digest = Sha256Digest::of(b"other");
        }),
        ("operation", |leaf| leaf.operation_version = 2),
        ("inputs", |leaf| {
            leaf.inputs = vec![Sha256Digest::of(b"other")];
        }),
        ("inputs", |leaf| leaf.inputs.clear()),
        ("output", |leaf| leaf.output = Sha256Digest::of(b"other")),
        ("output", |leaf| leaf.output_bytes = 7),
    ];
    for (step, change) in cases {
        let mut leaf = leaf();
        change(&mut leaf);
        let verification = verify(&receipt(&leaf), &expected());
        assert!(!verification.holds, "{step}");
        assert_eq!(failures(&verification), [step]);
    }
}

#[test]
fn a_forged_receipt_fails_at_its_proof() {
    type Change = fn(&mut Receipt);
    let cases: [(&str, Change); 5] = [
        ("signature", |receipt| receipt.receipt_key = vec![1, 2, 3]),
        ("signature", |forged| {
            forged.receipt_key = receipt(&leaf()).receipt_key;
        }),
        ("signature", |receipt| receipt.statement.truncate(100)),
        ("inclusion", |receipt| receipt.leaf.push(0)),
        ("leaf", |receipt| receipt.leaf = vec![0; 100_000]),
    ];
    for (step, change) in cases {
        let mut receipt = receipt(&leaf());
        change(&mut receipt);
        let verification = verify(&receipt, &expected());
        assert!(!verification.holds, "{step}");
        assert_eq!(failures(&verification), [step]);
        assert!(
            outcomes(&verification)[3..]
                .iter()
                .all(|line| line.starts_with("SKIP"))
        );
    }
}
