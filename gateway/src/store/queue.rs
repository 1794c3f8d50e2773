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
//! | [`inputs`] | a task's inputs as one column |
//!
//! The fencing token of a task grows with every lease. It also grows when a lease ends by a nack, a redrive or its
//! worker's removal, so that what is said of that lease later is said of an old one. It does not grow when a lease runs
//! out: while nobody else took the task, the late ack of work that was done is welcome.

mod ack;
pub(super) mod inputs;
mod intervene;
mod lease;
mod pick;
#[cfg(test)]
mod plans;
mod prune;
mod release;
mod submit;

pub(super) use ack::ack;
pub(super) use intervene::{cancel, redrive};
pub(super) use lease::{lease, lease_input, renew};
pub(super) use prune::prune;
pub(super) use release::{expire, nack, release_all};
pub(super) use submit::submit;

use protocol::limits::PRIORITY_STEP_S;
use protocol::task::TaskState;

use super::StoreError;
use super::database::{Many, Row, TaskRow, Value, WriteScope, values};

/// Where a task stands among the queued ones of its user and operation: the smallest is leased next, equal ones in order of
/// arrival. Priority counts as time already waited, so a plain index ages the queue and nothing starves.
fn rank(submitted_ms: u64, priority: u8) -> i64 {
    let head_start_ms = u64::from(priority)
        .saturating_mul(PRIORITY_STEP_S)
        .saturating_mul(1_000);
    let signed = |ms| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(submitted_ms).saturating_sub(signed(head_start_ms))
}

/// Of the first columns `number`, `id` and `flow`.
fn task_row(row: &Row<'_>) -> Result<TaskRow, StoreError> {
    Ok(TaskRow {
        number: row.get(0)?,
        id: row.get(1)?,
        flow: row.get(2)?,
    })
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
    /// Why the attempt failed, if it did.
    fault: Option<String>,
}

/// Whether the ended lease may still be acked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    /// It ran out.
    Kept,
    /// It was given up.
    Burnt,
}

const END_LEASE: Many = Many {
    each: "UPDATE tasks SET state = ?2, attempts = ?3, fencing_token = fencing_token + ?4, finished_ms = ?5,
               lease_expires_ms = NULL, avoid_until_ms = ?6
           WHERE number = ?1",
    all: "UPDATE tasks SET state = to_state, attempts = counted, fencing_token = fencing_token + step,
              finished_ms = at_ms, lease_expires_ms = NULL, avoid_until_ms = until_ms
          FROM unnest(?1::bigint[], ?2::text[], ?3::bigint[], ?4::bigint[], ?5::bigint[], ?6::bigint[])
              AS given (task, to_state, counted, step, at_ms, until_ms)
          WHERE number = task",
};
const RECORD_FAULT: Many = Many {
    each: "INSERT INTO task_faults (task, message) VALUES (?1, ?2)
           ON CONFLICT (task) DO UPDATE SET message = excluded.message",
    all: "INSERT INTO task_faults (task, message) SELECT * FROM unnest(?1::bigint[], ?2::text[])
          ON CONFLICT (task) DO UPDATE SET message = excluded.message",
};

/// Takes running tasks back.
fn end_leases(scope: &mut WriteScope<'_>, endings: &[Ending]) -> Result<(), StoreError> {
    let rows: Vec<_> = endings.iter().map(Ending::row).collect();
    scope.connection.execute_many(&END_LEASE, &rows)?;
    let faults: Vec<_> = endings
        .iter()
        .filter_map(|ending| Some(values![ending.row.number, ending.fault.as_ref()?]))
        .collect();
    scope.connection.execute_many(&RECORD_FAULT, &faults)?;
    for ending in endings {
        scope.moved(ending.row, Some(TaskState::Running), ending.to);
    }
    Ok(())
}

impl Ending {
    fn row(&self) -> [Value<'_>; 6] {
        values![
            self.row.number,
            self.to,
            self.attempts,
            self.token == Token::Burnt,
            self.to.is_finished().then_some(self.now_ms),
            self.avoid_until_ms
        ]
    }
}
