//! `POST /v1/ack` and `POST /v1/nack`: tasks that are done, and tasks given back.

use std::collections::BTreeMap;

use protocol::lease::{
    AckOutcome, AckRequest, AckResponse, NackOutcome, NackRequest, NackResponse, Output,
};
use protocol::limits::{BATCH_TASKS_MAX, FAULT_MESSAGE_BYTES_MAX};
use protocol::problem::{Problem, ProblemCode};

use super::LiveSession;
use super::connection::{AttestedConnection, require_fresh};
use super::message::Cbor;
use crate::computing;
use crate::problem::ApiProblem;
use crate::receipts::{self, Signatory, VerifiedBatch};
use crate::store::Store;

pub(super) async fn ack(
    attested: AttestedConnection,
    Cbor(request): Cbor<AckRequest>,
) -> Result<Cbor<AckResponse>, ApiProblem> {
    let session = attested.fresh_session()?;
    within_batch(request.acks.len(), "acks")?;
    let gateway = attested.gateway();
    let (worker, id, keys) = (session.worker.clone(), session.id, session.keys());
    // A signature and a hash of every output, of up to 16 MiB.
    let batch = computing::run(payload_bytes(&request), move || {
        let signatory = Signatory {
            worker: &worker,
            session: id,
            attested: &keys,
        };
        receipts::verify(request, &signatory)
    })
    .await
    .map_err(|error| ApiProblem::internal(&error))?
    .map_err(|refusal| {
        let detail = crate::problem::chain(&refusal);
        Problem::new(ProblemCode::MalformedRequest, detail).with_field("statement")
    })?;
    let outcomes = record(&gateway.store, session, batch, gateway.now_ms());
    let outcomes = gateway.timed("ack", outcomes).await?;
    for (label, count) in counted(outcomes.iter().map(ack_label)) {
        gateway.metrics.acked(label, count);
    }
    Ok(Cbor(AckResponse { outcomes }))
}

/// The session may have become stale while its batch was verified: then nothing of it counts.
async fn record(
    store: &Store,
    session: &LiveSession,
    batch: VerifiedBatch,
    now_ms: u64,
) -> Result<Vec<AckOutcome>, ApiProblem> {
    require_fresh(session)?;
    Ok(store.ack(batch, now_ms).await?)
}

pub(super) async fn nack(
    attested: AttestedConnection,
    Cbor(mut request): Cbor<NackRequest>,
) -> Result<Cbor<NackResponse>, ApiProblem> {
    // A stale session may give back: that moves no task byte, and another worker gets the task sooner.
    within_batch(request.nacks.len(), "nacks")?;
    for nack in &mut request.nacks {
        let cut = nack
            .fault
            .message
            .floor_char_boundary(FAULT_MESSAGE_BYTES_MAX);
        nack.fault.message.truncate(cut);
    }
    let gateway = attested.gateway();
    let outcomes = gateway
        .store
        .nack(&attested.session().worker, request.nacks, gateway.now_ms())
        .await?;
    for (label, count) in counted(outcomes.iter().copied().map(nack_label)) {
        gateway.metrics.nacked(label, count);
    }
    Ok(Cbor(NackResponse { outcomes }))
}

/// What verification goes through.
fn payload_bytes(request: &AckRequest) -> usize {
    let bytes = request.acks.iter().map(|ack| match &ack.output {
        Output::Inline(bytes) => ack.leaf.len().saturating_add(bytes.len()),
        Output::Uploaded { .. } => ack.leaf.len(),
    });
    bytes.fold(0, usize::saturating_add)
}

/// How often each label comes: a batch has a thousand outcomes, nearly all the same.
fn counted(labels: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for label in labels {
        let count: &mut u64 = counts.entry(label).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

fn within_batch(count: usize, field: &str) -> Result<(), ApiProblem> {
    if (1..=BATCH_TASKS_MAX).contains(&count) {
        return Ok(());
    }
    let detail = format!("a batch has 1 to {BATCH_TASKS_MAX} entries, not {count}");
    Err(Problem::new(ProblemCode::LimitExceeded, detail)
        .with_field(field)
        .with_limit("BATCH_TASKS_MAX")
        .into())
}

fn ack_label(outcome: &AckOutcome) -> &'static str {
    match outcome {
        AckOutcome::Accepted => "accepted",
        AckOutcome::AlreadyAccepted => "already-accepted",
        AckOutcome::Superseded => "superseded",
        AckOutcome::Cancelled => "cancelled",
        AckOutcome::UnknownTask => "unknown-task",
        AckOutcome::Refused { .. } => "refused",
    }
}

fn nack_label(outcome: NackOutcome) -> &'static str {
    match outcome {
        NackOutcome::Returned => "returned",
        NackOutcome::Superseded => "superseded",
        NackOutcome::UnknownTask => "unknown-task",
    }
}

#[cfg(test)]
mod tests {
    use protocol::task::TaskState;

    use super::*;
    use crate::store::tests::harness::{NOW_MS, Pool, Worker, ack};
    use crate::worker::sessions::tests::session;

    #[tokio::test]
    async fn what_was_verified_while_the_session_ended_does_not_count() {
        let mut pool = Pool::new().await;
        let worker: Worker = pool.worker("worker-1").await;
        let session = session(&worker);
        let task = pool.submit().await;
        let leases = pool.lease(&worker, 1).await;
        let batch = || worker.sign(leases.iter().map(ack).collect());
        session.mark_stale();
        assert!(
            record(&pool.store, &session, batch(), NOW_MS)
                .await
                .is_err()
        );
        assert_eq!(pool.state(task).await, TaskState::Running);
        session.attested_again(session.attested(), std::time::Duration::from_hours(1));
        let outcomes = record(&pool.store, &session, batch(), NOW_MS).await;
        assert_eq!(outcomes.ok(), Some(vec![AckOutcome::Accepted]));
    }
}
