//! The writer when something goes wrong inside a group.

use tempfile::TempDir;

use super::super::StoreError;
use super::super::watch::Watchers;
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
