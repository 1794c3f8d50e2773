//! Order: priority, then age; and nothing starves.

use protocol::limits::{PRIORITY_MAX, PRIORITY_STEP_S};

use super::harness::NOW_MS;
use super::pool;

const STEP_MS: u64 = PRIORITY_STEP_S * 1_000;

#[tokio::test]
async fn priority_comes_first_then_age() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut expected = Vec::new();
    for (priority, submitted_ms) in [(0, 0), (9, 5), (4, 1), (9, 3), (4, 1)] {
        let mut task = pool.task();
        task.priority = priority;
        task.submitted_ms = NOW_MS + submitted_ms;
        expected.push(pool.submit_task(task).await);
    }
    let order = [3, 1, 2, 4, 0].map(|position| expected[position]);
    let leased: Vec<_> = pool
        .lease(&worker, 10)
        .await
        .iter()
        .map(|lease| lease.task)
        .collect();
    assert_eq!(leased, order);
}

/// However many tasks of the highest priority arrive, a task of the lowest is handed out once it has waited for as long
/// as the steps between them.
#[tokio::test]
async fn the_lowest_priority_overtakes_a_steady_stream_of_the_highest() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut patient = pool.task();
    patient.priority = 0;
    let patient = pool.submit_task(patient).await;
    let mut waited_ms = 0;
    loop {
        for _ in 0..2 {
            let mut eager = pool.task();
            eager.priority = PRIORITY_MAX;
            eager.submitted_ms = NOW_MS + waited_ms;
            pool.submit_task(eager).await;
        }
        let lease = pool
            .lease_at(&worker, 1, NOW_MS + waited_ms)
            .await
            .remove(0);
        if lease.task == patient {
            break;
        }
        waited_ms += STEP_MS / 2;
        assert!(waited_ms < 10 * 3_600_000, "starved");
    }
    // The stream brings two for each one taken, so the wait ends no later than when the last one that could overtake it
    // has gone.
    assert!(waited_ms >= u64::from(PRIORITY_MAX) * STEP_MS / 2);
    assert!(waited_ms <= 4 * u64::from(PRIORITY_MAX) * STEP_MS);
}

#[tokio::test]
async fn a_task_that_returns_keeps_its_age() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let first = pool.submit().await;
    pool.submit().await;
    let lease = pool.lease(&worker, 1).await.remove(0);
    pool.nack(&worker, &lease, protocol::lease::FaultKind::Failed)
        .await;
    let other = pool.worker("worker-2").await;
    assert_eq!(pool.lease(&other, 1).await[0].task, first);
}
