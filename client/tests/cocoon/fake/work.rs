//! What the fake's worker does with a task: computes, and signs a receipt.

use protocol::api::{OutputView, TaskView};
use protocol::receipt::{LEAF_VERSION, Leaf, Receipt, ReceiptSigner, Statement, tree};
use protocol::task::{TaskBody, TaskState};
use protocol::{SessionId, Sha256Digest, TaskId};
use ring::rand::SystemRandom;

use super::{Finished, Mischief};

pub(super) fn finish(
    mischief: Mischief,
    id: TaskId,
    body: &TaskBody,
    digest: Sha256Digest,
    inputs: &[Vec<u8>],
    priority: u8,
) -> Finished {
    let mut output = compute(&body.operation, inputs);
    match mischief {
        Mischief::WrongArithmetic => output[0] ^= 1,
        Mischief::WrongSize => output.push(0),
        _ => {}
    }
    let content = OutputView {
        sha256: Sha256Digest::of(&output),
        bytes: u64::try_from(output.len()).unwrap(),
    };
    let fails = mischief == Mischief::TasksFail;
    let view = TaskView {
        id,
        user: "alice".parse().unwrap(),
        operation: body.operation.clone(),
        version: body.version,
        digest,
        requirements: protocol::requirements::Requirements::default(),
        state: if fails {
            TaskState::DeadLetter
        } else {
            TaskState::Succeeded
        },
        priority,
        attempts: if fails { 3 } else { 1 },
        max_attempts: 3,
        submitted_ms: 1_795_000_000_000,
        started_ms: Some(1_795_000_000_100),
        finished_ms: Some(1_795_000_000_200),
        deadline_ms: None,
        worker: Some("worker-1".parse().unwrap()),
        fault: fails.then(|| "the executor \u{1b}[31mfell over".to_owned()),
        output: (!fails).then_some(content),
    };
    let receipt = sign(mischief, id, body, digest, content);
    Finished {
        view,
        output,
        receipt,
    }
}

/// Right for digests; of the other operations only the size is.
fn compute(operation: &str, inputs: &[Vec<u8>]) -> Vec<u8> {
    if operation == "sha256_batch" {
        let digests = inputs
            .iter()
            .map(|input| *Sha256Digest::of(input).as_bytes());
        digests.flatten().collect()
    } else {
        inputs[0].clone()
    }
}

fn sign(
    mischief: Mischief,
    id: TaskId,
    body: &TaskBody,
    digest: Sha256Digest,
    output: OutputView,
) -> Receipt {
    let mut leaf = Leaf {
        version: LEAF_VERSION,
        task: id.to_string(),
        task_digest: digest,
        operation: body.operation.clone(),
        operation_version: body.version,
        module_digest: Sha256Digest::of(b"module"),
        model_digest: None,
        inputs: body.inputs.iter().map(|input| input.sha256).collect(),
        output: output.sha256,
        output_bytes: output.bytes,
        executor: "cpu".to_owned(),
        gpu_uuid: None,
        attempt: 1,
        started_ms: 1_795_000_000_100,
        finished_ms: 1_795_000_000_200,
    };
    if mischief == Mischief::ForgesReceipt {
        leaf.inputs = vec![Sha256Digest::of(b"other inputs")];
    }
    let random = SystemRandom::new();
    let signer = ReceiptSigner::generate(&random).unwrap();
    let mut bytes = leaf.encode();
    let neighbour = tree::leaf_hash(b"another task's leaf");
    let statement = Statement {
        root: tree::root(&[tree::leaf_hash(&bytes), neighbour]),
        tree_size: 2,
        worker: "worker-1".parse().unwrap(),
        session: SessionId::from_parts(1, 2),
        attestation: "ab".repeat(64),
        batch: 7,
    };
    if mischief == Mischief::ChangesLeaf {
        leaf.attempt = 2;
        bytes = leaf.encode();
    }
    Receipt {
        leaf: bytes,
        index: 0,
        proof: vec![neighbour],
        statement: statement.sign(&signer, &random).unwrap(),
        receipt_key: signer.key().spki(),
    }
}
