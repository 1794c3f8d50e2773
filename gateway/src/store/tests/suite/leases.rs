//! Who gets which tasks, and how many.

use std::collections::HashSet;

use protocol::lease::{FaultKind, LeaseInput, OperationId};
use serde_bytes::ByteBuf;

use super::harness::{LEASE_MS, NOW_MS, Worker, operation, reference, specification};
use super::pool;
use crate::store::{InputBytes, LeaseError, RenewQuery};

#[tokio::test]
async fn two_workers_never_lease_the_same_task() {
    let mut pool = pool().await;
    let tasks: Vec<_> = (0..300).map(|_| pool.task()).collect();
    pool.store.submit(tasks).await.unwrap();
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..10 {
        let (store, worker) = (
            pool.store.clone(),
            pool.worker(&format!("worker-{number}")).await,
        );
        workers.spawn(async move {
            let mut tasks = Vec::new();
            loop {
                let leases = store.lease(worker.query(7, NOW_MS)).await.unwrap();
                if leases.is_empty() {
                    return tasks;
                }
                tasks.extend(leases.into_iter().map(|lease| lease.task));
            }
        });
    }
    let leased = workers.join_all().await.concat();
    assert_eq!(leased.len(), 300);
    assert_eq!(leased.into_iter().collect::<HashSet<_>>().len(), 300);
}

#[tokio::test]
async fn each_input_is_leased_as_it_was_submitted() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let cases: [&[&str]; 5] = [
        &["abc"],
        &["abc", ""],
        &["", "abc", ""],
        &["a", "", "bc"],
        &[""],
    ];
    for texts in cases {
        let inline = |text: &&'static str| InputBytes::Inline(text.as_bytes().into());
        let mut task = pool.task();
        task.specification = specification(texts.iter().map(inline).collect());
        pool.submit_task(task).await;
        let lease = pool.lease_one(&worker).await;
        let inline = |text: &&str| LeaseInput::Inline(ByteBuf::from(text.as_bytes()));
        let wanted: Vec<_> = texts.iter().map(inline).collect();
        assert_eq!(lease.inputs, wanted);
    }
}

#[tokio::test]
async fn only_what_the_worker_can_run_is_handed_out() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    pool.submit().await;
    let mut query = worker.query(10, NOW_MS);
    query.operations = vec![OperationId {
        version: 2,
        ..operation()
    }];
    assert!(pool.store.lease(query.clone()).await.unwrap().is_empty());
    query.operations = Vec::new();
    assert!(pool.store.lease(query.clone()).await.unwrap().is_empty());
    query.operations = vec![operation(), operation()];
    assert_eq!(pool.store.lease(query).await.unwrap().len(), 1);
}

/// Others get it at once. Where there is no other worker it gets it again, later each time.
#[tokio::test]
async fn a_task_that_failed_is_kept_from_its_worker_for_a_while() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let other = pool.worker("worker-2").await;
    let task = pool.submit().await;
    let behind = pool.submit().await;
    let failed = pool.lease(&worker, 1).await.remove(0);
    assert_eq!(failed.task, task);
    pool.nack(&worker, &failed, FaultKind::Failed).await;
    let leased = pool.lease(&worker, 10).await;
    assert_eq!((leased.len(), leased[0].task), (1, behind));
    assert!(pool.lease_at(&worker, 10, NOW_MS + 1_999).await.is_empty());
    let again = pool.lease_at(&worker, 10, NOW_MS + 2_000).await.remove(0);
    assert_eq!((again.task, again.attempt), (task, 2));
    pool.nack(&worker, &again, FaultKind::Failed).await;
    assert!(pool.lease_at(&worker, 10, NOW_MS + 3_999).await.is_empty());
    assert_eq!(pool.lease_one(&other).await.task, task);
}

#[tokio::test]
async fn a_task_that_was_given_back_unharmed_is_kept_from_nobody() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    pool.submit().await;
    let failed = pool.lease_one(&worker).await;
    pool.nack(&worker, &failed, FaultKind::Failed).await;
    let other = pool.worker("worker-2").await;
    let lease = pool.lease_one(&other).await;
    pool.nack(&other, &lease, FaultKind::Released).await;
    assert_eq!(pool.lease(&other, 1).await.len(), 1);
}

/// Reading past them is bounded: beyond that the flow waits, and is whole again when they are kept from nobody.
#[tokio::test]
async fn some_tasks_that_failed_do_not_hide_those_behind_them() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let tasks = (0..100).map(|_| pool.task()).collect();
    pool.store.submit(tasks).await.unwrap();
    for lease in pool.lease(&worker, 64).await {
        pool.nack(&worker, &lease, FaultKind::Failed).await;
    }
    let behind = pool.lease(&worker, 100).await;
    assert_eq!(behind.len(), 36);
    assert!(behind.iter().all(|lease| lease.attempt == 1));
    pool.nack(&worker, &behind[0], FaultKind::Failed).await;
    pool.submit().await;
    assert!(pool.lease(&worker, 1).await.is_empty());
    assert_eq!(pool.lease_at(&worker, 100, NOW_MS + 2_000).await.len(), 66);
}

#[tokio::test]
async fn a_draining_worker_gets_nothing_and_keeps_what_it_has() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    for _ in 0..2 {
        pool.submit().await;
    }
    let leases = pool.lease(&worker, 1).await;
    assert!(pool.store.set_draining(&worker.id, true).await.unwrap());
    let refused = pool.store.lease(worker.query(1, NOW_MS)).await;
    assert!(matches!(refused, Err(LeaseError::Draining)));
    let record = pool.store.worker(&worker.id).await.unwrap().unwrap();
    assert!(record.draining && record.tasks_running == 1);
    pool.ack(&worker, &leases).await;
    let record = pool.store.worker(&worker.id).await.unwrap().unwrap();
    assert_eq!(record.tasks_running, 0);
    assert!(pool.store.set_draining(&worker.id, false).await.unwrap());
    assert_eq!(pool.lease(&worker, 1).await.len(), 1);
}

#[tokio::test]
async fn a_worker_that_is_not_enrolled_gets_nothing() {
    let mut pool = pool().await;
    pool.submit().await;
    let stranger = Worker::new("stranger");
    let refused = pool.store.lease(stranger.query(1, NOW_MS)).await;
    assert!(matches!(refused, Err(LeaseError::UnknownWorker)));
    assert!(!pool.store.set_draining(&stranger.id, true).await.unwrap());
}

#[tokio::test]
async fn a_removed_workers_tasks_return_without_counting() {
    let mut pool = pool().await;
    let [gone, other] = [pool.worker("gone").await, pool.worker("other").await];
    pool.submit().await;
    let old = pool.lease_one(&gone).await;
    assert!(pool.store.delete_worker(&gone.id, NOW_MS).await.unwrap());
    assert!(!pool.store.delete_worker(&gone.id, NOW_MS).await.unwrap());
    let new = pool.lease_one(&other).await;
    assert_eq!((old.task, new.attempt), (new.task, 1));
    assert!(new.fencing_token > old.fencing_token);
}

#[tokio::test]
async fn leases_are_bounded_in_bytes() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    for _ in 0..5 {
        pool.submit().await;
    }
    let mut query = worker.query(5, NOW_MS);
    let weight = {
        let one = pool.store.lease(worker.query(1, NOW_MS)).await.unwrap();
        one[0].body.len() + 64
    };
    query.payload_bytes_max = u64::try_from(2 * weight).unwrap();
    let leases = pool.store.lease(query.clone()).await.unwrap();
    assert_eq!(leases.len(), 2);
    assert!(
        leases
            .iter()
            .all(|lease| matches!(lease.inputs[..], [LeaseInput::Inline(_)]))
    );
    query.payload_bytes_max = u64::try_from(weight + 1).unwrap();
    assert_eq!(pool.store.lease(query).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_task_over_the_whole_budget_is_leased_with_inputs_to_fetch() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut task = pool.task();
    let input = |fill| InputBytes::Inline(vec![fill; 1_000].into());
    task.specification = specification(vec![input(1), input(2)]);
    pool.submit_task(task).await;
    pool.submit().await;
    let mut query = worker.query(5, NOW_MS);
    query.payload_bytes_max = 1_500;
    let leases = pool.store.lease(query).await.unwrap();
    assert_eq!(leases.len(), 1);
    assert!(matches!(
        leases[0].inputs[..],
        [LeaseInput::Inline(_), LeaseInput::Fetch]
    ));
}

#[tokio::test]
async fn only_the_holder_renews_and_only_the_newest_lease() {
    let mut pool = pool().await;
    let [slow, quick] = [pool.worker("slow").await, pool.worker("quick").await];
    pool.submit().await;
    let old = reference(&pool.lease_one(&slow).await);
    pool.store.expire(NOW_MS + LEASE_MS).await.unwrap();
    let new = reference(&pool.lease_one(&quick).await);
    let renew = async |worker: &Worker, lease| {
        let query = RenewQuery {
            worker: worker.id.clone(),
            leases: vec![lease],
            lease_duration_ms: LEASE_MS,
            now_ms: NOW_MS,
        };
        pool.store.renew(query).await.unwrap()[0].lease_duration_ms
    };
    assert_eq!(renew(&slow, old).await, None);
    assert_eq!(renew(&slow, new).await, None);
    assert_eq!(renew(&quick, old).await, None);
    assert_eq!(renew(&quick, new).await, Some(LEASE_MS));
}
