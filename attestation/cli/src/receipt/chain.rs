//! The steps between a receipt and the attestation that stands behind its key.

use attestation::{AttestationRecord, Claims, ExecutorKind, Outcome, Step, Transcript};
use protocol::receipt::{Leaf, Receipt, ReceiptError, VerifiedReceipt};

use crate::checks::Check;

/// The steps inside the receipt, in the order in which they are taken.
const INSIDE: [&str; 4] = ["receipt key", "statement", "inclusion", "leaf"];

/// The appraisal's step on GPU evidence, in the gate's order.
const GPU_STEP: u8 = 10;

/// The steps that tie the receipt to an attestation.
const TIES: [&str; 7] = [
    "attestation id",
    "claims read",
    "receipt key claimed",
    "worker claimed",
    "module claimed",
    "executor claimed",
    "GPU claimed",
];

/// Verifies what the receipt holds by itself: key, signature, inclusion, leaf.
pub(super) fn inside(receipt: &Receipt) -> (Vec<Check>, Option<VerifiedReceipt>) {
    match receipt.verify() {
        Ok(verified) => (passed(receipt, &verified), Some(verified)),
        Err(error) => (failed(&error), None),
    }
}

fn passed(receipt: &Receipt, verified: &VerifiedReceipt) -> Vec<Check> {
    let (leaf, statement) = (verified.leaf(), verified.statement());
    let seen = [
        "a P-256 key".to_owned(),
        format!(
            "batch {} of {}, signed by that key",
            statement.batch, statement.worker
        ),
        format!(
            "leaf {} of {} under {}",
            receipt.index, statement.tree_size, statement.root
        ),
        format!("task {}, attempt {}", leaf.task, leaf.attempt),
    ];
    INSIDE
        .into_iter()
        .zip(seen)
        .map(|(name, seen)| Check::pass(name, seen))
        .collect()
}

fn failed(error: &ReceiptError) -> Vec<Check> {
    let (failed, mut reached) = match error {
        // Looked at before everything else.
        ReceiptError::LeafTooLarge(_) => ("leaf", false),
        ReceiptError::Key(_) => ("receipt key", true),
        ReceiptError::Statement(_) => ("statement", true),
        ReceiptError::Inclusion(_) => ("inclusion", true),
        ReceiptError::Leaf(_) => ("leaf", true),
    };
    INSIDE
        .into_iter()
        .map(|name| {
            if name == failed {
                reached = false;
                Check::fail(name, error, "a receipt that holds")
            } else if reached {
                Check::pass(name, "holds")
            } else {
                Check::skip(name)
            }
        })
        .collect()
}

/// Compares what the receipt says with the attestation that it names.
pub(super) fn ties(
    receipt: &Receipt,
    verified: Option<&VerifiedReceipt>,
    record: &AttestationRecord,
) -> Vec<Check> {
    let Some(verified) = verified else {
        return TIES.map(Check::skip).to_vec();
    };
    let [id, read, ..] = TIES;
    let id = Check::equal(
        id,
        verified.statement().attestation.clone(),
        record.attestation_id().to_string(),
    );
    let mut checks = vec![id];
    match record.claims() {
        Ok(claims) => {
            checks.push(Check::pass(read, claims_seen(&claims)));
            checks.extend(claimed(receipt, verified, &claims));
        }
        Err(error) => {
            checks.push(Check::fail(
                read,
                &error,
                "deterministic CBOR of this profile",
            ));
            checks.extend(TIES.into_iter().skip(2).map(Check::skip));
        }
    }
    checks
}

/// Compares what the receipt says with what the attested worker claimed of itself.
fn claimed(receipt: &Receipt, verified: &VerifiedReceipt, claims: &Claims) -> [Check; 5] {
    let (leaf, statement) = (verified.leaf(), verified.statement());
    let [_, _, key, worker, module, executor, gpu] = TIES;
    let key_seen = hex::encode(&receipt.receipt_key);
    [
        Check::equal(key, key_seen, hex::encode(&claims.receipt_key_spki)),
        Check::equal(
            worker,
            statement.worker.to_string(),
            claims.worker_id.clone(),
        ),
        Check::equal(
            module,
            leaf.module_digest.to_string(),
            hex::encode(claims.module_digest),
        ),
        Check::equal(
            executor,
            leaf.executor.clone(),
            executor_name(claims.executor),
        ),
        gpu_claimed(gpu, leaf, claims),
    ]
}

/// Whether evidence of the GPU that the leaf names was looked at, and held: that some came says nothing, nor that it was read.
pub(super) fn gpu_attested(
    leaf: &Leaf,
    record: &AttestationRecord,
    transcript: &Transcript,
) -> bool {
    let is_claimed = |uuid: &String| {
        let claims = record.claims();
        claims.is_ok_and(|claims| claims.gpus.iter().any(|gpu| gpu.uuid == *uuid))
    };
    let steps: Vec<_> = transcript
        .steps
        .iter()
        .filter(|step| step.number == GPU_STEP)
        .collect();
    let holds = |step: &&Step| match step.outcome {
        Outcome::Pass => true,
        Outcome::Skip => !step.required,
        Outcome::Fail => false,
    };
    leaf.gpu_uuid.as_ref().is_some_and(is_claimed)
        && steps.iter().any(|step| step.outcome == Outcome::Pass)
        && steps.iter().all(holds)
}

fn gpu_claimed(name: &'static str, leaf: &Leaf, claims: &Claims) -> Check {
    match (&leaf.gpu_uuid, claims.executor) {
        (None, ExecutorKind::Cpu) => Check::pass(name, "no GPU was used"),
        (None, ExecutorKind::Cuda) => Check::equal(name, "no GPU", "the GPU that CUDA ran on"),
        (Some(uuid), _) => {
            let claimed: Vec<_> = claims.gpus.iter().map(|gpu| gpu.uuid.clone()).collect();
            Check::one_of(name, uuid.clone(), &claimed)
        }
    }
}

const fn executor_name(executor: ExecutorKind) -> &'static str {
    match executor {
        ExecutorKind::Cpu => "cpu",
        ExecutorKind::Cuda => "cuda",
    }
}

fn claims_seen(claims: &Claims) -> String {
    let boot = hex::encode(claims.boot_id);
    format!("boot {boot}, attestation {}", claims.sequence)
}
