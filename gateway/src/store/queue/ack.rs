//! Acknowledging: at most one output of a task ever takes effect.

use std::collections::HashMap;

use protocol::api::OutputView;
use protocol::lease::{AckOutcome, LeaseRef, OperationId, Output};
use protocol::task::TaskState;
use protocol::{FencingToken, Sha256Digest, WorkerId};

use super::super::database::{
    Change, Connection, Insert, Many, Row, TaskRow, Value, WriteScope, values,
};
use super::super::{StoreError, Success, attestations};
use super::{inputs, task_row};
use crate::receipts::{LeasedTask, VerifiedAck, VerifiedBatch};

pub(super) const STANDING: Many = Many {
    each: "SELECT tasks.number, id, flow, state, attempts, fencing_token, worker, operation, version, digest, output_bytes,
               inputs, leased_ms, deadline_ms
           FROM tasks JOIN task_payloads ON task = tasks.number JOIN flows ON flows.number = flow
           WHERE id = ?1",
    all: "SELECT position, tasks.number, id, flow, state, attempts, fencing_token, worker, operation, version, digest,
              output_bytes, inputs, leased_ms, deadline_ms
          FROM unnest(?1::bytea[]) WITH ORDINALITY AS given (of_id, position)
          JOIN tasks ON id = of_id JOIN task_payloads ON task = tasks.number JOIN flows ON flows.number = flow",
};
pub(super) const INSERT_BATCH: &str =
    "INSERT INTO receipt_batches (attestation, statement, receipt_key, leaf_hashes, accepted_ms, tasks)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(super) static INSERT_OUTPUT: Insert = Insert::new(
    "task_outputs",
    &[
        ("task", "bigint"),
        ("sha256", "bytea"),
        ("bytes", "bigint"),
        ("batch", "bigint"),
        ("position", "bigint"),
        ("leaf", "bytea"),
        ("data", "bytea"),
    ],
    &[],
);
pub(super) static SUCCEED: Change = Change::new(
    "UPDATE tasks SET state = 'succeeded', finished_ms = ?1, lease_expires_ms = NULL WHERE number",
    1,
);

/// Records each output that takes effect, with its receipt, and says what became of the others.
pub(in super::super) fn ack(
    scope: &mut WriteScope<'_>,
    batch: &VerifiedBatch,
    now_ms: u64,
) -> Result<Vec<AckOutcome>, StoreError> {
    let Some(enrolled) =
        attestations::enrolled(scope.connection, batch.worker(), batch.attestation())?
    else {
        // Taken out of the pool while the batch was on its way: what it held, run out or not, is another's to finish.
        return Ok(batch
            .acks()
            .iter()
            .map(|_| AckOutcome::Superseded)
            .collect());
    };
    let tasks: Vec<_> = batch
        .acks()
        .iter()
        .map(|(lease, _)| values![lease.task])
        .collect();
    let standings = scope.connection.first_many(&STANDING, &tasks, standing)?;
    let mut recording = Recording {
        connection: scope.connection,
        batch,
        attestation: enrolled.attestation,
        now_ms,
        accepted: Vec::new(),
        outputs: HashMap::new(),
    };
    let mut outcomes = Vec::with_capacity(batch.acks().len());
    for (position, ((lease, ack), standing)) in batch.acks().iter().zip(standings).enumerate() {
        outcomes.push(match ack {
            Ok(ack) => recording.decide(*lease, ack, standing, position)?,
            Err(refusal) => refused(refusal),
        });
    }
    let accepted = recording.keep()?;
    for Accepted {
        row, from, success, ..
    } in accepted
    {
        scope.succeeded(row, from, success);
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
    leased_ms: Option<u64>,
    deadline_ms: Option<u64>,
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

/// A task whose output takes effect.
struct Accepted<'b> {
    row: TaskRow,
    /// The state that it was in.
    from: TaskState,
    success: Success,
    /// Where in the batch it stands.
    position: usize,
    ack: &'b VerifiedAck,
}

/// One batch on its way into the database.
struct Recording<'b> {
    connection: &'b Connection,
    batch: &'b VerifiedBatch,
    /// Key of the record that it is signed under, if it is on record.
    attestation: Option<i64>,
    now_ms: u64,
    accepted: Vec<Accepted<'b>>,
    /// By the key of their tasks.
    outputs: HashMap<i64, Sha256Digest>,
}

impl<'b> Recording<'b> {
    fn decide(
        &mut self,
        lease: LeaseRef,
        ack: &'b VerifiedAck,
        standing: Option<Standing>,
        position: usize,
    ) -> Result<AckOutcome, StoreError> {
        let Some(standing) = standing else {
            return Ok(AckOutcome::UnknownTask);
        };
        if let Some(outcome) = decide(&standing, lease, self.batch.worker()) {
            return Ok(outcome);
        }
        let number = standing.row.number;
        if let Some(earlier) = self.outputs.get(&number) {
            return Ok(repeated(*earlier, ack));
        }
        if standing.state == TaskState::Succeeded {
            let sql = "SELECT sha256 FROM task_outputs WHERE task = ?1";
            let recorded = self.connection.get(sql, &values![number])?;
            return Ok(repeated(recorded, ack));
        }
        if let Err(refusal) = ack.agrees_with(&standing.leased) {
            return Ok(refused(&refusal));
        }
        if !self.is_at_hand(ack)? {
            return Ok(refused("the output was not uploaded by this worker"));
        }
        if self.attestation.is_none() {
            return Ok(refused(
                "the attestation that signs the batch is not on record",
            ));
        }
        self.accepted.push(self.accepted(&standing, position, ack));
        self.outputs.insert(number, ack.leaf().output);
        Ok(AckOutcome::Accepted)
    }

    fn accepted(&self, standing: &Standing, position: usize, ack: &'b VerifiedAck) -> Accepted<'b> {
        let output = OutputView {
            sha256: ack.leaf().output,
            bytes: ack.leaf().output_bytes,
        };
        Accepted {
            row: standing.row,
            from: standing.state,
            success: Success {
                attempts: standing.leased.attempt,
                worker: self.batch.worker().clone(),
                deadline_ms: standing.deadline_ms,
                leased_ms: standing.leased_ms,
                finished_ms: self.now_ms,
                output,
            },
            position,
            ack,
        }
    }

    /// Nobody may make another's blob an output by naming its digest.
    fn is_at_hand(&self, ack: &VerifiedAck) -> Result<bool, StoreError> {
        match ack.output() {
            Output::Inline(_) => Ok(true),
            Output::Uploaded { sha256, bytes } => self.connection.exists(
                "SELECT 1 FROM worker_blobs WHERE worker = ?1 AND sha256 = ?2 AND bytes = ?3",
                &values![self.batch.worker(), sha256, *bytes],
            ),
        }
    }

    /// Writes what was accepted, and says what that was.
    fn keep(self) -> Result<Vec<Accepted<'b>>, StoreError> {
        if self.accepted.is_empty() {
            return Ok(self.accepted);
        }
        let batch = self.insert_batch()?;
        let outputs: Vec<_> = self.accepted.iter().map(|of| output(of, batch)).collect();
        self.connection.insert_many(&INSERT_OUTPUT, &outputs)?;
        let succeeded: Vec<_> = self.accepted.iter().map(|of| of.row.number).collect();
        self.connection
            .change_many(&SUCCEED, &values![self.now_ms], &succeeded)?;
        Ok(self.accepted)
    }

    /// Key of the batch's row.
    fn insert_batch(&self) -> Result<i64, StoreError> {
        let hashes = self.batch.leaf_hashes().iter();
        let leaf_hashes: Vec<u8> = hashes.flat_map(Sha256Digest::as_bytes).copied().collect();
        self.connection.insert(
            INSERT_BATCH,
            &values![
                self.attestation,
                self.batch.statement(),
                &self.batch.receipt_key().spki(),
                &leaf_hashes,
                self.now_ms,
                self.accepted.len()
            ],
        )
    }
}

fn output<'b>(accepted: &Accepted<'b>, batch: i64) -> [Value<'b>; 7] {
    let ack = accepted.ack;
    let data = match ack.output() {
        Output::Inline(bytes) => Some(bytes.as_slice()),
        Output::Uploaded { .. } => None,
    };
    values![
        accepted.row.number,
        &ack.leaf().output,
        ack.leaf().output_bytes,
        batch,
        accepted.position,
        ack.leaf_bytes(),
        data
    ]
}

fn standing(row: &Row<'_>) -> Result<Standing, StoreError> {
    let inputs = row.bytes(11, inputs::read)?.unwrap_or_default();
    Ok(Standing {
        row: task_row(row)?,
        state: row.get(3)?,
        fencing_token: row.get(5)?,
        worker: row.get(6)?,
        leased_ms: row.get(12)?,
        deadline_ms: row.get(13)?,
        leased: LeasedTask {
            attempt: row.get(4)?,
            operation: OperationId {
                name: row.get(7)?,
                version: row.get(8)?,
            },
            digest: row.get(9)?,
            output_bytes: row.get(10)?,
            inputs: inputs.iter().map(|input| input.descriptor.sha256).collect(),
        },
    })
}

/// The task has its output from this very lease.
fn repeated(recorded: Sha256Digest, ack: &VerifiedAck) -> AckOutcome {
    if recorded == ack.leaf().output {
        AckOutcome::AlreadyAccepted
    } else {
        refused("another output of this lease was accepted before")
    }
}
