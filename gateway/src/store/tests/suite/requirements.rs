//! What tasks demand of their worker: classes that hold up nobody, on whichever database.

use protocol::requirements::{GpuArchitecture, GpuTraits, Requirements, WorkerTraits};

use super::harness::{NOW_MS, Worker, operation, user};
use super::pool;
use crate::store::{LeaseQuery, SubmitError, TaskScope};

fn gib(gpu_memory_gib_min: u32) -> Requirements {
    Requirements {
        gpu_memory_gib_min: Some(gpu_memory_gib_min),
        ..Requirements::default()
    }
}

fn traits(memory_gib: u64) -> WorkerTraits {
    WorkerTraits {
        gpus: vec![GpuTraits {
            architecture: Some(GpuArchitecture::Hopper),
            memory_bytes: Some(memory_gib << 30),
        }],
        appraisal_policy: None,
    }
}

fn query(worker: &Worker, memory_gib: u64, tasks_max: usize) -> LeaseQuery {
    LeaseQuery {
        traits: traits(memory_gib),
        ..worker.query(tasks_max, NOW_MS)
    }
}

#[tokio::test]
async fn each_worker_gets_what_it_is_good_for() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut ids = Vec::new();
    for demand in [gib(80), gib(40), Requirements::default()] {
        let mut task = pool.task();
        task.requirements = demand.clone();
        ids.push(pool.submit_task(task).await);
        assert_eq!(pool.view(ids[ids.len() - 1]).await.requirements, demand);
    }
    let cpu = pool.lease(&worker, 10).await;
    assert_eq!(
        cpu.iter().map(|lease| lease.task).collect::<Vec<_>>(),
        [ids[2]]
    );
    let small = pool.store.lease(query(&worker, 40, 10)).await.unwrap();
    assert_eq!(
        small.iter().map(|lease| lease.task).collect::<Vec<_>>(),
        [ids[1]]
    );
    let large = pool.store.lease(query(&worker, 80, 10)).await.unwrap();
    assert_eq!(
        large.iter().map(|lease| lease.task).collect::<Vec<_>>(),
        [ids[0]]
    );
}

#[tokio::test]
async fn demands_that_nobody_meets_hold_up_nobody() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut tasks = Vec::new();
    for demand in 1..=500_u32 {
        let mut task = pool.task();
        task.user = user(&format!("user-{}", demand / 60));
        task.requirements = gib(1_000 + demand);
        tasks.push(task);
    }
    for outcome in pool.store.submit(tasks).await.unwrap() {
        outcome.unwrap();
    }
    let mut task = pool.task();
    task.requirements = gib(999);
    let wanted = pool.submit_task(task).await;
    let leases = pool.store.lease(query(&worker, 999, 10)).await.unwrap();
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].task, wanted);
}

#[tokio::test]
async fn a_user_demands_so_many_different_things_at_a_time() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    for demand in 1..=64 {
        let mut task = pool.task();
        task.requirements = gib(demand);
        pool.submit_task(task).await;
    }
    let mut one_more = pool.task();
    one_more.requirements = gib(65);
    let refused = pool.store.submit(vec![one_more.clone()]).await.unwrap();
    assert_eq!(
        refused[0],
        Err(SubmitError::TooManyRequirements {
            requirements_max: 64
        })
    );
    // What waits already is no new demand, and nothing demanded is none.
    let mut again = pool.task();
    again.requirements = gib(64);
    pool.submit_task(again).await;
    pool.submit().await;
    // Once one of them is gone there is room.
    pool.store.lease(query(&worker, 1, 10)).await.unwrap();
    let taken = pool.store.submit(vec![one_more]).await.unwrap();
    assert!(taken[0].is_ok());
}

/// Finished ones count until they are forgotten; what nobody demands anything for always has room.
#[tokio::test]
async fn a_user_has_so_many_different_demands_kept() {
    let mut pool = pool().await;
    for batch in 0..16 {
        let mut tasks = Vec::new();
        for demand in 1..=64 {
            let mut task = pool.task();
            task.requirements = gib(batch * 64 + demand);
            tasks.push(task);
        }
        let ids = tasks.iter().map(|task| task.id).collect();
        let outcomes = pool.store.submit(tasks).await.unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let cancelled = pool.store.cancel(TaskScope::All, ids, NOW_MS);
        cancelled.await.unwrap();
    }
    let mut one_more = pool.task();
    one_more.requirements = gib(2_000);
    let refused = pool.store.submit(vec![one_more.clone()]).await.unwrap();
    assert_eq!(
        refused[0],
        Err(SubmitError::TooManyRequirementsKept {
            requirements_max: 1_024
        })
    );
    pool.submit().await;
    let mut anothers = pool.task();
    (anothers.user, anothers.requirements) = (user("bert"), gib(2_000));
    pool.submit_task(anothers).await;
    pool.prune(NOW_MS + 1).await;
    let taken = pool.store.submit(vec![one_more]).await.unwrap();
    assert!(taken[0].is_ok());
}

#[tokio::test]
async fn a_batch_has_no_more_demands_than_its_tasks_one_by_one() {
    let mut pool = pool().await;
    let mut tasks = Vec::new();
    for demand in 1..=100 {
        let mut task = pool.task();
        task.requirements = gib(demand);
        tasks.push(task);
    }
    let outcomes = pool.store.submit(tasks).await.unwrap();
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        64
    );
}

#[tokio::test]
async fn who_waits_is_woken_for_what_it_may_have() {
    let mut pool = pool().await;
    let mut with = pool.store.watch_work(&[operation()], &traits(80));
    let without = pool
        .store
        .watch_work(&[operation()], &WorkerTraits::default());
    let mut task = pool.task();
    task.requirements = gib(80);
    pool.submit_task(task).await;
    let _wake = with.woken().await;
    assert!(with.has_queued() && !without.has_queued());
}
