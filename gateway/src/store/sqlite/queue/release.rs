//! Leases that end without an output: nacked, run out, or taken from a worker that is removed. Deadlines that pass.

use protocol::lease::{FaultKind, Nack, NackOutcome};
use protocol::limits::FAULT_MESSAGE_BYTES_MAX;
use protocol::task::TaskState;
use protocol::{FencingToken, WorkerId};
use rusqlite::{OptionalExtension, Row};

use super::super::super::{Expired, StoreError};
use super::super::WriteScope;
use super::super::values::{TaskRow, integer, integer_from_usize, task_row, unsigned_at};
use super::{Ending, Token, end_lease, record_fault};

/// Leases or deadlines in one pass, so that a pool that lost its network does not hold up the writer.
const EXPIRE_TASKS_MAX: usize = 1_000;

/// So long a task is kept from the worker on which its first attempt failed, doubling with each further one …
const AVOID_FIRST_MS: u64 = 2_000;
/// … up to this: where there is no other worker, it is that one or none.
const AVOID_MAX_MS: u64 = 60_000;

/// Takes back what a worker gives back.
pub(in super::super::super) fn nack(
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
    let found = scope
        .connection
        .prepare_cached(
            "SELECT number, id, flow, attempts, max_attempts, fencing_token,
                 state = 'running' AND worker = ?2 AS is_held
             FROM tasks WHERE id = ?1",
        )?
        .query_row((nack.lease.task.to_bytes(), worker.as_str()), |row| {
            let token = FencingToken(unsigned_at(row, "fencing_token")?);
            let is_held = row.get::<_, Option<bool>>("is_held")? == Some(true);
            let held = held(row)?;
            Ok((is_held && token == nack.lease.fencing_token).then_some(held))
        })
        .optional()?;
    let held = match found {
        None => return Ok(NackOutcome::UnknownTask),
        Some(None) => return Ok(NackOutcome::Superseded),
        Some(Some(held)) => held,
    };
    if nack.fault.kind != FaultKind::Released {
        record_fault(scope, held.row.number, excerpt(&nack.fault.message))?;
    }
    end_lease(scope, &held.nacked(nack.fault.kind, now_ms))?;
    Ok(NackOutcome::Returned)
}

fn excerpt(message: &str) -> &str {
    let end = message.floor_char_boundary(FAULT_MESSAGE_BYTES_MAX);
    message.get(..end).unwrap_or_default()
}

/// A task under a lease that ends.
struct Held {
    row: TaskRow,
    attempts: u32,
    max_attempts: u32,
}

fn held(row: &Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held {
        row: task_row(row)?,
        attempts: row.get("attempts")?,
        max_attempts: row.get("max_attempts")?,
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
pub(in super::super::super) fn expire(
    scope: &mut WriteScope<'_>,
    now_ms: u64,
) -> Result<Expired, StoreError> {
    let mut expired = Expired::default();
    let lost = run_out(scope, now_ms)?;
    let late_leases = lost.len();
    for (held, worker) in lost {
        let to = held.after_failure();
        record_fault(
            scope,
            held.row.number,
            &format!("the lease ran out: worker {worker} did not renew it"),
        )?;
        end_lease(
            scope,
            &Ending {
                row: held.row,
                to,
                attempts: held.attempts,
                token: Token::Kept,
                avoid_until_ms: None,
                now_ms,
            },
        )?;
        let counted = match to {
            TaskState::DeadLetter => &mut expired.dead_lettered,
            _ => &mut expired.requeued,
        };
        *counted = counted.saturating_add(1);
    }
    let late_tasks = pass_deadlines(scope, now_ms)?;
    expired.deadlines_passed = u64::try_from(late_tasks).unwrap_or(u64::MAX);
    expired.more = late_leases == EXPIRE_TASKS_MAX || late_tasks == EXPIRE_TASKS_MAX;
    Ok(expired)
}

fn run_out(scope: &WriteScope<'_>, now_ms: u64) -> Result<Vec<(Held, String)>, StoreError> {
    let mut statement = scope.connection.prepare_cached(
        "SELECT number, id, flow, attempts, max_attempts, worker FROM tasks
         WHERE state = 'running' AND lease_expires_ms <= ?1
         ORDER BY lease_expires_ms LIMIT ?2",
    )?;
    let bounds = (integer(now_ms), integer_from_usize(EXPIRE_TASKS_MAX));
    let rows = statement.query_map(bounds, |row| Ok((held(row)?, row.get("worker")?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn pass_deadlines(scope: &mut WriteScope<'_>, now_ms: u64) -> Result<usize, StoreError> {
    let mut statement = scope.connection.prepare_cached(
        "UPDATE tasks SET state = 'expired', finished_ms = ?1
         WHERE number IN (
             SELECT number FROM tasks
             WHERE state = 'queued' AND deadline_ms IS NOT NULL AND deadline_ms <= ?1
             ORDER BY deadline_ms LIMIT ?2)
         RETURNING number, id, flow",
    )?;
    let bounds = (integer(now_ms), integer_from_usize(EXPIRE_TASKS_MAX));
    let late = statement.query_map(bounds, task_row)?;
    let late: Vec<TaskRow> = late.collect::<Result<_, _>>()?;
    for &task in &late {
        scope.moved(task, Some(TaskState::Queued), TaskState::Expired);
    }
    Ok(late.len())
}

/// Takes every task from a worker that is removed; its attempts do not count, since nothing failed.
pub(in super::super::super) fn release_all(
    scope: &mut WriteScope<'_>,
    worker: &WorkerId,
    now_ms: u64,
) -> Result<(), StoreError> {
    let held = {
        let mut statement = scope.connection.prepare_cached(
            "SELECT number, id, flow, attempts, max_attempts FROM tasks
             WHERE state = 'running' AND worker = ?1",
        )?;
        let rows = statement.query_map([worker.as_str()], held)?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    for held in held {
        end_lease(scope, &held.nacked(FaultKind::Released, now_ms))?;
    }
    Ok(())
}
