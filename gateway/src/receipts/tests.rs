//! One test for each refusal, and that what a worker rightly says is verified.

use protocol::SessionId;
use protocol::catalogue::models::ALL_MINILM_L6_V2;
use protocol::lease::{Ack, Lease, LeaseInput, Output};
use protocol::receipt::{Leaf, Statement};
use protocol::task::{InputDescriptor, TaskBody, task_digest};
use protocol::{FencingToken, TaskId};
use serde_json::Map;

use super::*;
use crate::store::tests::harness::{
    LEASE_MS, NOW_MS, Worker, ack, ack_with, leaf, operation, output,
};

const GPU: &str = "GPU-00000000-0000-0000-0000-000000000001";

fn body() -> TaskBody {
    TaskBody {
        operation: operation().name,
        version: 1,
        parameters: Map::new(),
        inputs: vec![InputDescriptor::of(b"input")],
    }
}

fn lease() -> Lease {
    Lease {
        task: TaskId::from_parts(NOW_MS, 1),
        attempt: 1,
        fencing_token: FencingToken(1),
        lease_duration_ms: LEASE_MS,
        body: body().canonical().unwrap().into(),
        inputs: vec![LeaseInput::Inline(b"input".to_vec().into())],
    }
}

fn leased() -> LeasedTask {
    LeasedTask {
        attempt: 1,
        digest: task_digest(&lease().body),
        operation: operation(),
        inputs: vec![Sha256Digest::of(b"input")],
        output_bytes: 32,
    }
}

/// The refusal of a batch whose statement or session was changed.
fn batch_refusal(
    change_statement: impl FnOnce(&mut Statement),
    change_acks: impl FnOnce(&mut Vec<Ack>),
) -> BatchRefusal {
    let worker = Worker::new("worker-1");
    let mut acks = vec![ack(&lease()), ack(&lease())];
    let mut statement = worker.statement(&acks);
    change_statement(&mut statement);
    change_acks(&mut acks);
    verify(worker.request(&statement, acks), &worker.signatory()).unwrap_err()
}

/// The refusal of one ack, under an attestation that may have been changed.
fn refusal_of(ack: Ack, attest: impl FnOnce(&mut AttestedKey)) -> LeafRefusal {
    let mut worker = Worker::new("worker-1");
    attest(&mut worker.attested);
    worker.sign(vec![ack]).acks.remove(0).1.unwrap_err()
}

fn leaf_refusal(change: impl FnOnce(&mut Leaf)) -> LeafRefusal {
    let mut changed = leaf(&lease());
    change(&mut changed);
    let inline = Output::Inline(output(&lease()).into());
    refusal_of(ack_with(&lease(), &changed, inline), |_| {})
}

/// The refusal of a leaf that is whole in itself but was leased otherwise.
fn lease_refusal(change: impl FnOnce(&mut LeasedTask)) -> LeafRefusal {
    let worker = Worker::new("worker-1");
    let verified = worker.sign(vec![ack(&lease())]).acks.remove(0).1.unwrap();
    verified.agrees_with(&leased()).unwrap();
    let mut changed = leased();
    change(&mut changed);
    verified.agrees_with(&changed).unwrap_err()
}

#[test]
fn a_rightful_batch_is_verified() {
    let worker = Worker::new("worker-1");
    let batch = worker.sign(vec![ack(&lease()), ack(&lease())]);
    assert_eq!(batch.worker(), &worker.id);
    assert_eq!(batch.leaf_hashes().len(), 2);
    for (_, ack) in batch.acks() {
        ack.as_ref().unwrap().agrees_with(&leased()).unwrap();
    }
}

#[test]
fn a_batch_under_way_while_the_session_attests_again_is_verified() {
    let [before, after] = ["before", "after"].map(Worker::new);
    let attested = [after.attested.clone(), before.attested.clone()];
    let signatory = Signatory {
        attested: &attested,
        ..before.signatory()
    };
    let acks = vec![ack(&lease())];
    let request = before.request(&before.statement(&acks), acks);
    let batch = verify(request, &signatory).unwrap();
    assert_eq!(batch.attestation(), before.attested.attestation);
}

#[test]
fn a_session_without_a_receipt_key_signs_nothing() {
    let worker = Worker::new("worker-1");
    let acks = vec![ack(&lease())];
    let request = worker.request(&worker.statement(&acks), acks);
    let signatory = Signatory {
        attested: &[],
        ..worker.signatory()
    };
    assert!(matches!(
        verify(request, &signatory),
        Err(BatchRefusal::NoReceiptKey)
    ));
}

#[test]
fn another_key_is_refused() {
    let [worker, forger] = ["worker-1", "forger"].map(Worker::new);
    let acks = vec![ack(&lease())];
    let request = forger.request(&worker.statement(&acks), acks);
    assert!(matches!(
        verify(request, &worker.signatory()),
        Err(BatchRefusal::Statement(StatementError::Header {
            field: "kid",
            ..
        }))
    ));
}

#[test]
fn another_attestation_is_refused() {
    let refusal = batch_refusal(|statement| statement.attestation = "0f".repeat(64), |_| {});
    assert!(matches!(refusal, BatchRefusal::Attestation { .. }));
}

#[test]
fn another_worker_is_refused() {
    let refusal = batch_refusal(
        |statement| statement.worker = "other".parse().unwrap(),
        |_| {},
    );
    assert!(matches!(refusal, BatchRefusal::Worker { .. }));
}

#[test]
fn another_session_is_refused() {
    let other = SessionId::from_parts(NOW_MS, 9);
    let refusal = batch_refusal(|statement| statement.session = other, |_| {});
    assert!(matches!(refusal, BatchRefusal::Session { .. }));
}

#[test]
fn leaves_more_or_fewer_than_signed_are_refused() {
    let refusal = batch_refusal(|_| {}, |acks| acks.push(ack(&lease())));
    assert!(matches!(
        refusal,
        BatchRefusal::TreeSize { seen: 3, signed: 2 }
    ));
    let refusal = batch_refusal(|_| {}, Vec::clear);
    assert!(matches!(
        refusal,
        BatchRefusal::TreeSize { seen: 0, signed: 2 }
    ));
}

#[test]
fn leaves_other_than_signed_are_refused() {
    let mut other = leaf(&lease());
    other.started_ms += 1;
    let other = ack_with(&lease(), &other, Output::Inline(output(&lease()).into()));
    let refusal = batch_refusal(|_| {}, |acks| acks[1] = other);
    assert!(matches!(refusal, BatchRefusal::Root { .. }));
}

#[test]
fn bytes_that_are_no_leaf_are_refused() {
    let mut ack = ack(&lease());
    ack.leaf.push(0);
    let refusal = refusal_of(ack, |_| {});
    assert!(matches!(
        refusal,
        LeafRefusal::Leaf(LeafError::NotDeterministic)
    ));
}

#[test]
fn another_task_is_refused() {
    let other = TaskId::from_parts(NOW_MS, 2).to_string();
    let refusal = leaf_refusal(|leaf| leaf.task = other);
    assert!(matches!(refusal, LeafRefusal::Task { .. }));
}

#[test]
fn another_output_is_refused() {
    let refusal = leaf_refusal(|leaf| leaf.output = Sha256Digest::of(b"other"));
    assert!(matches!(refusal, LeafRefusal::OutputDigest { .. }));
    let refusal = leaf_refusal(|leaf| leaf.output_bytes = 33);
    assert!(matches!(
        refusal,
        LeafRefusal::OutputBytes {
            leaf: 33,
            delivered: 32
        }
    ));
    let uploaded = Output::Uploaded {
        sha256: Sha256Digest::of(b"other"),
        bytes: 32,
    };
    let refusal = refusal_of(ack_with(&lease(), &leaf(&lease()), uploaded), |_| {});
    assert!(matches!(refusal, LeafRefusal::OutputDigest { .. }));
}

#[test]
fn a_large_output_inline_is_refused() {
    let large = vec![0; 65_537];
    let mut changed = leaf(&lease());
    changed.output = Sha256Digest::of(&large);
    changed.output_bytes = 65_537;
    let refusal = refusal_of(
        ack_with(&lease(), &changed, Output::Inline(large.into())),
        |_| {},
    );
    assert!(matches!(refusal, LeafRefusal::InlineTooLarge(65_537)));
}

#[test]
fn another_module_is_refused() {
    let refusal = leaf_refusal(|leaf| leaf.module_digest = Sha256Digest::of(b"other"));
    assert!(matches!(refusal, LeafRefusal::Module));
}

#[test]
fn a_model_is_named_where_the_operation_computes_with_one() {
    let agrees = |operation: &str, model_digest| {
        let mut changed = leaf(&lease());
        changed.operation = operation.to_owned();
        changed.model_digest = model_digest;
        let ack = ack_with(&lease(), &changed, Output::Inline(output(&lease()).into()));
        let verified = Worker::new("worker-1")
            .sign(vec![ack])
            .acks
            .remove(0)
            .1
            .unwrap();
        let mut leased = leased();
        leased.operation.name = operation.to_owned();
        verified.agrees_with(&leased)
    };
    let pinned = ALL_MINILM_L6_V2.digest();
    agrees("embed", Some(pinned)).unwrap();
    for (operation, seen) in [
        ("embed", None),
        ("embed", Some(Sha256Digest::of(b"other"))),
        ("sha256_batch", Some(pinned)),
    ] {
        let refusal = agrees(operation, seen).unwrap_err();
        assert!(matches!(refusal, LeafRefusal::Model { seen: said, .. } if said == seen));
    }
}

#[test]
fn another_executor_is_refused() {
    let refusal = leaf_refusal(|leaf| leaf.executor = "cuda".to_owned());
    assert!(matches!(refusal, LeafRefusal::Executor { .. }));
}

#[test]
fn a_gpu_that_was_not_claimed_is_refused() {
    let refusal = leaf_refusal(|leaf| leaf.gpu_uuid = Some(GPU.to_owned()));
    assert!(matches!(refusal, LeafRefusal::Gpu(uuid) if uuid == GPU));
}

#[test]
fn another_attempt_is_refused() {
    let refusal = lease_refusal(|leased| leased.attempt = 2);
    assert!(matches!(
        refusal,
        LeafRefusal::Attempt { seen: 1, wanted: 2 }
    ));
}

#[test]
fn another_task_digest_is_refused() {
    let refusal = lease_refusal(|leased| leased.digest = Sha256Digest::of(b"other"));
    assert!(matches!(refusal, LeafRefusal::TaskDigest));
}

#[test]
fn another_operation_is_refused() {
    let refusal = lease_refusal(|leased| leased.operation.version = 2);
    assert!(matches!(refusal, LeafRefusal::Operation { .. }));
    let refusal = lease_refusal(|leased| leased.operation.name = "gemm".to_owned());
    assert!(matches!(refusal, LeafRefusal::Operation { .. }));
}

#[test]
fn other_inputs_are_refused() {
    let refusal = lease_refusal(|leased| leased.inputs.push(Sha256Digest::of(b"other")));
    assert!(matches!(refusal, LeafRefusal::Inputs));
}

#[test]
fn an_output_of_a_size_that_the_operation_does_not_give_is_refused() {
    let refusal = lease_refusal(|leased| leased.output_bytes = 64);
    assert!(matches!(
        refusal,
        LeafRefusal::OutputLayout {
            seen: 32,
            wanted: 64
        }
    ));
}
