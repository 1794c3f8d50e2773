//! Leases that wait, and the commits that serve them.

use protocol::requirements::{Requirements, WorkerTraits};
use protocol::task::TaskState;

use super::harness::{Pool, Worker, operation, served};
use super::pool;
use crate::store::{LeaseError, ParkEnd, ParkedLease, StoreError};

async fn leased(parked: ParkedLease) -> usize {
    served(parked).await.len()
}

async fn submit_many(pool: &mut Pool, count: usize) {
    let tasks = (0..count).map(|_| pool.task()).collect();
    for submitted in pool.store.submit(tasks).await.unwrap() {
        submitted.unwrap();
    }
}

#[tokio::test]
async fn the_commit_that_queues_a_task_leases_it() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let parked = pool.park(&worker, 10);
    let before = pool.store.write_statistics();
    let task = pool.submit().await;
    assert_eq!(leased(parked).await, 1);
    let after = pool.store.write_statistics();
    assert_eq!(after.commits - before.commits, 1);
    assert_eq!(after.operations - before.operations, 2);
    let view = pool.view(task).await;
    assert_eq!((view.state, view.attempts), (TaskState::Running, 1));
    let work = pool
        .store
        .watch_work(&[operation()], &WorkerTraits::default());
    assert!(!work.has_queued());
    let counts = pool.store.counts().await.unwrap();
    assert_eq!((counts.tasks.queued, counts.tasks.running), (0, 1));
}

#[tokio::test]
async fn those_who_came_first_are_served_and_what_is_left_waits() {
    let mut pool = pool().await;
    let (first, second) = (pool.worker("worker-1").await, pool.worker("worker-2").await);
    let (first, second) = (pool.park(&first, 2), pool.park(&second, 1));
    submit_many(&mut pool, 5).await;
    assert_eq!((leased(first).await, leased(second).await), (2, 1));
    assert_eq!(pool.store.counts().await.unwrap().tasks.queued, 2);
}

#[tokio::test]
async fn a_task_that_comes_back_is_served_too() {
    let mut pool = pool().await;
    let (first, second) = (pool.worker("worker-1").await, pool.worker("worker-2").await);
    pool.submit().await;
    let lease = pool.lease_one(&first).await;
    let parked = pool.park(&second, 1);
    pool.nack(&first, &lease, protocol::lease::FaultKind::Released)
        .await;
    assert_eq!(leased(parked).await, 1);
}

#[tokio::test]
async fn who_left_is_not_served_and_who_is_served_in_that_moment_hears_of_it() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    assert!(pool.park(&worker, 1).leave().await.is_none());
    drop(pool.park(&worker, 1));
    let task = pool.submit().await;
    assert_eq!(pool.state(task).await, TaskState::Queued);
    let lease = pool.lease_one(&worker).await;
    pool.ack_one(&worker, &lease).await;
    let parked = pool.park(&worker, 1);
    pool.submit().await;
    let Some(ParkEnd::Leased(leased)) = parked.leave().await else {
        panic!("not served");
    };
    assert_eq!(leased.unwrap().len(), 1);
}

#[tokio::test]
async fn who_may_have_nothing_leaves_it_to_the_next() {
    let mut pool = pool().await;
    let (stale, draining) = (pool.worker("worker-1").await, pool.worker("worker-2").await);
    let (gone, ready) = (Worker::new("worker-3"), pool.worker("worker-4").await);
    pool.store.set_draining(&draining.id, true).await.unwrap();
    let watch = pool
        .store
        .watch_work(&[operation()], &WorkerTraits::default());
    let stale_park = pool.store.park(watch, |_| None);
    let mut drained = pool.park(&draining, 1);
    let mut removed = pool.park(&gone, 1);
    let ready = pool.park(&ready, 1);
    pool.submit().await;
    assert_eq!(leased(ready).await, 1);
    assert_eq!(leased(stale_park).await, 0);
    let ended = drained.ended().await;
    assert!(
        matches!(ended, ParkEnd::Leased(Err(LeaseError::Draining))),
        "{ended:?}"
    );
    let ended = removed.ended().await;
    assert!(
        matches!(ended, ParkEnd::Leased(Err(LeaseError::UnknownWorker))),
        "{ended:?}"
    );
    drop(stale);
}

#[tokio::test]
async fn a_lease_that_fails_takes_along_none_that_was_told() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let told = pool.park(&worker, 1);
    let watch = pool
        .store
        .watch_work(&[operation()], &WorkerTraits::default());
    let mut failing = ParkedLease::new(watch, |_| Err(StoreError::Unreadable { what: "a row" }));
    submit_many(&mut pool, 2).await;
    let ended = failing.ended().await;
    assert!(
        matches!(ended, ParkEnd::Leased(Err(LeaseError::Store(_)))),
        "{ended:?}"
    );
    let leases = served(told).await;
    assert_eq!(
        pool.ack(&worker, &leases).await,
        [protocol::lease::AckOutcome::Accepted]
    );
    assert_eq!(pool.store.counts().await.unwrap().tasks.queued, 1);
}

#[tokio::test]
async fn what_a_worker_may_not_have_does_not_take_it_out_of_the_line() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let parked = pool.park(&worker, 1);
    let mut demanding = pool.task();
    demanding.requirements = Requirements {
        gpu_attested: true,
        ..Requirements::default()
    };
    let demanding = pool.submit_task(demanding).await;
    let task = pool.submit().await;
    assert_eq!(leased(parked).await, 1);
    assert_eq!(pool.state(demanding).await, TaskState::Queued);
    assert_eq!(pool.state(task).await, TaskState::Running);
}
