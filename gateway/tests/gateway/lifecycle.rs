//! Starting, stopping, starting again.

use std::time::{Duration, Instant};

use gateway::Listening;
use protocol::lease::AckOutcome;
use serde_json::json;

use crate::pool::{Pool, hash_task, submit};
use crate::worker::{admitted, connect};

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test measures how long a stop takes"
)]
async fn a_stop_answers_what_waits_and_ends_at_once() {
    let mut pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let mut control = worker.control().await;
    let other = admitted(&pool, "worker-2").await;
    let id = submit(&alice, b"abc").await;
    assert_eq!(worker.lease(1, 0).await.len(), 1);
    let (path, began) = (format!("/v1/tasks/{id}?wait_s=30"), Instant::now());
    let mut nobodys = hash_task(b"def");
    nobodys["requirements"] = json!({ "gpu_memory_gib_min": 80 });
    let (waited, submitted, leases, ()) = tokio::join!(
        alice.get(&path),
        alice.post("/v1/tasks?wait_s=30", &nobodys),
        other.lease(1, 30_000),
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            pool.begin_stop();
        }
    );
    for (answer, status, state) in [(waited, 200, "running"), (submitted, 201, "queued")] {
        assert_eq!(
            (answer.status, answer.json()["state"].clone()),
            (status, json!(state))
        );
    }
    assert!(leases.is_empty());
    assert!(control.next().await.is_none());
    pool.stop().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(Listening::read(&pool.dir.path().join("state")), None);
}

#[tokio::test]
async fn what_was_confirmed_outlives_the_gateway() {
    let mut pool = Pool::start().await;
    let token = pool.client("alice").await;
    let worker = admitted(&pool, "worker-1").await;
    let id = submit(&pool.https(&token), b"abc").await;
    let leases = worker.lease(1, 0).await;
    pool.stop().await.unwrap();
    pool.restart().await;
    let view = pool
        .https(&token)
        .get(&format!("/v1/tasks/{id}"))
        .await
        .json();
    assert_eq!(view["state"], "running");
    let worker = connect(&pool, worker.attester).await.unwrap();
    assert_eq!(worker.ack(&leases).await.outcomes, [AckOutcome::Accepted]);
    let output = pool
        .https(&token)
        .get(&format!("/v1/tasks/{id}/output"))
        .await;
    assert_eq!(output.status, 200);
}

#[tokio::test]
async fn two_gateways_do_not_share_a_store() {
    let pool = Pool::start().await;
    let database = pool
        .dir
        .path()
        .join("state")
        .join(gateway::config::DATABASE);
    let error = gateway::store::Store::open(&database).await.unwrap_err();
    assert!(
        matches!(error, gateway::store::OpenError::InUse { .. }),
        "{error}"
    );
}
