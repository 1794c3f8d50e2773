//! Tasks, outputs and receipts as they are shown.

use bytes::Bytes;
use protocol::Sha256Digest;
use protocol::TaskId;
use protocol::api::{OutputView, TaskCounts, TaskList, TaskView};
use protocol::lease::OperationId;
use protocol::receipt::{Receipt, tree};
use protocol::task::{InputDescriptor, TaskState};
use rusqlite::{Connection, Row, ToSql};

use super::super::{
    Counts, ListQuery, LookupError, Payload, StoreError, StoredAttestation, StoredOutput,
    TaskScope, TaskStanding,
};
use super::reappraisals;
use super::values::{
    digest_at, integer, integer_from_usize, optional_parsed_at, optional_unsigned_at, parsed_at,
    task_at, unsigned, unsigned_at,
};

/// Everything a [`TaskView`] needs, without payloads.
const VIEW: &str = "
    SELECT tasks.id AS id, tasks.user AS user, operation, version, task_bodies.digest AS digest, state, priority,
        attempts, max_attempts, submitted_ms, leased_ms, finished_ms, deadline_ms, worker,
        task_faults.message AS fault, task_outputs.sha256 AS output_sha256, task_outputs.bytes AS output_bytes
    FROM tasks
    JOIN task_bodies ON task_bodies.task = tasks.number
    LEFT JOIN task_faults ON task_faults.task = tasks.number
    LEFT JOIN task_outputs ON task_outputs.task = tasks.number";

/// One view for each task, in order.
pub(in super::super) fn tasks(
    connection: &Connection,
    whose: &TaskScope,
    tasks: &[TaskId],
) -> Result<Vec<Option<TaskView>>, StoreError> {
    let sql = format!("{VIEW} WHERE tasks.id = ?1 AND (?2 IS NULL OR tasks.user = ?2)");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut views = Vec::with_capacity(tasks.len());
    for task in tasks {
        let mut rows = statement.query((task.to_bytes(), whose.user()))?;
        views.push(rows.next()?.map(view).transpose()?);
    }
    Ok(views)
}

/// Where a task stands in the queue.
pub(in super::super) fn standing(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Option<TaskStanding>, StoreError> {
    let view = tasks(connection, whose, &[task])?.into_iter().next();
    let Some(task) = view.flatten() else {
        return Ok(None);
    };
    let found = connection
        .prepare_cached(
            "SELECT number, flow, rank, avoid_until_ms, lease_expires_ms FROM tasks WHERE id = ?1",
        )?
        .query_row([task.id.to_bytes()], |row| {
            let place: (i64, i64, i64) = (row.get("flow")?, row.get("rank")?, row.get("number")?);
            let avoided_until_ms = optional_unsigned_at(row, "avoid_until_ms")?;
            let lease_expires_ms = optional_unsigned_at(row, "lease_expires_ms")?;
            Ok((place, avoided_until_ms, lease_expires_ms))
        })?;
    let ((flow, rank, number), avoided_until_ms, lease_expires_ms) = found;
    let count_max = integer(TaskStanding::COUNT_MAX);
    let ahead = connection
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM tasks
             WHERE flow = ?1 AND state = 'queued' AND (rank, number) < (?2, ?3) LIMIT ?4)",
        )?
        .query_row((flow, rank, number, count_max), |row| row.get(0))?;
    let flows = connection
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM flows
             WHERE operation = ?1 AND version = ?2 AND queued > 0 AND number <> ?3 LIMIT ?4)",
        )?
        .query_row((&task.operation, task.version, flow, count_max), |row| {
            row.get(0)
        })?;
    Ok(Some(TaskStanding {
        task,
        ahead: unsigned(ahead),
        flows: unsigned(flows),
        avoided_until_ms,
        lease_expires_ms,
    }))
}

/// How many tasks of these operations wait.
pub(in super::super) fn queued(
    connection: &Connection,
    operations: &[OperationId],
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(sum(queued), 0) FROM flows WHERE operation = ?1 AND version = ?2 AND queued > 0",
    )?;
    let mut queued = 0_u64;
    for operation in operations {
        let of_it = statement.query_row((&operation.name, operation.version), |row| row.get(0))?;
        queued = queued.saturating_add(unsigned(of_it));
    }
    Ok(queued)
}

/// One page, newest first. The conditions that are not asked for are left out, so that the planner finds an index for
/// those that are.
pub(in super::super) fn list(
    connection: &Connection,
    query: &ListQuery,
) -> Result<TaskList, StoreError> {
    let user = query.scope.user();
    let state = query.state.map(TaskState::as_str);
    let cursor = query.cursor.map(TaskId::to_bytes);
    // One more than asked for tells whether there is another page.
    let limit = integer_from_usize(query.limit.saturating_add(1));
    let mut sql = format!("{VIEW} WHERE TRUE");
    let mut arguments: Vec<&dyn ToSql> = Vec::new();
    if let Some(user) = &user {
        sql.push_str(" AND tasks.user = ?");
        arguments.push(user);
    }
    if let Some(state) = &state {
        sql.push_str(" AND state = ?");
        arguments.push(state);
    }
    if let Some(cursor) = &cursor {
        sql.push_str(" AND tasks.id < ?");
        arguments.push(cursor);
    }
    sql.push_str(" ORDER BY tasks.id DESC LIMIT ?");
    arguments.push(&limit);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(arguments.as_slice())?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next()? {
        tasks.push(view(row)?);
    }
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
    let state = parsed_at(row, "state", "a task state")?;
    let fault: Option<String> = row.get("fault")?;
    let output = match row.get::<_, Option<[u8; 32]>>("output_sha256")? {
        Some(sha256) => Some(OutputView {
            sha256: Sha256Digest::from_bytes(sha256),
            bytes: unsigned_at(row, "output_bytes")?,
        }),
        None => None,
    };
    Ok(TaskView {
        id: task_at(row, "id")?,
        user: parsed_at(row, "user", "a user name")?,
        operation: row.get("operation")?,
        version: row.get("version")?,
        digest: digest_at(row, "digest")?,
        state,
        priority: row.get("priority")?,
        attempts: row.get("attempts")?,
        max_attempts: row.get("max_attempts")?,
        submitted_ms: unsigned_at(row, "submitted_ms")?,
        started_ms: optional_unsigned_at(row, "leased_ms")?,
        finished_ms: optional_unsigned_at(row, "finished_ms")?,
        deadline_ms: optional_unsigned_at(row, "deadline_ms")?,
        worker: optional_parsed_at(row, "worker", "a worker id")?,
        // An attempt that succeeded makes the failures before it history.
        fault: fault.filter(|_| state != TaskState::Succeeded),
        output,
    })
}

/// Key of a task that has an output.
fn succeeded(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Result<i64, LookupError>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, state FROM tasks WHERE id = ?1 AND (?2 IS NULL OR user = ?2)",
    )?;
    let mut rows = statement.query((task.to_bytes(), whose.user()))?;
    let Some(row) = rows.next()? else {
        return Ok(Err(LookupError::UnknownTask));
    };
    Ok(match parsed_at(row, "state", "a task state")? {
        TaskState::Succeeded => Ok(row.get("number")?),
        other => Err(LookupError::NotSucceeded(other)),
    })
}

/// The output of a task.
pub(in super::super) fn output(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Result<StoredOutput, LookupError>, StoreError> {
    let number = match succeeded(connection, whose, task)? {
        Ok(number) => number,
        Err(error) => return Ok(Err(error)),
    };
    let output = connection
        .prepare_cached("SELECT sha256, bytes, data FROM task_outputs WHERE task = ?1")?
        .query_row([number], |row| {
            let descriptor = InputDescriptor {
                sha256: digest_at(row, "sha256")?,
                bytes: unsigned_at(row, "bytes")?,
            };
            let data: Option<Vec<u8>> = row.get("data")?;
            Ok(StoredOutput {
                descriptor,
                payload: data.map_or(Payload::Blob(descriptor), |data| {
                    Payload::Inline(Bytes::from(data))
                }),
            })
        })?;
    Ok(Ok(output))
}

/// The receipt of a task, with its inclusion proof.
pub(in super::super) fn receipt(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Result<Receipt, LookupError>, StoreError> {
    let number = match succeeded(connection, whose, task)? {
        Ok(number) => number,
        Err(error) => return Ok(Err(error)),
    };
    let mut statement = connection.prepare_cached(
        "SELECT leaf, position, statement, receipt_key, leaf_hashes
         FROM task_outputs JOIN receipt_batches ON receipt_batches.number = task_outputs.batch
         WHERE task_outputs.task = ?1",
    )?;
    let mut rows = statement.query([number])?;
    let missing = StoreError::Unreadable { what: "a receipt" };
    let row = rows.next()?.ok_or_else(|| missing.clone())?;
    let index = unsigned_at(row, "position")?;
    let hashes = leaf_hashes(row.get_ref("leaf_hashes")?.as_blob().unwrap_or_default());
    let position = usize::try_from(index).unwrap_or(usize::MAX);
    Ok(Ok(Receipt {
        leaf: row.get("leaf")?,
        index,
        proof: tree::inclusion_proof(&hashes, position).ok_or(missing)?,
        statement: row.get("statement")?,
        receipt_key: row.get("receipt_key")?,
    }))
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
pub(in super::super) fn task_attestation(
    connection: &Connection,
    whose: &TaskScope,
    task: TaskId,
) -> Result<Result<StoredAttestation, LookupError>, StoreError> {
    let number = match succeeded(connection, whose, task)? {
        Ok(number) => number,
        Err(error) => return Ok(Err(error)),
    };
    let (attestation, accepted_ms) = connection
        .prepare_cached(
            "SELECT attestation, accepted_ms FROM task_outputs
             JOIN receipt_batches ON receipt_batches.number = task_outputs.batch
             WHERE task_outputs.task = ?1",
        )?
        .query_row([number], |row| {
            Ok((row.get(0)?, unsigned_at(row, "accepted_ms")?))
        })?;
    reappraisals::in_force_at(connection, attestation, accepted_ms).map(Ok)
}

/// How many there are of each.
pub(in super::super) fn counts(connection: &Connection) -> Result<Counts, StoreError> {
    let (enrolled, draining) = connection
        .prepare_cached("SELECT count(*), coalesce(sum(draining), 0) FROM workers")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut tasks = TaskCounts::default();
    let mut statement = connection.prepare_cached("SELECT state, tasks FROM task_counts")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let field = match parsed_at(row, "state", "a task state")? {
            TaskState::Queued => &mut tasks.queued,
            TaskState::Running => &mut tasks.running,
            TaskState::Succeeded => &mut tasks.succeeded,
            TaskState::DeadLetter => &mut tasks.dead_letter,
            TaskState::Cancelled => &mut tasks.cancelled,
            TaskState::Expired => &mut tasks.expired,
        };
        *field = unsigned_at(row, "tasks")?;
    }
    Ok(Counts {
        tasks,
        workers_enrolled: unsigned(enrolled),
        workers_draining: unsigned(draining),
    })
}
