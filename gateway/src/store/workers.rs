//! Enrolled workers.

use protocol::WorkerId;

use super::database::{Connection, Row, WriteScope, values};
use super::{
    CreateWorkerError, EnrolmentSecret, Order, RefusalRecord, StoreError, WorkerRecord, queue,
};

/// What succeeded in batches that are not counted yet, by worker.
macro_rules! uncounted {
    () => {
        "(SELECT worker, CAST(sum(tasks) AS BIGINT) AS tasks
          FROM receipt_batches JOIN attestations ON attestations.number = attestation
          WHERE receipt_batches.number > (SELECT last FROM batches_counted) GROUP BY worker) AS uncounted"
    };
}

/// A worker with what it holds: an index finds the leases, which are few beside tasks.
pub(super) const RECORD: &str = concat!(
    "SELECT id, created_ms, draining, coalesce(held.tasks, 0), tasks_succeeded + coalesce(uncounted.tasks, 0), refusal_code,
         refusal_ms
     FROM workers
     LEFT JOIN (SELECT worker, count(*) AS tasks FROM tasks
                WHERE finished_ms IS NULL AND lease_expires_ms > 0 GROUP BY worker) AS held
         ON held.worker = workers.id
     LEFT JOIN ",
    uncounted!(),
    " ON uncounted.worker = workers.id"
);

/// Counts for each worker what has succeeded since the last time.
pub(super) fn count_succeeded(scope: &WriteScope<'_>) -> Result<(), StoreError> {
    let count = concat!(
        "UPDATE workers SET tasks_succeeded = tasks_succeeded + uncounted.tasks FROM ",
        uncounted!(),
        " WHERE id = uncounted.worker"
    );
    if scope.connection.execute(count, &[])? > 0 {
        let all = "UPDATE batches_counted SET last = (SELECT max(number) FROM receipt_batches)";
        scope.connection.execute(all, &[])?;
    }
    Ok(())
}

pub(super) fn create(
    scope: &WriteScope<'_>,
    worker: &WorkerId,
    secret: &EnrolmentSecret,
    now_ms: u64,
) -> Result<Result<(), CreateWorkerError>, StoreError> {
    let created = scope.connection.execute(
        "INSERT INTO workers (id, enrolment_secret, created_ms) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
        &values![worker, secret.as_bytes(), now_ms],
    )?;
    Ok(if created > 0 {
        Ok(())
    } else {
        Err(CreateWorkerError::Exists)
    })
}

pub(super) fn enrolment_secret(
    connection: &Connection,
    worker: &WorkerId,
) -> Result<Option<EnrolmentSecret>, StoreError> {
    let sql = "SELECT enrolment_secret FROM workers WHERE id = ?1";
    connection.first(sql, &values![worker], |row| {
        row.get(0).map(EnrolmentSecret::from_bytes)
    })
}

/// Whether it takes no new tasks; `None` where it is not enrolled.
pub(super) fn is_draining(
    connection: &Connection,
    worker: &WorkerId,
) -> Result<Option<bool>, StoreError> {
    let sql = "SELECT draining FROM workers WHERE id = ?1";
    connection.first(sql, &values![worker], |row| row.get(0))
}

pub(super) fn list(connection: &Connection) -> Result<Vec<WorkerRecord>, StoreError> {
    connection.query(&format!("{RECORD} ORDER BY id"), &[], record)
}

/// Those that take no new tasks.
pub(super) fn draining(connection: &Connection) -> Result<Vec<WorkerId>, StoreError> {
    let sql = "SELECT id FROM workers WHERE draining = 1";
    connection.query(sql, &[], |row| row.get(0))
}

pub(super) fn find(
    connection: &Connection,
    worker: &WorkerId,
) -> Result<Option<WorkerRecord>, StoreError> {
    connection.first(&format!("{RECORD} WHERE id = ?1"), &values![worker], record)
}

fn record(row: &Row<'_>) -> Result<WorkerRecord, StoreError> {
    let (code, at_ms): (Option<String>, Option<u64>) = (row.get(5)?, row.get(6)?);
    Ok(WorkerRecord {
        id: row.get(0)?,
        created_ms: row.get(1)?,
        draining: row.get(2)?,
        tasks_running: row.get(3)?,
        tasks_succeeded: row.get(4)?,
        refusal: code
            .zip(at_ms)
            .map(|(code, at_ms)| RefusalRecord { code, at_ms }),
    })
}

/// Whether there is such a worker.
pub(super) fn set_draining(
    scope: &mut WriteScope<'_>,
    worker: &WorkerId,
    draining: bool,
) -> Result<bool, StoreError> {
    let sql = "UPDATE workers SET draining = ?2 WHERE id = ?1";
    let changed = scope.connection.execute(sql, &values![worker, draining])? > 0;
    if changed && draining {
        scope.order(Order::Drain(worker.clone()));
    }
    Ok(changed)
}

/// Removes a worker; what it held returns to the queue. Its history stays.
pub(super) fn delete(
    scope: &mut WriteScope<'_>,
    worker: &WorkerId,
    now_ms: u64,
) -> Result<bool, StoreError> {
    queue::release_all(scope, worker, now_ms)?;
    // Lest another of its name be given what it did.
    count_succeeded(scope)?;
    let sql = "DELETE FROM workers WHERE id = ?1";
    let deleted = scope.connection.execute(sql, &values![worker])? > 0;
    if deleted {
        scope.order(Order::Remove(worker.clone()));
    }
    Ok(deleted)
}

pub(super) fn record_refusal(
    scope: &WriteScope<'_>,
    worker: &WorkerId,
    code: &str,
    now_ms: u64,
) -> Result<(), StoreError> {
    scope.connection.execute(
        "UPDATE workers SET refusal_code = ?2, refusal_ms = ?3 WHERE id = ?1",
        &values![worker, code, now_ms],
    )?;
    Ok(())
}
