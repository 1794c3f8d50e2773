//! Acknowledging: at most one output of a task ever takes effect.

use std::cell::OnceCell;

use protocol::lease::{AckOutcome, LeaseRef, OperationId, Output};
use protocol::task::TaskState;
use protocol::{FencingToken, Sha256Digest, WorkerId};
use rusqlite::Connection;

use super::super::super::StoreError;
use super::super::WriteScope;
use super::super::values::{
    TaskRow, digest_at, integer, integer_from_usize, optional_parsed_at, parsed_at, task_row,
    unsigned_at,
};
use super::super::{attestations, workers};
use crate::receipts::{LeasedTask, VerifiedAck, VerifiedBatch};

/// Records each output that takes effect, with its receipt, and says what became of the others.
pub(in super::super::super) fn ack(
    scope: &mut WriteScope<'_>,
    batch: &VerifiedBatch,
    now_ms: u64,
) -> Result<Vec<AckOutcome>, StoreError> {
    if !workers::is_enrolled(scope.connection, batch.worker())? {
        // Taken out of the pool while the batch was on its way: what it held, run out or not, is another's to finish.
        return Ok(batch
            .acks()
            .iter()
            .map(|_| AckOutcome::Superseded)
            .collect());
    }
    let recording = Recording {
        batch,
        now_ms,
        number: OnceCell::new(),
    };
    let mut accepted = 0_usize;
    let mut outcomes = Vec::with_capacity(batch.acks().len());
    for (position, (lease, ack)) in batch.acks().iter().enumerate() {
        let outcome = match ack {
            Ok(ack) => recording.ack(scope, *lease, ack, position)?,
            Err(refusal) => refused(refusal),
        };
        accepted = accepted.saturating_add(usize::from(outcome == AckOutcome::Accepted));
        outcomes.push(outcome);
    }
    if accepted > 0 {
        scope
            .connection
            .prepare_cached(
                "UPDATE workers SET tasks_succeeded = tasks_succeeded + ?2 WHERE id = ?1",
            )?
            .execute((batch.worker().as_str(), integer_from_usize(accepted)))?;
    }
    Ok(outcomes)
}

fn refused(reason: &(impl ToString + ?Sized)) -> AckOutcome {
    AckOutcome::Refused {
        reason: reason.to_string(),
    }
}

/// The task of an ack, as it stands now.
struct Standing {
    row: TaskRow,
    state: TaskState,
    fencing_token: FencingToken,
    worker: Option<WorkerId>,
    leased: LeasedTask,
}

/// What a lease's standing means for its ack.
fn decide(standing: &Standing, lease: LeaseRef, worker: &WorkerId) -> Option<AckOutcome> {
    if standing.state == TaskState::Cancelled {
        return Some(AckOutcome::Cancelled);
    }
    if standing.fencing_token != lease.fencing_token {
        return Some(AckOutcome::Superseded);
    }
    if standing.worker.as_ref() != Some(worker) {
        return Some(refused("the lease is another worker's"));
    }
    match standing.state {
        // Queued with this token: the lease ran out, but the work is done and nobody else has begun it.
        TaskState::Running | TaskState::Queued | TaskState::Succeeded => None,
        TaskState::DeadLetter | TaskState::Expired | TaskState::Cancelled => {
            Some(AckOutcome::Superseded)
        }
    }
}

/// One batch on its way into the database.
struct Recording<'b> {
    batch: &'b VerifiedBatch,
    now_ms: u64,
    /// Key of the batch's row, once one of its outputs takes effect.
    number: OnceCell<i64>,
}

impl Recording<'_> {
    fn ack(
        &self,
        scope: &mut WriteScope<'_>,
        lease: LeaseRef,
        ack: &VerifiedAck,
        position: usize,
    ) -> Result<AckOutcome, StoreError> {
        let Some(standing) = standing(scope.connection, lease)? else {
            return Ok(AckOutcome::UnknownTask);
        };
        if let Some(outcome) = decide(&standing, lease, self.batch.worker()) {
            return Ok(outcome);
        }
        if standing.state == TaskState::Succeeded {
            return repeated(scope.connection, standing.row.number, ack);
        }
        if let Err(refusal) = ack.agrees_with(&standing.leased) {
            return Ok(refused(&refusal));
        }
        if !self.is_at_hand(scope.connection, ack)? {
            return Ok(refused("the output was not uploaded by this worker"));
        }
        let Some(batch) = self.batch_number(scope.connection)? else {
            return Ok(refused(
                "the attestation that signs the batch is not on record",
            ));
        };
        insert_output(
            scope.connection,
            standing.row.number,
            (batch, position),
            ack,
        )?;
        self.succeed(scope.connection, standing.row.number)?;
        scope.moved(standing.row, Some(standing.state), TaskState::Succeeded);
        Ok(AckOutcome::Accepted)
    }

    /// Nobody may make another's blob an output by naming its digest.
    fn is_at_hand(&self, connection: &Connection, ack: &VerifiedAck) -> Result<bool, StoreError> {
        match ack.output() {
            Output::Inline(_) => Ok(true),
            Output::Uploaded { sha256, bytes } => Ok(connection
                .prepare_cached(
                    "SELECT 1 FROM worker_blobs WHERE worker = ?1 AND sha256 = ?2 AND bytes = ?3",
                )?
                .exists((
                    self.batch.worker().as_str(),
                    sha256.as_bytes(),
                    integer(*bytes),
                ))?),
        }
    }

    /// The row of the batch, made on first use; `None` where its attestation is not on record.
    fn batch_number(&self, connection: &Connection) -> Result<Option<i64>, StoreError> {
        if let Some(number) = self.number.get() {
            return Ok(Some(*number));
        }
        let Some(attestation) = attestations::number(connection, self.batch.attestation())? else {
            return Ok(None);
        };
        let leaf_hashes: Vec<u8> = self
            .batch
            .leaf_hashes()
            .iter()
            .flat_map(Sha256Digest::as_bytes)
            .copied()
            .collect();
        let number = connection
            .prepare_cached(
                "INSERT INTO receipt_batches (attestation, statement, receipt_key, leaf_hashes, accepted_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .insert((
                attestation,
                self.batch.statement(),
                self.batch.receipt_key().spki(),
                leaf_hashes,
                integer(self.now_ms),
            ))?;
        Ok(Some(*self.number.get_or_init(|| number)))
    }

    fn succeed(&self, connection: &Connection, number: i64) -> Result<(), StoreError> {
        connection
            .prepare_cached(
                "UPDATE tasks SET state = 'succeeded', finished_ms = ?2, lease_expires_ms = NULL
                 WHERE number = ?1",
            )?
            .execute((number, integer(self.now_ms)))?;
        Ok(())
    }
}

fn standing(connection: &Connection, lease: LeaseRef) -> Result<Option<Standing>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, id, flow, state, attempts, fencing_token, worker, operation, version, digest, output_bytes
         FROM tasks JOIN task_bodies ON task_bodies.task = tasks.number
         WHERE id = ?1",
    )?;
    let mut rows = statement.query([lease.task.to_bytes()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let task = task_row(row)?;
    Ok(Some(Standing {
        row: task,
        state: parsed_at(row, "state", "a task state")?,
        fencing_token: FencingToken(unsigned_at(row, "fencing_token")?),
        worker: optional_parsed_at(row, "worker", "a worker id")?,
        leased: LeasedTask {
            attempt: row.get("attempts")?,
            digest: digest_at(row, "digest")?,
            operation: OperationId {
                name: row.get("operation")?,
                version: row.get("version")?,
            },
            inputs: input_digests(connection, task.number)?,
            output_bytes: unsigned_at(row, "output_bytes")?,
        },
    }))
}

fn input_digests(connection: &Connection, number: i64) -> Result<Vec<Sha256Digest>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT sha256 FROM task_inputs WHERE task = ?1 ORDER BY position")?;
    let digests = statement.query_map([number], |row| digest_at(row, "sha256"))?;
    Ok(digests.collect::<Result<_, _>>()?)
}

/// The task has its output from this very lease.
fn repeated(
    connection: &Connection,
    number: i64,
    ack: &VerifiedAck,
) -> Result<AckOutcome, StoreError> {
    let recorded = connection
        .prepare_cached("SELECT sha256 FROM task_outputs WHERE task = ?1")?
        .query_row([number], |row| digest_at(row, "sha256"))?;
    Ok(if recorded == ack.leaf().output {
        AckOutcome::AlreadyAccepted
    } else {
        refused("another output of this lease was accepted before")
    })
}

fn insert_output(
    connection: &Connection,
    number: i64,
    (batch, position): (i64, usize),
    ack: &VerifiedAck,
) -> Result<(), StoreError> {
    let data = match ack.output() {
        Output::Inline(bytes) => Some(bytes.as_slice()),
        Output::Uploaded { .. } => None,
    };
    connection
        .prepare_cached(
            "INSERT INTO task_outputs (task, sha256, bytes, batch, position, leaf, data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            number,
            ack.leaf().output.as_bytes(),
            integer(ack.leaf().output_bytes),
            batch,
            integer_from_usize(position),
            ack.leaf_bytes(),
            data,
        ))?;
    Ok(())
}
