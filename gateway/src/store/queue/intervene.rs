//! What people do to a task: cancel it, or return a dead letter to the queue.

use protocol::lease::LeaseRef;
use protocol::task::TaskState;
use protocol::{FencingToken, TaskId, WorkerId};

use super::super::database::{Connection, TaskRow, WriteScope, values};
use super::super::{CancelOutcome, Order, RedriveOutcome, RunningLease, StoreError, TaskScope};
use super::task_row;

/// Cancels each task that is not finished, and says which worker must be told.
pub(in super::super) fn cancel(
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
    scope.connection.execute(
        "UPDATE tasks SET state = 'cancelled', finished_ms = ?2, lease_expires_ms = NULL WHERE number = ?1",
        &values![found.row.number, now_ms],
    )?;
    scope.moved(found.row, Some(found.state), TaskState::Cancelled);
    if let Some(running) = &found.running {
        scope.order(Order::Cancel(running.clone()));
    }
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
    let sql = "SELECT number, id, flow, state, fencing_token, worker, session FROM tasks
               WHERE id = ?1 AND (CAST(?2 AS TEXT) IS NULL OR user_name = ?2)";
    connection.first(sql, &values![task, whose.user()], |row| {
        let (state, fencing_token) = (row.get(3)?, row.get::<FencingToken>(4)?);
        let running = match row.get::<Option<WorkerId>>(5)? {
            Some(worker) if state == TaskState::Running => Some(RunningLease {
                worker,
                session: row.get(6)?,
                lease: LeaseRef {
                    task,
                    fencing_token,
                },
            }),
            _ => None,
        };
        Ok(Found {
            row: task_row(row)?,
            state,
            running,
        })
    })
}

/// Returns dead letters to the queue with their attempts given back. They keep their age, and lose a deadline that would
/// set them aside again.
pub(in super::super) fn redrive(
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
    scope.connection.execute(
        "UPDATE tasks SET state = 'queued', attempts = 0, fencing_token = fencing_token + 1,
             deadline_ms = NULL, finished_ms = NULL, avoid_until_ms = NULL
         WHERE number = ?1",
        &values![found.row.number],
    )?;
    scope.moved(found.row, Some(TaskState::DeadLetter), TaskState::Queued);
    Ok(RedriveOutcome::Queued)
}
