//! What PostgreSQL alone has: several gateways on one database, and a server that goes away and comes back.

use std::collections::HashSet;

use protocol::lease::AckOutcome;
use protocol::requirements::WorkerTraits;
use protocol::task::{InputDescriptor, TaskState};
use protocol::{Sha256Digest, TaskId};

use super::harness::{Kind, LEASE_MS, NOW_MS, Pool, ack, key, operation, user};
use crate::store::{OpenError, Order, Store, TaskScope};

/// One database, two gateways.
async fn two() -> (Pool, Store) {
    let pool = Pool::on(Kind::Postgres).await;
    let other = Store::open(pool.place.location()).await.unwrap();
    (pool, other)
}

#[tokio::test]
async fn a_task_submitted_at_one_gateway_is_leased_at_another_at_once() {
    let (mut pool, other) = two().await;
    let worker = pool.worker("worker-1").await;
    for _ in 0..3 {
        let mut watch = other.watch_work(&[operation()], &WorkerTraits::default());
        let none = other.lease(worker.query(10, NOW_MS)).await.unwrap();
        assert!(none.is_empty());
        let task = pool.submit().await;
        let _wake = watch.woken().await;
        let leases = other.lease(worker.query(10, NOW_MS)).await.unwrap();
        assert_eq!(leases.len(), 1);
        assert_eq!(leases[0].task, task);
        // The first gateway knows that nothing is left.
        while pool
            .store
            .watch_work(&[operation()], &WorkerTraits::default())
            .has_queued()
        {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_becomes_of_a_task_elsewhere_is_heard_here() {
    let (mut pool, other) = two().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    let (mut moved, mut finished) = (pool.store.watch_task(task), pool.store.watch_task(task));
    let leases = other.lease(worker.query(1, NOW_MS)).await.unwrap();
    moved.moved().await;
    assert_eq!(pool.state(task).await, TaskState::Running);
    let signed = worker.sign(leases.iter().map(ack).collect());
    assert_eq!(
        other.ack(signed, NOW_MS).await.unwrap(),
        [AckOutcome::Accepted]
    );
    assert_eq!(finished.finished().await, None, "it is to be read");
    assert_eq!(pool.state(task).await, TaskState::Succeeded);
}

#[tokio::test]
async fn sessions_elsewhere_get_their_orders() {
    let (mut pool, other) = two().await;
    let worker = pool.worker("worker-1").await;
    let mut tasks = HashSet::new();
    // More than one notification takes.
    for _ in 0..50 {
        tasks.insert(pool.submit().await);
    }
    let leases = other.lease(worker.query(100, NOW_MS)).await.unwrap();
    assert_eq!(leases.len(), 50);
    let all: Vec<TaskId> = tasks.iter().copied().collect();
    pool.store
        .cancel(TaskScope::All, all, NOW_MS)
        .await
        .unwrap();
    while !tasks.is_empty() {
        let Order::Cancel(running) = other.order().await else {
            panic!("nobody was removed");
        };
        assert_eq!(running.worker, worker.id);
        assert!(tasks.remove(&running.lease.task));
    }
    pool.store.delete_worker(&worker.id, NOW_MS).await.unwrap();
    assert_eq!(other.order().await, Order::Remove(worker.id));
}

#[tokio::test]
async fn one_key_is_one_task_at_every_gateway() {
    let (mut pool, other) = two().await;
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let mut task = pool.task();
            task.idempotency_key = Some(key(&format!("order-{number}")));
            task
        })
        .collect();
    // The same tasks under other ids.
    let again: Vec<_> = tasks
        .iter()
        .map(|task| {
            let mut again = pool.task();
            again.idempotency_key = task.idempotency_key.clone();
            again.specification = task.specification.clone();
            again
        })
        .collect();
    let (here, there) = tokio::join!(pool.store.submit(tasks), other.submit(again));
    for (here, there) in here.unwrap().into_iter().zip(there.unwrap()) {
        let (here, there) = (here.unwrap(), there.unwrap());
        assert_eq!(here.task, there.task);
        assert!(here.was_known != there.was_known);
    }
    assert_eq!(pool.store.counts().await.unwrap().tasks.queued, 20);
}

#[tokio::test]
async fn many_workers_at_two_gateways_lease_each_task_once() {
    let (mut pool, other) = two().await;
    let tasks: Vec<_> = (0..200).map(|_| pool.task()).collect();
    pool.store.submit(tasks).await.unwrap();
    let mut leasing = tokio::task::JoinSet::new();
    for number in 0..10 {
        let worker = pool.worker(&format!("worker-{number}")).await;
        for store in [pool.store.clone(), other.clone()] {
            let query = worker.query(7, NOW_MS);
            leasing.spawn(async move { store.lease(query).await.unwrap() });
        }
    }
    let leased = leasing.join_all().await;
    let leased: Vec<_> = leased
        .into_iter()
        .flatten()
        .map(|lease| lease.task)
        .collect();
    assert_eq!(leased.len(), 140);
    assert_eq!(leased.iter().collect::<HashSet<_>>().len(), 140);
}

#[tokio::test]
async fn uploads_at_two_gateways_do_not_pass_a_users_limit_together() {
    let (pool, other) = two().await;
    let stores = [&pool.store, &other].map(|store| store.clone().with_blob_bytes_per_user_max(100));
    let ada = user("ada");
    let uploads = (0..20_u8).map(|name| {
        let blob = InputDescriptor {
            sha256: Sha256Digest::of(&[name]),
            bytes: 10,
        };
        stores[usize::from(name % 2)].record_user_blob(&ada, blob, NOW_MS)
    });
    let recorded = futures_util::future::join_all(uploads).await;
    assert_eq!(
        recorded.iter().filter(|recorded| recorded.is_ok()).count(),
        10
    );
}

#[tokio::test]
async fn what_a_gateway_held_when_it_died_is_handed_out_by_the_other() {
    let (mut pool, other) = two().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    other.lease(worker.query(1, NOW_MS)).await.unwrap();
    drop(other);
    let expired = pool.store.expire(NOW_MS + LEASE_MS).await.unwrap();
    assert_eq!(expired.requeued, 1);
    let again = pool.lease_at(&worker, 1, NOW_MS + LEASE_MS).await;
    assert_eq!((again[0].task, again[0].attempt), (task, 2));
}

/// As a restart of the server does it.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND application_name = 'cocoon-gateway'
        AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = hashtext(current_schema())::oid)";

#[tokio::test]
async fn a_store_goes_on_when_its_connections_were_cut() {
    let (mut pool, other) = two().await;
    let worker = pool.worker("worker-1").await;
    // The listeners hold a lock, by which they are found; writers and readers are cut from the inside.
    pool.place.run(CUT).await;
    let cut = other.database.write(
        crate::store::database::Weight::ROW,
        crate::store::database::Caller::Pool,
        |scope| {
            scope
                .connection
                .execute("SELECT pg_terminate_backend(pg_backend_pid())", &[])
        },
    );
    cut.await.unwrap_err();
    let task = pool.submit().await;
    let leases = other.lease(worker.query(1, NOW_MS)).await.unwrap();
    assert_eq!(leases[0].task, task);
    // Its listener is back: what happened meanwhile was read, and what happens now is heard.
    let mut watch = other.watch_work(&[operation()], &WorkerTraits::default());
    pool.submit().await;
    let _wake = watch.woken().await;
}

#[tokio::test]
async fn foreign_newer_and_older_databases_are_refused() {
    let pool = Pool::on(Kind::Postgres).await;
    let open = || Store::open(pool.place.location());
    pool.place
        .run("UPDATE gateway_state SET schema_version = 99")
        .await;
    let newer = open().await.unwrap_err();
    assert!(
        matches!(newer, OpenError::Newer { found: 99, .. }),
        "{newer}"
    );
    // Another gateway runs on it.
    let state = "UPDATE gateway_state SET schema_version = 0";
    pool.place.run(state).await;
    let older = loop {
        match open().await.unwrap_err() {
            // Its listener takes its lock in its own time.
            OpenError::Store(_) => tokio::task::yield_now().await,
            refused => break refused,
        }
    };
    assert!(
        matches!(older, OpenError::Older { found: 0, .. }),
        "{older}"
    );
    pool.place.run("DROP TABLE gateway_state").await;
    let foreign = open().await.unwrap_err();
    assert!(matches!(foreign, OpenError::Foreign { .. }), "{foreign}");
}

#[tokio::test]
async fn a_gateway_that_waited_in_vain_for_the_lock_writes_again() {
    let mut pool = Pool::on(Kind::Postgres).await;
    let cut_short = pool.store.database.write(
        crate::store::database::Weight::ROW,
        crate::store::database::Caller::Pool,
        |scope| scope.connection.execute("SET lock_timeout = '50ms'", &[]),
    );
    cut_short.await.unwrap();
    let lock = "SELECT pg_advisory_lock(x'63636e47'::int, hashtext(current_schema()))";
    let holder = pool.place.hold(lock).await;
    let task = pool.task();
    pool.store.submit(vec![task]).await.unwrap_err();
    drop(holder);
    // The server frees it in its own time.
    for _ in 0..100 {
        let task = pool.task();
        if pool.store.submit(vec![task]).await.is_ok() {
            return;
        }
    }
    panic!("it does not write any more");
}
