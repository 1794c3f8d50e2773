//! `POST /v1/ack` and `POST /v1/nack`: tasks that are done, and tasks given back.

use axum::extract::State;
use protocol::lease::{
    AckOutcome, AckRequest, AckResponse, NackOutcome, NackRequest, NackResponse,
};
use protocol::limits::{BATCH_TASKS_MAX, FAULT_MESSAGE_BYTES_MAX};
use protocol::problem::{Problem, ProblemCode};

use super::connection::AttestedConnection;
use super::message::Cbor;
use crate::problem::ApiProblem;
use crate::receipts::{self, Signatory};

pub(super) async fn ack(
    State(attested): State<AttestedConnection>,
    Cbor(request): Cbor<AckRequest>,
) -> Result<Cbor<AckResponse>, ApiProblem> {
    let session = attested.fresh_session()?;
    within_batch(request.acks.len(), "acks")?;
    let gateway = attested.gateway();
    let (worker, session, keys) = (session.worker.clone(), session.id, session.keys());
    // A signature and a hash of every output: up to 16 MiB, too long for the connection's own task.
    let batch = tokio::task::spawn_blocking(move || {
        let signatory = Signatory {
            worker: &worker,
            session,
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
    let outcomes = gateway
        .timed("ack", gateway.store.ack(batch, gateway.now_ms()))
        .await?;
    for outcome in &outcomes {
        gateway.metrics.acked(ack_label(outcome));
    }
    Ok(Cbor(AckResponse { outcomes }))
}

pub(super) async fn nack(
    State(attested): State<AttestedConnection>,
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
    for outcome in &outcomes {
        gateway.metrics.nacked(nack_label(*outcome));
    }
    Ok(Cbor(NackResponse { outcomes }))
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
