//! The writer when something goes wrong inside a group.

use std::sync::Arc;

use tempfile::TempDir;

use super::super::super::StoreError;
use super::super::super::notice::Notices;
use super::super::super::watch::Watchers;
use super::super::{
    Caller, Change, Connection, Database, Insert, Sharing, Weight, WriteScope, values,
};

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
    database.write(Weight::ROW, Caller::Pool, operation).await
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

/// Of rows that share a statement.
#[tokio::test]
async fn nothing_remains_of_rows_before_one_that_fails() {
    static INSERT: Insert = Insert::new(
        "sessions",
        &[("id", "bytea"), ("admitted_ms", "bigint")],
        &[("worker", "'w'"), ("peer", "'p'")],
    );
    let (_folder, database) = open();
    let all = |last: u8| {
        write(&database, move |scope| {
            let ids: Vec<_> = (0..63).chain([last]).map(|id: u8| [id; 16]).collect();
            let rows: Vec<_> = ids.iter().map(|id| values![id, 0_u64]).collect();
            scope.connection.insert_many(&INSERT, &rows)?;
            Ok(rows.len())
        })
    };
    // Its last row fails, with 31 before it in the same statement and 32 in another.
    assert!(matches!(all(7).await, Err(StoreError::Database(_))));
    assert_eq!(count(&database).await, 0);
    assert_eq!(all(63).await.unwrap(), 64);
    assert_eq!(count(&database).await, 64);
}

/// Runs, single ones and gaps, in any order: no neighbour changes.
#[tokio::test]
async fn rows_change_by_their_keys_and_no_others_do() {
    static MARK: Change = Change::new("UPDATE documents SET text = ?1 WHERE number", 1);
    let (_folder, database) = open();
    let changed: Vec<i64> = (150..=190)
        .rev()
        .chain([1, 3])
        .chain((10..80).step_by(2))
        .chain(101..=140)
        .chain([200, 5, 6])
        .collect();
    let keys = changed.clone();
    let write = write(&database, move |scope| {
        batch(
            scope,
            "WITH RECURSIVE given (number) AS (VALUES (1) UNION ALL SELECT number + 1 FROM given WHERE number < 200)
             INSERT INTO documents (number, sha256, text) SELECT number, randomblob(32), 'old' FROM given",
        )?;
        scope
            .connection
            .change_many(&MARK, &values!["new"], &keys)?;
        Ok(0)
    });
    write.await.unwrap();
    let found = |connection: &Connection| {
        let sql = "SELECT number FROM documents WHERE text = 'new' ORDER BY number";
        connection.query(sql, &[], |row| row.get::<i64>(0))
    };
    let mut wanted = changed;
    wanted.sort_unstable();
    assert_eq!(database.read(found).await.unwrap(), wanted);
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
