//! One way to stop: SIGTERM drains, and what was running finishes or moves on.

use protocol::task::TaskState;

use crate::pool::Pool;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_finishes_or_gives_back_what_it_holds() {
    let mut pool = Pool::start(2).await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(pool.submit_slow().await);
    }
    let running = pool.wait_state(tasks[0].id, TaskState::Running).await;
    let stopped = running.worker.expect("a running task has a worker");
    let status = pool.fleet.worker(&stopped).unwrap().stop().await.unwrap();
    assert!(status.success(), "{status}");
    for task in tasks {
        let finished = pool.wait_state(task.id, TaskState::Succeeded).await;
        assert_eq!(
            finished.attempts, 1,
            "an orderly stop costs no attempt: {finished:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_takes_no_more() {
    let pool = Pool::start(2).await;
    let operator = pool.fleet.operator().unwrap();
    let drained = &pool.workers[0];
    operator.drain_worker(drained).await.unwrap();
    for number in 0_u8..20 {
        let task = pool
            .submit("sha256_batch", serde_json::json!({}), &[vec![number]])
            .await;
        let finished = pool.wait_state(task.id, TaskState::Succeeded).await;
        assert_ne!(finished.worker.as_ref(), Some(drained));
    }
    operator.undrain_worker(drained).await.unwrap();
    assert!(!operator.worker(drained).await.unwrap().draining);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_pool_stops_in_order() {
    let pool = Pool::start(2).await;
    pool.fleet.stop().await.unwrap();
}
