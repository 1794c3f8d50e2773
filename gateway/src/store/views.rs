//! Tasks, outputs and receipts as they are shown.

use bytes::Bytes;
use protocol::api::{OutputView, TaskCounts, TaskList, TaskView};
use protocol::lease::OperationId;
use protocol::receipt::{Receipt, tree};
use protocol::task::{InputDescriptor, TaskState};
use protocol::{Sha256Digest, TaskId};

use super::database::{Connection, Many, Row, Value, values};
use super::{
    Counts, ListQuery, LookupError, Payload, StoreError, StoredAttestation, StoredOutput,
    TaskScope, TaskStanding, reappraisals,
};

/// Everything a [`TaskView`] needs, without payloads.
macro_rules! view {
    ($first:literal, $from:literal, $which:literal) => {
        concat!(
            "SELECT ", $first, "tasks.id, tasks.user_name, operation, version, task_payloads.digest, state, priority,
                 attempts, max_attempts, submitted_ms, leased_ms, finished_ms, deadline_ms, worker, message,
                 task_outputs.sha256, task_outputs.bytes, requirements
             FROM ", $from, "
             JOIN flows ON flows.number = tasks.flow
             JOIN task_payloads ON task_payloads.task = tasks.number
             LEFT JOIN task_faults ON task_faults.task = tasks.number
             LEFT JOIN task_outputs ON task_outputs.task = tasks.number
             ", $which
        )
    };
}

const VIEWS: Many = Many {
    each: view!(
        "",
        "tasks",
        "WHERE tasks.id = ?1 AND (CAST(?2 AS TEXT) IS NULL OR tasks.user_name = ?2)"
    ),
    all: view!(
        "given.position, ",
        "unnest(?1::bytea[], ?2::text[]) WITH ORDINALITY AS given (of_id, of_user, position) JOIN tasks ON id = of_id",
        "WHERE of_user IS NULL OR tasks.user_name = of_user"
    ),
};

/// One view for each task, in order.
pub(super) fn tasks(
    connection: &Connection,
    whose: &TaskScope,
    tasks: &[TaskId],
) -> Result<Vec<Option<TaskView>>, StoreError> {
    let arguments: Vec<_> = tasks
        .iter()
        .map(|task| values![*task, whose.user()])
        .collect();
    connection.first_many(&VIEWS, &arguments, view)
}

/// How far a task has come: a look at its own row alone.
pub(super) fn state(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Option<TaskState>, StoreError> {
    let sql = "SELECT state FROM tasks
               WHERE id = ?1 AND (CAST(?2 AS TEXT) IS NULL OR user_name = ?2)";
    connection.first(sql, &values![task, whose.user()], |row| row.get(0))
}

/// Where a task stands in the queue.
pub(super) fn standing(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Option<TaskStanding>, StoreError> {
    let view = tasks(connection, whose, &[task])?.into_iter().next();
    let Some(task) = view.flatten() else {
        return Ok(None);
    };
    let sql =
        "SELECT number, flow, rank, avoid_until_ms, lease_expires_ms FROM tasks WHERE id = ?1";
    let found = connection.first(sql, &values![task.id], |row| {
        let place: (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((place, row.get(3)?, row.get(4)?))
    })?;
    let Some(((number, flow, rank), avoided_until_ms, lease_expires_ms)) = found else {
        return Ok(None);
    };
    let ahead = connection.get(
        "SELECT count(*) FROM (SELECT 1 FROM tasks
         WHERE finished_ms IS NULL AND lease_expires_ms IS NULL AND flow = ?1 AND (rank, number) < (?2, ?3)
         LIMIT ?4) AS ahead",
        &values![flow, rank, number, TaskStanding::COUNT_MAX],
    )?;
    let flows = connection.get(
        "SELECT count(*) FROM (SELECT 1 FROM flows
         WHERE operation = ?1 AND version = ?2 AND sign(queued) = 1 AND number <> ?3 LIMIT ?4) AS others",
        &values![&task.operation, task.version, flow, TaskStanding::COUNT_MAX],
    )?;
    Ok(Some(TaskStanding {
        task,
        ahead,
        flows,
        avoided_until_ms,
        lease_expires_ms,
    }))
}

/// How many tasks of these operations wait.
pub(super) fn queued(
    connection: &Connection,
    operations: &[OperationId],
) -> Result<u64, StoreError> {
    let mut queued = 0_u64;
    for operation in operations {
        let of_it = connection.get(
            "SELECT CAST(coalesce(sum(queued), 0) AS BIGINT) FROM flows
             WHERE operation = ?1 AND version = ?2 AND sign(queued) = 1",
            &values![&operation.name, operation.version],
        )?;
        queued = queued.saturating_add(of_it);
    }
    Ok(queued)
}

/// One page, newest first. The conditions that are not asked for are left out, so that the planner finds an index for
/// those that are.
pub(super) fn list(connection: &Connection, query: &ListQuery) -> Result<TaskList, StoreError> {
    let mut sql = view!("", "tasks", "WHERE TRUE").to_owned();
    let conditions = [
        ("tasks.user_name =", query.scope.user().map(Value::from)),
        ("state =", query.state.map(Value::from)),
        ("tasks.id <", query.cursor.map(Value::from)),
    ];
    let mut arguments = Vec::new();
    for (condition, value) in conditions {
        if let Some(value) = value {
            arguments.push(value);
            sql = format!("{sql} AND {condition} ?{}", arguments.len());
        }
    }
    // One more than asked for tells whether there is another page.
    arguments.push(Value::from(query.limit.saturating_add(1)));
    sql = format!("{sql} ORDER BY tasks.id DESC LIMIT ?{}", arguments.len());
    let tasks = connection.query(&sql, &arguments, view)?;
    Ok(page(tasks, query.limit))
}

fn page(mut tasks: Vec<TaskView>, limit: usize) -> TaskList {
    let is_last = tasks.len() <= limit;
    tasks.truncate(limit);
    let next_cursor = tasks
        .last()
        .filter(|_| !is_last)
        .map(|task| task.id.to_string());
    TaskList { tasks, next_cursor }
}

fn view(row: &Row<'_>) -> Result<TaskView, StoreError> {
    let state = row.get(5)?;
    let output = match row.get::<Option<Sha256Digest>>(15)? {
        Some(sha256) => Some(OutputView {
            sha256,
            bytes: row.get(16)?,
        }),
        None => None,
    };
    Ok(TaskView {
        id: row.get(0)?,
        user: row.get(1)?,
        operation: row.get(2)?,
        version: row.get(3)?,
        digest: row.get(4)?,
        state,
        requirements: row.get(17)?,
        priority: row.get(6)?,
        attempts: row.get(7)?,
        max_attempts: row.get(8)?,
        submitted_ms: row.get(9)?,
        started_ms: row.get(10)?,
        finished_ms: row.get(11)?,
        deadline_ms: row.get(12)?,
        worker: row.get(13)?,
        // An attempt that succeeded makes the failures before it history.
        fault: match state {
            TaskState::Succeeded => None,
            _ => row.get(14)?,
        },
        output,
    })
}

/// Key of a task that has an output.
fn succeeded(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Result<i64, LookupError>, StoreError> {
    let sql = "SELECT number, state FROM tasks WHERE id = ?1 AND (CAST(?2 AS TEXT) IS NULL OR user_name = ?2)";
    let found = connection.first(sql, &values![task, whose.user()], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(match found {
        None => Err(LookupError::UnknownTask),
        Some((number, TaskState::Succeeded)) => Ok(number),
        Some((_, other)) => Err(LookupError::NotSucceeded(other)),
    })
}

/// The output of a task.
pub(super) fn output(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Result<StoredOutput, LookupError>, StoreError> {
    let number = match succeeded(connection, whose, task)? {
        Ok(number) => number,
        Err(error) => return Ok(Err(error)),
    };
    let sql = "SELECT sha256, bytes, data FROM task_outputs WHERE task = ?1";
    let output = connection.first(sql, &values![number], |row| {
        let descriptor = InputDescriptor {
            sha256: row.get(0)?,
            bytes: row.get(1)?,
        };
        let data: Option<Vec<u8>> = row.get(2)?;
        Ok(StoredOutput {
            descriptor,
            payload: data.map_or(Payload::Blob(descriptor), |data| {
                Payload::Inline(Bytes::from(data))
            }),
        })
    })?;
    let missing = StoreError::Unreadable { what: "an output" };
    output.ok_or(missing).map(Ok)
}

/// The receipt of a task, with its inclusion proof.
pub(super) fn receipt(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Result<Receipt, LookupError>, StoreError> {
    let number = match succeeded(connection, whose, task)? {
        Ok(number) => number,
        Err(error) => return Ok(Err(error)),
    };
    let missing = StoreError::Unreadable { what: "a receipt" };
    let receipt = connection.first(
        "SELECT leaf, position, statement, receipt_key, leaf_hashes
         FROM task_outputs JOIN receipt_batches ON receipt_batches.number = task_outputs.batch
         WHERE task_outputs.task = ?1",
        &values![number],
        |row| {
            let index: u64 = row.get(1)?;
            let hashes = row.bytes(4, |bytes| Some(leaf_hashes(bytes)))?;
            let position = usize::try_from(index).unwrap_or(usize::MAX);
            let proof = tree::inclusion_proof(&hashes.unwrap_or_default(), position);
            Ok(Receipt {
                leaf: row.get(0)?,
                index,
                proof: proof.ok_or_else(|| missing.clone())?,
                statement: row.get(2)?,
                receipt_key: row.get(3)?,
            })
        },
    )?;
    receipt.ok_or(missing).map(Ok)
}

fn leaf_hashes(concatenated: &[u8]) -> Vec<Sha256Digest> {
    let (hashes, _) = concatenated.as_chunks::<32>();
    hashes
        .iter()
        .copied()
        .map(Sha256Digest::from_bytes)
        .collect()
}

/// The attestation that a task's receipt points at, with the verdict that was in force when the receipt was accepted.
pub(super) fn task_attestation(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Result<StoredAttestation, LookupError>, StoreError> {
    let number = match succeeded(connection, whose, task)? {
        Ok(number) => number,
        Err(error) => return Ok(Err(error)),
    };
    let missing = StoreError::Unreadable { what: "a receipt" };
    let signed = connection.first(
        "SELECT attestation, accepted_ms FROM task_outputs
         JOIN receipt_batches ON receipt_batches.number = task_outputs.batch
         WHERE task_outputs.task = ?1",
        &values![number],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let (attestation, accepted_ms) = signed.ok_or(missing)?;
    reappraisals::in_force_at(connection, attestation, accepted_ms).map(Ok)
}

/// Reads one row, if there is one.
pub(super) fn answers(connection: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT number FROM flows LIMIT 1";
    connection.exists(sql, &[]).map(|_| ())
}

const TASKS_COUNTED: &str = "SELECT
     CAST(coalesce(sum(queued), 0) AS BIGINT), CAST(coalesce(sum(running), 0) AS BIGINT),
     CAST(coalesce(sum(succeeded), 0) AS BIGINT), CAST(coalesce(sum(dead_letter), 0) AS BIGINT),
     CAST(coalesce(sum(cancelled), 0) AS BIGINT), CAST(coalesce(sum(expired), 0) AS BIGINT)
     FROM flows";

/// How many there are of each.
pub(super) fn counts(connection: &Connection) -> Result<Counts, StoreError> {
    let sql = "SELECT count(*), CAST(coalesce(sum(draining), 0) AS BIGINT) FROM workers";
    let workers = connection.first(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (workers_enrolled, workers_draining) = workers.unwrap_or_default();
    let tasks = connection.first(TASKS_COUNTED, &[], |row| {
        Ok(TaskCounts {
            queued: row.get(0)?,
            running: row.get(1)?,
            succeeded: row.get(2)?,
            dead_letter: row.get(3)?,
            cancelled: row.get(4)?,
            expired: row.get(5)?,
        })
    })?;
    Ok(Counts {
        tasks: tasks.unwrap_or_default(),
        workers_enrolled,
        workers_draining,
    })
}
