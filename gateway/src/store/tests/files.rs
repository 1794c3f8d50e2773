//! What SQLite alone has: a file, one gateway at a time on it, and what is in it after that one was killed.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use protocol::TaskId;
use protocol::lease::AckOutcome;
use protocol::task::TaskState;

use super::harness::{NOW_MS, Pool, served, task};
use crate::store::database::{Caller, Weight, WriteScope};
use crate::store::{
    InputBytes, LeaseError, OpenError, ParkEnd, Store, StoreError, TaskScope, queue,
};

#[tokio::test]
async fn one_gateway_at_a_time_and_a_command_beside_it() {
    let mut pool = Pool::new().await;
    let path = pool.place.file();
    assert!(matches!(
        Store::open(&path).await,
        Err(OpenError::InUse { .. })
    ));
    let beside = Store::open_beside(&path).await.unwrap();
    let task = pool.submit().await;
    let seen = beside.tasks(TaskScope::All, vec![task]).await.unwrap();
    assert!(seen[0].is_some());
    beside
        .cancel(TaskScope::All, vec![task], NOW_MS)
        .await
        .unwrap();
    assert_eq!(pool.state(task).await, TaskState::Cancelled);
}

/// A reference that nothing holds: it is found at the commit, when the worker that waits has been given the task.
fn dangles(scope: &WriteScope<'_>) -> Result<(), StoreError> {
    let connection = scope.connection;
    connection.execute("PRAGMA defer_foreign_keys = ON", &[])?;
    let sql = "INSERT INTO task_faults (task, message) VALUES (777, 'no such task')";
    connection.execute(sql, &[]).map(|_| ())
}

#[tokio::test]
async fn a_worker_whose_commit_fails_has_nothing() {
    let mut pool = Pool::new().await;
    let [holder, worker] = [pool.worker("worker-1").await, pool.worker("worker-2").await];
    let task = pool.submit().await;
    let lease = pool.lease_one(&holder).await;
    let mut drawn = pool.park(&worker, 1);
    let id = holder.id.clone();
    let taken_back = move |scope: &mut WriteScope<'_>| {
        queue::release_all(scope, &id, NOW_MS)?;
        dangles(scope)
    };
    let written = pool
        .store
        .database
        .write(Weight::ROW, Caller::Pool, taken_back);
    let failed = written.await.unwrap_err();
    assert!(matches!(failed, StoreError::Database(_)), "{failed:?}");
    let ended = drawn.ended().await;
    let failed = ParkEnd::Leased(Err(LeaseError::Store(failed)));
    assert_eq!(format!("{ended:?}"), format!("{failed:?}"));
    assert_eq!(pool.state(task).await, TaskState::Running);
    // Nothing of the failed commit is left.
    assert_eq!(pool.ack_one(&holder, &lease).await, AckOutcome::Accepted);
}

/// Nobody else has heard of such a task, so there never was one.
#[tokio::test]
async fn a_task_whose_commit_fails_is_unknown_though_a_worker_was_told_of_it() {
    let mut pool = Pool::new().await;
    let worker = pool.worker("worker-1").await;
    let drawn = pool.park(&worker, 1);
    let task = pool.task();
    let (id, again) = (task.id, task.clone());
    let submitted = move |scope: &mut WriteScope<'_>| {
        queue::submit(scope, std::slice::from_ref(&task), 1)?
            .remove(0)
            .unwrap();
        dangles(scope)
    };
    let written = pool
        .store
        .database
        .write(Weight::ROW, Caller::Awaiter, submitted);
    let failed = written.await.unwrap_err();
    assert!(matches!(failed, StoreError::Database(_)), "{failed:?}");
    let leases = served(drawn).await;
    let seen = pool.store.tasks(TaskScope::All, vec![id]).await.unwrap();
    assert_eq!(seen, [None]);
    assert_eq!(pool.ack(&worker, &leases).await, [AckOutcome::UnknownTask]);
    // Nothing of the failed commit is left that would keep the next one from the worker.
    let parked = pool.park(&worker, 1);
    pool.submit_task(again).await;
    let leases = served(parked).await;
    assert_eq!((leases[0].task, leases[0].fencing_token.0), (id, 1));
}

#[tokio::test]
async fn a_command_does_not_change_the_schema_under_a_running_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sqlite");
    let lock = std::fs::File::create(folder.path().join("gateway.sqlite.lock")).unwrap();
    lock.lock().unwrap();
    let refused = Store::open_beside(&path).await.unwrap_err();
    assert!(matches!(refused, OpenError::Older { found: 0, .. }));
    drop(lock);
    let beside = Store::open_beside(&path).await.unwrap();
    // It keeps no lock: the gateway may start.
    Store::open(&path).await.unwrap();
    beside.counts().await.unwrap();
}

#[tokio::test]
async fn only_its_owner_reads_the_database() {
    let mut pool = Pool::new().await;
    pool.submit().await;
    let path = pool.place.file();
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let file = Path::new(&format!("{}{suffix}", path.display()))
            .metadata()
            .unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn foreign_and_newer_databases_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.sqlite");
    std::fs::write(&path, vec![b'x'; 8_192]).unwrap();
    assert!(matches!(
        Store::open(&path).await,
        Err(OpenError::Foreign { .. })
    ));
    std::fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE notes (text TEXT)")
        .unwrap();
    assert!(matches!(
        Store::open(&path).await,
        Err(OpenError::Foreign { .. })
    ));

    let pool = Pool::new().await;
    pool.store.close().await;
    let newer = rusqlite::Connection::open(pool.place.file()).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&pool.place.file()).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }));
}

/// Tells the child which database to fill.
const CHILD_DATABASE: &str = "COCOON_TEST_CHILD_DATABASE";

/// The child of the test below: submits for ever and prints what was confirmed. By itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_submits_until_it_is_killed() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the only word that passes the test harness"
    )]
    let Some(database) = std::env::var_os(CHILD_DATABASE) else {
        return;
    };
    let store = Store::open(Path::new(&database)).await.unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8_u128 {
        let store = store.clone();
        callers.spawn(async move {
            for number in 0_u128.. {
                let id = TaskId::from_parts(NOW_MS, number * 8 + caller);
                let content = InputBytes::Inline(id.to_string().into());
                let done = store.submit(vec![task(id, vec![content])]).await.unwrap();
                assert!(done[0].is_ok());
                writeln!(std::io::stdout().lock(), "confirmed {id}").unwrap();
            }
        });
    }
    callers.join_all().await;
}

#[tokio::test]
async fn what_was_confirmed_before_sigkill_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("gateway.sqlite");
    let mut confirmed = HashSet::new();
    for round in 1..=3 {
        let enough = round * 400;
        kill_after(&database, enough, &mut confirmed);
        let store = Store::open(&database).await.unwrap();
        let ids: Vec<_> = confirmed.iter().copied().collect();
        let views = store.tasks(TaskScope::All, ids).await.unwrap();
        assert!(
            views.iter().all(Option::is_some),
            "a confirmed task is lost"
        );
        store.close().await;
        // The next child would submit the same ids again.
        std::fs::remove_file(&database).unwrap();
        confirmed.clear();
    }
}

fn kill_after(database: &Path, enough: usize, confirmed: &mut HashSet<TaskId>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg("store::tests::files::child_that_submits_until_it_is_killed")
        .env(CHILD_DATABASE, database)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut keep = |line: String| {
        if let Some((_, id)) = line.split_once("confirmed ") {
            confirmed.insert(id.parse().unwrap());
        }
        confirmed.len()
    };
    while let Some(Ok(line)) = lines.next() {
        if keep(line) >= enough {
            break;
        }
    }
    // SIGKILL; what is in the pipe was confirmed before.
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        // A last line that was cut short confirms nothing.
        if line.ends_with(|last: char| last.is_ascii_alphanumeric()) && line.len() >= 36 {
            keep(line);
        }
    }
    assert!(
        confirmed.len() >= enough,
        "the child confirmed {} tasks",
        confirmed.len()
    );
}
