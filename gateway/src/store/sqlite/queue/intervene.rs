//! What people do to a task: cancel it, or return a dead letter to the queue.

use protocol::lease::LeaseRef;
use protocol::task::TaskState;
use protocol::{FencingToken, TaskId};
use rusqlite::Connection;

use super::super::super::{CancelOutcome, RedriveOutcome, RunningLease, StoreError, TaskScope};
use super::super::WriteScope;
use super::super::values::{
    TaskRow, integer, optional_parsed_at, parsed_at, session_at, task_row, unsigned_at,
};

/// Cancels each task that is not finished, and says which worker must be told.
pub(in super::super::super) fn cancel(
    scope: &mut WriteScope<'_>,
    whose: &TaskScope,
    tasks: &[TaskId],
    now_ms: u64,
) -> Result<Vec<CancelOutcome>, StoreError> {
    tasks
        .iter()
        .map(|&task| cancel_one(scope, whose, task, now_ms))
        .collect()
}

fn cancel_one(
    scope: &mut WriteScope<'_>,
    whose: &TaskScope,
    task: TaskId,
    now_ms: u64,
) -> Result<CancelOutcome, StoreError> {
    let Some(found) = find(scope.connection, whose, task)? else {
        return Ok(CancelOutcome::UnknownTask);
    };
    match found.state {
        TaskState::Queued | TaskState::Running => {}
        TaskState::Cancelled => return Ok(CancelOutcome::AlreadyCancelled),
        finished => return Ok(CancelOutcome::Finished(finished)),
    }
    scope
        .connection
        .prepare_cached(
            "UPDATE tasks SET state = 'cancelled', finished_ms = ?2, lease_expires_ms = NULL
             WHERE number = ?1",
        )?
        .execute((found.row.number, integer(now_ms)))?;
    scope.moved(found.row, Some(found.state), TaskState::Cancelled);
    Ok(CancelOutcome::Cancelled {
        running: found.running,
    })
}

struct Found {
    row: TaskRow,
    state: TaskState,
    running: Option<RunningLease>,
}

fn find(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Option<Found>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, id, flow, state, fencing_token, worker, session FROM tasks
         WHERE id = ?1 AND (?2 IS NULL OR user = ?2)",
    )?;
    let mut rows = statement.query((task.to_bytes(), whose.user()))?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let state = parsed_at(row, "state", "a task state")?;
    let worker = optional_parsed_at(row, "worker", "a worker id")?;
    let running = match worker {
        Some(worker) if state == TaskState::Running => Some(RunningLease {
            worker,
            session: session_at(row, "session")?,
            lease: LeaseRef {
                task,
                fencing_token: FencingToken(unsigned_at(row, "fencing_token")?),
            },
        }),
        _ => None,
    };
    Ok(Some(Found {
        row: task_row(row)?,
        state,
        running,
    }))
}

/// Returns dead letters to the queue with their attempts given back. They keep their age, and lose a deadline that would
/// set them aside again.
pub(in super::super::super) fn redrive(
    scope: &mut WriteScope<'_>,
    tasks: &[TaskId],
) -> Result<Vec<RedriveOutcome>, StoreError> {
    tasks.iter().map(|&task| redrive_one(scope, task)).collect()
}

fn redrive_one(scope: &mut WriteScope<'_>, task: TaskId) -> Result<RedriveOutcome, StoreError> {
    let Some(found) = find(scope.connection, &TaskScope::All, task)? else {
        return Ok(RedriveOutcome::UnknownTask);
    };
    if found.state != TaskState::DeadLetter {
        return Ok(RedriveOutcome::WrongState(found.state));
    }
    scope
        .connection
        .prepare_cached(
            "UPDATE tasks SET state = 'queued', attempts = 0, fencing_token = fencing_token + 1,
                 deadline_ms = NULL, finished_ms = NULL, avoid_until_ms = NULL
             WHERE number = ?1",
        )?
        .execute([found.row.number])?;
    scope.moved(found.row, Some(TaskState::DeadLetter), TaskState::Queued);
    Ok(RedriveOutcome::Queued)
}
