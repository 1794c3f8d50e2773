//! Enrolled workers.

use protocol::WorkerId;
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::{CreateWorkerError, EnrolmentSecret, RefusalRecord, StoreError, WorkerRecord};
use super::values::{count, integer, optional_unsigned_at, parsed_at, unsigned_at};
use super::{WriteScope, queue};

/// A worker with what it holds: the index of leases covers the count, and leases are few beside tasks.
const RECORD: &str = "
    SELECT id, created_ms, draining, tasks_succeeded, refusal_code, refusal_ms,
        coalesce(held.tasks, 0) AS tasks_running
    FROM workers
    LEFT JOIN (SELECT worker, count(*) AS tasks FROM tasks WHERE state = 'running' GROUP BY worker) AS held
        ON held.worker = workers.id";

pub(in super::super) fn create(
    scope: &WriteScope<'_>,
    worker: &WorkerId,
    secret: &EnrolmentSecret,
    now_ms: u64,
) -> Result<Result<(), CreateWorkerError>, StoreError> {
    let created = scope
        .connection
        .prepare_cached(
            "INSERT INTO workers (id, enrolment_secret, created_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute((worker.as_str(), secret.as_bytes(), integer(now_ms)))?;
    Ok(if created > 0 {
        Ok(())
    } else {
        Err(CreateWorkerError::Exists)
    })
}

pub(in super::super) fn enrolment_secret(
    connection: &Connection,
    worker: &WorkerId,
) -> Result<Option<EnrolmentSecret>, StoreError> {
    let secret = connection
        .prepare_cached("SELECT enrolment_secret FROM workers WHERE id = ?1")?
        .query_row([worker.as_str()], |row| row.get(0))
        .optional()?;
    Ok(secret.map(EnrolmentSecret::from_bytes))
}

pub(super) fn is_enrolled(connection: &Connection, worker: &WorkerId) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM workers WHERE id = ?1")?
        .exists([worker.as_str()])?)
}

pub(in super::super) fn list(connection: &Connection) -> Result<Vec<WorkerRecord>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{RECORD} ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut workers = Vec::new();
    while let Some(row) = rows.next()? {
        workers.push(record(row)?);
    }
    Ok(workers)
}

/// Those that take no new tasks.
pub(in super::super) fn draining(connection: &Connection) -> Result<Vec<WorkerId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM workers WHERE draining = 1")?;
    let mut rows = statement.query([])?;
    let mut draining = Vec::new();
    while let Some(row) = rows.next()? {
        draining.push(parsed_at(row, "id", "a worker id")?);
    }
    Ok(draining)
}

pub(in super::super) fn find(
    connection: &Connection,
    worker: &WorkerId,
) -> Result<Option<WorkerRecord>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{RECORD} WHERE id = ?1"))?;
    let mut rows = statement.query([worker.as_str()])?;
    rows.next()?.map(record).transpose()
}

fn record(row: &Row<'_>) -> Result<WorkerRecord, StoreError> {
    let code: Option<String> = row.get("refusal_code")?;
    let at_ms = optional_unsigned_at(row, "refusal_ms")?;
    Ok(WorkerRecord {
        id: parsed_at(row, "id", "a worker id")?,
        created_ms: unsigned_at(row, "created_ms")?,
        draining: row.get("draining")?,
        tasks_running: count(row.get("tasks_running")?),
        tasks_succeeded: unsigned_at(row, "tasks_succeeded")?,
        refusal: code
            .zip(at_ms)
            .map(|(code, at_ms)| RefusalRecord { code, at_ms }),
    })
}

/// Whether there is such a worker.
pub(in super::super) fn set_draining(
    scope: &WriteScope<'_>,
    worker: &WorkerId,
    draining: bool,
) -> Result<bool, StoreError> {
    let changed = scope
        .connection
        .prepare_cached("UPDATE workers SET draining = ?2 WHERE id = ?1")?
        .execute((worker.as_str(), draining))?;
    Ok(changed > 0)
}

/// Removes a worker; what it held returns to the queue. Its history stays.
pub(in super::super) fn delete(
    scope: &mut WriteScope<'_>,
    worker: &WorkerId,
    now_ms: u64,
) -> Result<bool, StoreError> {
    queue::release_all(scope, worker, now_ms)?;
    let deleted = scope
        .connection
        .prepare_cached("DELETE FROM workers WHERE id = ?1")?
        .execute([worker.as_str()])?;
    Ok(deleted > 0)
}

pub(in super::super) fn record_refusal(
    scope: &WriteScope<'_>,
    worker: &WorkerId,
    code: &str,
    now_ms: u64,
) -> Result<(), StoreError> {
    scope
        .connection
        .prepare_cached("UPDATE workers SET refusal_code = ?2, refusal_ms = ?3 WHERE id = ?1")?
        .execute((worker.as_str(), code, integer(now_ms)))?;
    Ok(())
}
