//! The queue. Each step of a task's life is decided here, in SQL, inside the writer's transaction.
//!
//! | module | steps |
//! |---|---|
//! | [`mod@submit`] | → queued |
//! | [`mod@lease`], [`mod@pick`] | queued → running, and renewal |
//! | [`mod@ack`] | running (or queued, when the lease ran out) → succeeded |
//! | [`release`] | running → queued or dead letter: nack, expiry, a worker's removal; queued → expired |
//! | [`intervene`] | cancel, redrive |
//! | [`mod@prune`] | finished → forgotten |
//!
//! The fencing token of a task grows with every lease. It also grows when a lease ends by a nack, a redrive or its
//! worker's removal, so that what is said of that lease later is said of an old one. It does not grow when a lease runs
//! out: while nobody else took the task, the late ack of work that was done is welcome.

mod ack;
mod intervene;
mod lease;
mod pick;
#[cfg(test)]
mod plans;
mod prune;
mod release;
mod submit;

pub(in super::super) use ack::ack;
pub(in super::super) use intervene::{cancel, redrive};
pub(in super::super) use lease::{lease, lease_input, renew};
pub(in super::super) use prune::prune;
pub(in super::super) use release::{expire, nack, release_all};
pub(in super::super) use submit::submit;

use protocol::limits::PRIORITY_STEP_S;
use protocol::task::TaskState;

use super::super::StoreError;
use super::WriteScope;
use super::values::{TaskRow, integer, optional_integer};

/// Where a task stands among the queued ones of its user and operation: the smallest is leased next, equal ones in order of
/// arrival. Priority counts as time already waited, so a plain index ages the queue and nothing starves.
fn rank(submitted_ms: u64, priority: u8) -> i64 {
    let head_start_ms = u64::from(priority)
        .saturating_mul(PRIORITY_STEP_S)
        .saturating_mul(1_000);
    integer(submitted_ms).saturating_sub(integer(head_start_ms))
}

/// How a lease ends without an ack.
struct Ending {
    row: TaskRow,
    to: TaskState,
    /// Deliveries that count from now on.
    attempts: u32,
    token: Token,
    /// Until when the worker that had it does not get it again.
    avoid_until_ms: Option<u64>,
    now_ms: u64,
}

/// Whether the ended lease may still be acked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    /// It ran out.
    Kept,
    /// It was given up.
    Burnt,
}

/// Takes a running task back.
fn end_lease(scope: &mut WriteScope<'_>, ending: &Ending) -> Result<(), StoreError> {
    let finished_ms = ending.to.is_finished().then(|| integer(ending.now_ms));
    scope
        .connection
        .prepare_cached(
            "UPDATE tasks SET state = ?2, attempts = ?3, fencing_token = fencing_token + ?4, finished_ms = ?5,
                 lease_expires_ms = NULL, avoid_until_ms = ?6
             WHERE number = ?1",
        )?
        .execute((
            ending.row.number,
            ending.to.as_str(),
            ending.attempts,
            i64::from(ending.token == Token::Burnt),
            finished_ms,
            optional_integer(ending.avoid_until_ms),
        ))?;
    scope.moved(ending.row, Some(TaskState::Running), ending.to);
    Ok(())
}

/// Keeps why the latest attempt failed.
fn record_fault(scope: &WriteScope<'_>, number: i64, message: &str) -> Result<(), StoreError> {
    scope
        .connection
        .prepare_cached(
            "INSERT INTO task_faults (task, message) VALUES (?1, ?2)
             ON CONFLICT (task) DO UPDATE SET message = excluded.message",
        )?
        .execute((number, message))?;
    Ok(())
}
