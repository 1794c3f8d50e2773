//! Leases that end without an output: nacked, run out, or taken from a worker that is removed. Deadlines that pass.

use protocol::WorkerId;
use protocol::lease::{FaultKind, Nack, NackOutcome};
use protocol::limits::FAULT_MESSAGE_BYTES_MAX;
use protocol::task::TaskState;

use super::super::database::{Row, TaskRow, WriteScope, values};
use super::super::{Expired, StoreError};
use super::{Ending, Token, end_leases, task_row};

/// Leases or deadlines in one pass, so that a pool that lost its network does not hold up the writer.
const EXPIRE_TASKS_MAX: usize = 1_000;

/// So long a task is kept from the worker on which its first attempt failed, doubling with each further one …
const AVOID_FIRST_MS: u64 = 2_000;
/// … up to this: where there is no other worker, it is that one or none.
const AVOID_MAX_MS: u64 = 60_000;

/// Takes back what a worker gives back.
pub(in super::super) fn nack(
    scope: &mut WriteScope<'_>,
    worker: &WorkerId,
    nacks: &[Nack],
    now_ms: u64,
) -> Result<Vec<NackOutcome>, StoreError> {
    nacks
        .iter()
        .map(|nack| nack_one(scope, worker, nack, now_ms))
        .collect()
}

fn nack_one(
    scope: &mut WriteScope<'_>,
    worker: &WorkerId,
    nack: &Nack,
    now_ms: u64,
) -> Result<NackOutcome, StoreError> {
    let found = scope.connection.first(
        "SELECT number, id, flow, attempts, max_attempts, state = 'running' AND worker = ?2 AND fencing_token = ?3
         FROM tasks WHERE id = ?1",
        &values![nack.lease.task, worker, nack.lease.fencing_token],
        |row| Ok((held(row)?, row.get::<Option<bool>>(5)?)),
    )?;
    let held = match found {
        None => return Ok(NackOutcome::UnknownTask),
        Some((held, Some(true))) => held,
        Some(_) => return Ok(NackOutcome::Superseded),
    };
    let ending = Ending {
        fault: (nack.fault.kind != FaultKind::Released).then(|| excerpt(&nack.fault.message)),
        ..held.nacked(nack.fault.kind, now_ms)
    };
    end_leases(scope, &[ending])?;
    Ok(NackOutcome::Returned)
}

/// What is kept of a worker's message. PostgreSQL's texts have no NUL.
fn excerpt(message: &str) -> String {
    let end = message.floor_char_boundary(FAULT_MESSAGE_BYTES_MAX);
    let excerpt = message.get(..end).unwrap_or_default();
    excerpt.replace('\0', "\u{fffd}")
}

/// A task under a lease that ends.
struct Held {
    row: TaskRow,
    attempts: u32,
    max_attempts: u32,
}

/// Of the columns of a [`task_row`], `attempts` and `max_attempts`.
fn held(row: &Row<'_>) -> Result<Held, StoreError> {
    Ok(Held {
        row: task_row(row)?,
        attempts: row.get(3)?,
        max_attempts: row.get(4)?,
    })
}

impl Held {
    fn after_failure(&self) -> TaskState {
        if self.attempts < self.max_attempts {
            TaskState::Queued
        } else {
            TaskState::DeadLetter
        }
    }

    fn nacked(&self, kind: FaultKind, now_ms: u64) -> Ending {
        let (to, attempts) = match kind {
            FaultKind::Released => (TaskState::Queued, self.attempts.saturating_sub(1)),
            FaultKind::Failed => (self.after_failure(), self.attempts),
            FaultKind::Invalid => (TaskState::DeadLetter, self.attempts),
        };
        let failed = kind == FaultKind::Failed;
        Ending {
            row: self.row,
            to,
            attempts,
            token: Token::Burnt,
            avoid_until_ms: failed.then(|| now_ms.saturating_add(self.avoided_ms())),
            now_ms,
            fault: None,
        }
    }

    /// What failed on a worker would fail there again, as likely as not: others get it first.
    fn avoided_ms(&self) -> u64 {
        let doubled = self.attempts.saturating_sub(1);
        AVOID_FIRST_MS
            .saturating_mul(1_u64.checked_shl(doubled).unwrap_or(u64::MAX))
            .min(AVOID_MAX_MS)
    }
}

/// Takes back what ran out and sets aside what is too late, a bounded number at a time.
pub(in super::super) fn expire(
    scope: &mut WriteScope<'_>,
    now_ms: u64,
) -> Result<Expired, StoreError> {
    let mut expired = Expired::default();
    let lost = run_out(scope, now_ms)?;
    let endings: Vec<_> = lost
        .iter()
        .map(|(held, worker)| held.run_out(worker, now_ms))
        .collect();
    end_leases(scope, &endings)?;
    for ending in &endings {
        let counted = match ending.to {
            TaskState::DeadLetter => &mut expired.dead_lettered,
            _ => &mut expired.requeued,
        };
        *counted = counted.saturating_add(1);
    }
    let late_tasks = pass_deadlines(scope, now_ms)?;
    expired.deadlines_passed = u64::try_from(late_tasks).unwrap_or(u64::MAX);
    expired.more = endings.len() == EXPIRE_TASKS_MAX || late_tasks == EXPIRE_TASKS_MAX;
    Ok(expired)
}

impl Held {
    /// The work may still be done, and its ack is welcome until somebody else begins it.
    fn run_out(&self, worker: &str, now_ms: u64) -> Ending {
        Ending {
            row: self.row,
            to: self.after_failure(),
            attempts: self.attempts,
            token: Token::Kept,
            avoid_until_ms: None,
            now_ms,
            fault: Some(format!(
                "the lease ran out: worker {worker} did not renew it"
            )),
        }
    }
}

pub(super) const RUN_OUT: &str =
    "SELECT number, id, flow, attempts, max_attempts, worker FROM tasks
     WHERE finished_ms IS NULL AND lease_expires_ms <= ?1
     ORDER BY lease_expires_ms LIMIT ?2";

fn run_out(scope: &WriteScope<'_>, now_ms: u64) -> Result<Vec<(Held, String)>, StoreError> {
    let bounds = values![now_ms, EXPIRE_TASKS_MAX];
    scope
        .connection
        .query(RUN_OUT, &bounds, |row| Ok((held(row)?, row.get(5)?)))
}

pub(super) const LATE: &str = "UPDATE tasks SET state = 'expired', finished_ms = ?1
     WHERE number IN (
         SELECT number FROM tasks
         WHERE state = 'queued' AND deadline_ms IS NOT NULL AND deadline_ms <= ?1
         ORDER BY deadline_ms LIMIT ?2)
     RETURNING number, id, flow";

fn pass_deadlines(scope: &mut WriteScope<'_>, now_ms: u64) -> Result<usize, StoreError> {
    let bounds = values![now_ms, EXPIRE_TASKS_MAX];
    let late = scope.connection.query(LATE, &bounds, task_row)?;
    for &task in &late {
        scope.moved(task, Some(TaskState::Queued), TaskState::Expired);
    }
    Ok(late.len())
}

pub(super) const HELD_BY: &str = "SELECT number, id, flow, attempts, max_attempts FROM tasks
     WHERE finished_ms IS NULL AND lease_expires_ms > 0 AND worker = ?1";

/// Takes every task from a worker that is removed; its attempts do not count, since nothing failed.
pub(in super::super) fn release_all(
    scope: &mut WriteScope<'_>,
    worker: &WorkerId,
    now_ms: u64,
) -> Result<(), StoreError> {
    let held = scope.connection.query(HELD_BY, &values![worker], held)?;
    let endings: Vec<_> = held
        .iter()
        .map(|held| held.nacked(FaultKind::Released, now_ms))
        .collect();
    end_leases(scope, &endings)
}
