//! The writer when something goes wrong inside a group.

use std::sync::Arc;

use tempfile::TempDir;

use super::super::super::StoreError;
use super::super::super::notice::Notices;
use super::super::super::watch::Watchers;
use super::super::schema;
use super::super::{Connection, Database, Overload, Sharing, Weight, WriteScope, values};

fn open() -> (TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sqlite");
    let database = {
        let (notices, _) = Notices::new(Watchers::new(), 1);
        Database::open(
            &path.as_path().into(),
            Sharing::Exclusive,
            &Arc::new(notices),
        )
    }
    .unwrap();
    (folder, database)
}

async fn write<F>(database: &Database, operation: F) -> Result<usize, StoreError>
where
    F: Fn(&mut WriteScope<'_>) -> Result<usize, StoreError> + Send + 'static,
{
    database.write(Weight::ROW, Overload::Wait, operation).await
}

/// Statements that are SQLite's own.
fn batch(scope: &WriteScope<'_>, sql: &str) -> Result<(), StoreError> {
    match scope.connection {
        Connection::Sqlite(sqlite) => Ok(sqlite.connection.execute_batch(sql)?),
        Connection::Postgres(_) => unreachable!(),
    }
}

/// One session row, as large as its peer's name.
fn insert(scope: &WriteScope<'_>, id: u8, peer_bytes: usize) -> Result<usize, StoreError> {
    let sql = "INSERT INTO sessions (id, worker, peer, admitted_ms) VALUES (?1, 'w', ?2, 0)";
    let peer = "p".repeat(peer_bytes);
    scope.connection.execute(sql, &values![&[id; 16], &peer])
}

async fn count(database: &Database) -> usize {
    let read = database.read(|connection| connection.get("SELECT count(*) FROM sessions", &[]));
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
            batch(scope, pages)?;
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
        batch(
            scope,
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

/// Of a database that a gateway of before left behind: its flows count their tasks, and those without any go.
#[test]
fn flows_of_an_older_database_count_their_tasks() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let run = |sql: &str| connection.execute_batch(sql).unwrap();
    let mut migrations = schema::migrations(schema::SQLITE, 0);
    for migration in migrations.by_ref().take(2) {
        run(&migration);
    }
    run("INSERT INTO flows VALUES (1, 'a', 1, '{}', 'ada', 1, 5), (2, 'b', 1, '{}', 'ada', 0, 0);
         INSERT INTO tasks (number, id, user_name, flow, state, priority, rank, submitted_ms, attempts, max_attempts,
             fencing_token, payload_bytes)
         VALUES (1, zeroblob(16), 'ada', 1, 'queued', 5, 0, 0, 0, 1, 0, 0),
             (2, randomblob(16), 'ada', 1, 'cancelled', 5, 0, 0, 0, 1, 0, 0);");
    run(&migrations.next().unwrap());
    let flows = "SELECT group_concat(number || ' ' || tasks) FROM flows";
    let flows: String = connection.query_row(flows, [], |row| row.get(0)).unwrap();
    assert_eq!(flows, "1 2");
}
