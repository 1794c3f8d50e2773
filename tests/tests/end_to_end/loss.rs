//! What is lost when something dies: nothing that was confirmed, and nothing takes effect twice.

use std::time::Duration;

use protocol::TaskId;
use protocol::api::SubmitTask;
use protocol::task::TaskState;
use rustix::process::Signal;

use crate::pool::{LIMIT, Pool, SLOW_SIDE};

/// Short, so that a lost worker's task moves on soon; two heartbeats would be longer, and nothing here depends on them.
const LEASE_S: u32 = 3;

fn digest_task(content: String) -> SubmitTask {
    SubmitTask {
        operation: "sha256_batch".to_owned(),
        version: None,
        parameters: serde_json::Map::new(),
        inputs: vec![protocol::api::InputSource::Inline {
            data: content.into_bytes(),
        }],
        priority: None,
        deadline_s: None,
        max_attempts: None,
        idempotency_key: None,
        requirements: protocol::requirements::Requirements::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_task_finishes_on_the_other_one_once() {
    let mut pool = Pool::with_leases(2, LEASE_S).await;
    let task = pool.submit_slow().await;
    let running = pool.wait_state(task.id, TaskState::Running).await;
    let victim = running.worker.expect("a running task has a worker");
    pool.fleet.worker(&victim).unwrap().kill().unwrap();

    let finished = pool.wait_state(task.id, TaskState::Succeeded).await;
    assert_eq!(finished.attempts, 2);
    assert_ne!(finished.worker.as_ref(), Some(&victim));
    let expected = f32::from(u16::try_from(SLOW_SIDE).unwrap()).to_le_bytes();
    let output = pool.output(&finished).await;
    assert!(output.chunks(4).all(|element| element == expected));
    assert_eq!(pool.leaf(&finished).await.attempt, 2);
}

/// A paused worker does not know that its lease ran out: it finishes, and its late ack carries an old fencing token.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_workers_late_ack_is_refused() {
    let mut pool = Pool::with_leases(2, LEASE_S).await;
    let task = pool.submit_slow().await;
    let running = pool.wait_state(task.id, TaskState::Running).await;
    let paused = running.worker.expect("a running task has a worker");
    let process = pool.fleet.worker(&paused).unwrap();
    process.signal(Signal::STOP).unwrap();

    // Its open poll may even have been given the task once more, in vain.
    let finished = pool.wait_state(task.id, TaskState::Succeeded).await;
    assert!(finished.attempts >= 2, "{finished:?}");
    assert_ne!(finished.worker.as_ref(), Some(&paused));
    let process = pool.fleet.worker(&paused).unwrap();
    process.signal(Signal::CONT).unwrap();
    // It has the product half done, or connects anew first; either way what it brings is too late.
    pool.fleet.wait_live(&paused).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = pool.client().task(task.id).await.unwrap();
    assert_eq!(after, finished, "the late ack changed the task");
    assert_eq!(pool.leaf(&after).await.attempt, finished.attempts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_loses_nothing_it_confirmed() {
    let mut pool = Pool::with_leases(2, LEASE_S).await;
    let client = pool.client();
    let mut confirmed: Vec<TaskId> = Vec::new();
    let mut finished_before = Vec::new();
    for round in 0..3 {
        let tasks: Vec<_> = (0..200)
            .map(|number| digest_task(format!("round {round}, task {number}")))
            .collect();
        for outcome in client.submit_batch(&tasks).await.unwrap() {
            match outcome {
                protocol::api::BatchOutcome::Task(view) => confirmed.push(view.id),
                protocol::api::BatchOutcome::Problem(problem) => panic!("{problem}"),
            }
        }
        // Somewhere in the middle of the work.
        finished_before.push(
            client
                .wait_task(confirmed[round * 200 + 20], |_| ())
                .await
                .unwrap(),
        );
        pool.fleet.kill_gateway().unwrap();
        pool.fleet.restart_gateway().await.unwrap();
    }
    // The workers attest again by themselves, and every task finishes.
    for id in pool.workers.clone() {
        pool.fleet.wait_live(&id).await.unwrap();
    }
    for before in finished_before {
        assert_eq!(
            client.task(before.id).await.unwrap(),
            before,
            "a confirmed output changed"
        );
    }
    for id in confirmed {
        let finished = tokio::time::timeout(LIMIT, client.wait_task(id, |_| ()))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(finished.state, TaskState::Succeeded, "{finished:?}");
        pool.leaf(&finished).await;
    }
}
