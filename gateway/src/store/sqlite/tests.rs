//! The writer when something goes wrong inside a group, and databases of earlier gateways.

use protocol::lease::OperationId;
use protocol::{SessionId, TaskId};
use rusqlite::Connection;
use tempfile::TempDir;

use super::super::watch::Watchers;
use super::super::{LeaseQuery, Payload, RedriveOutcome, Store, StoreError, TaskScope};
use super::open::MIGRATIONS;
use super::{Overload, Sharing, Sqlite, Weight, WriteScope};

fn open() -> (TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sqlite");
    let database = Sqlite::open(&path, Sharing::Exclusive, Watchers::new()).unwrap();
    (folder, database)
}

async fn write<F>(database: &Sqlite, operation: F) -> Result<usize, StoreError>
where
    F: FnOnce(&mut WriteScope<'_>) -> Result<usize, StoreError> + Send + 'static,
{
    database.write(Weight::ROW, Overload::Wait, operation).await
}

/// One session row, as large as its peer's name.
fn insert(scope: &WriteScope<'_>, id: u8, peer_bytes: usize) -> Result<usize, StoreError> {
    let row = ([id; 16], "w", "p".repeat(peer_bytes));
    let sql = "INSERT INTO sessions (id, worker, peer, admitted_ms) VALUES (?1, ?2, ?3, 0)";
    Ok(scope.connection.execute(sql, row)?)
}

async fn count(database: &Sqlite) -> usize {
    const SQL: &str = "SELECT count(*) FROM sessions";
    let read = database.read(|connection| Ok(connection.query_row(SQL, [], |row| row.get(0))?));
    let count: i64 = read.await.unwrap();
    usize::try_from(count).unwrap()
}

#[tokio::test]
async fn an_operation_that_fails_is_undone_alone() {
    let (_folder, database) = open();
    let (first, failing, last) = tokio::join!(
        write(&database, |scope| insert(scope, 1, 1)),
        write(&database, |scope| {
            insert(scope, 2, 1)?;
            insert(scope, 2, 1)
        }),
        write(&database, |scope| insert(scope, 3, 1)),
    );
    assert_eq!((first.unwrap(), last.unwrap()), (1, 1));
    assert!(matches!(failing, Err(StoreError::Database(_))));
    assert_eq!(count(&database).await, 2);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_passes() {
    let (_folder, database) = open();
    write(&database, |scope| insert(scope, 1, 1)).await.unwrap();
    let limit = |pages: &'static str| {
        write(&database, move |scope| {
            scope.connection.execute_batch(pages)?;
            Ok(0)
        })
    };
    limit("PRAGMA max_page_count = 1").await.unwrap();
    let full = write(&database, |scope| insert(scope, 2, 100_000)).await;
    assert!(matches!(full, Err(StoreError::DiskFull)), "{full:?}");
    assert_eq!(count(&database).await, 1);
    limit("PRAGMA max_page_count = 1000000").await.unwrap();
    write(&database, |scope| insert(scope, 2, 100_000))
        .await
        .unwrap();
    assert_eq!(count(&database).await, 2);
}

#[tokio::test]
async fn a_commit_that_fails_fails_all_of_its_operations() {
    let (_folder, database) = open();
    // A reference that nothing holds is found at the commit, when everybody has already had their turn.
    let dangling = write(&database, |scope| {
        scope.connection.execute_batch(
            "PRAGMA defer_foreign_keys = ON;
             INSERT INTO task_faults (task, message) VALUES (7, 'no such task');",
        )?;
        Ok(1)
    });
    let innocent = write(&database, |scope| insert(scope, 1, 1));
    let (dangling, innocent) = tokio::join!(dangling, innocent);
    assert!(matches!(dangling, Err(StoreError::Database(_))));
    // In the same group or the next, as the writer's thread found them.
    assert_eq!(usize::from(innocent.is_ok()), count(&database).await);
    write(&database, |scope| insert(scope, 9, 1)).await.unwrap();
}

/// Tasks of two users in every state, as a gateway before the flows left them.
const BEFORE_FLOWS: &str = "
    INSERT INTO tasks (number, id, user, state, operation, version, priority, rank, submitted_ms, attempts, max_attempts,
        fencing_token, payload_bytes, worker, lease_expires_ms)
    VALUES
        (1, x'00000000000000000000000000000001', 'ada', 'queued', 'gemm', 1, 4, 20, 1, 0, 3, 0, 2, NULL, NULL),
        (2, x'00000000000000000000000000000002', 'ada', 'queued', 'gemm', 1, 4, 10, 1, 0, 3, 0, 2, NULL, NULL),
        (3, x'00000000000000000000000000000003', 'bob', 'queued', 'gemm', 1, 4, 30, 1, 0, 3, 0, 2, NULL, NULL),
        (4, x'00000000000000000000000000000004', 'bob', 'running', 'gemm', 1, 4, 1, 1, 1, 3, 1, 2, 'w', 9),
        (5, x'00000000000000000000000000000005', 'bob', 'dead-letter', 'gemm', 1, 4, 1, 1, 3, 3, 3, 2, 'w', NULL),
        (6, x'00000000000000000000000000000006', 'eve', 'succeeded', 'gemm', 1, 4, 1, 1, 1, 3, 1, 2, 'w', NULL);
    INSERT INTO task_bodies (task, digest, output_bytes, body) SELECT number, zeroblob(32), 4, x'7b7d' FROM tasks;
    INSERT INTO idempotency_keys (user, key, task) VALUES ('ada', 'order-1', 1);
    INSERT INTO attestations (number, id, worker, session, recorded_ms, record)
        VALUES (7, zeroblob(64), 'w', zeroblob(16), 1, x'7b7d');
    INSERT INTO receipt_batches (number, attestation, statement, receipt_key, leaf_hashes, accepted_ms)
        VALUES (8, 7, 'jws', x'00', zeroblob(32), 1);
    INSERT INTO task_outputs (task, sha256, bytes, batch, position, leaf, data) VALUES (6, zeroblob(32), 2, 8, 0, x'00', x'0102');
    INSERT INTO workers (id, enrolment_secret, created_ms) VALUES ('w', zeroblob(32), 1);
    UPDATE task_counts SET tasks = 3 WHERE state = 'queued';
    UPDATE task_counts SET tasks = 1 WHERE state IN ('running', 'dead-letter', 'succeeded');";

#[tokio::test]
async fn a_database_of_an_earlier_gateway_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sqlite");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(&MIGRATIONS[..2].concat()).unwrap();
    connection.execute_batch(BEFORE_FLOWS).unwrap();
    let identity = "PRAGMA application_id = 0x63636e47; PRAGMA user_version = 2;";
    connection.execute_batch(identity).unwrap();
    drop(connection);

    let store = Store::open(&path).await.unwrap();
    let gemm = OperationId {
        name: "gemm".to_owned(),
        version: 1,
    };
    let queued = async || store.queued(vec![gemm.clone()]).await.unwrap();
    assert_eq!(queued().await, 3);
    // What runs and what failed comes back into a flow.
    store.expire(10).await.unwrap();
    let dead = TaskId::from_parts(0, 5);
    assert_eq!(
        store.redrive(vec![dead]).await.unwrap(),
        [RedriveOutcome::Queued]
    );
    assert_eq!(queued().await, 5);
    let query = LeaseQuery {
        worker: "w".parse().unwrap(),
        session: SessionId::from_parts(1, 1),
        operations: vec![gemm.clone()],
        tasks_max: 10,
        payload_bytes_max: 1_000,
        lease_duration_ms: 1_000,
        now_ms: 10,
    };
    let leases = store.lease(query).await.unwrap();
    let mut numbers: Vec<_> = leases
        .iter()
        .map(|lease| lease.task.to_bytes()[15])
        .collect();
    assert_eq!(
        numbers
            .iter()
            .filter(|number| **number < 3)
            .collect::<Vec<_>>(),
        [&2, &1]
    );
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(queued().await, 0);
    let output = store.output(TaskScope::All, TaskId::from_parts(0, 6)).await;
    assert_eq!(output.unwrap().payload, Payload::Inline(vec![1, 2].into()));
    let known = store.database.read(|connection| {
        let sql = "SELECT number FROM tasks WHERE user = 'ada' AND idempotency_key = 'order-1'";
        Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(known.await.unwrap(), 1);
}
