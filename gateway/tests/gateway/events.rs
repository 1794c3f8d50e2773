//! Server-sent events of a task.

use serde_json::{Value, json};

use crate::pool::{Pool, submit};
use crate::worker::admitted;

/// The states that the events of a stream tell, in order.
fn states(text: &str) -> Vec<Value> {
    let events = text
        .split("\n\n")
        .filter(|event| event.contains("event: task"));
    let task = |event: &str| -> Value {
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        serde_json::from_str(data.unwrap()).unwrap()
    };
    events.map(|event| task(event)["state"].clone()).collect()
}

#[tokio::test]
async fn a_task_is_followed_until_it_has_finished() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let id = submit(&alice, b"abc").await;
    let path = format!("/v1/tasks/{id}/events");
    let (answer, ()) = tokio::join!(alice.get(&path), async {
        // Read before anything happens, as far as anybody can tell.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let leases = worker.lease(1, 0).await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        worker.ack(&leases).await;
    });
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let told = states(&answer.text());
    assert_eq!(
        told,
        [json!("queued"), json!("running"), json!("succeeded")]
    );
    // A finished one is told once.
    assert_eq!(states(&alice.get(&path).await.text()), [json!("succeeded")]);
    let bob = pool.https(&pool.client("bob").await);
    bob.get(&path).await.refuses(404, "not-found");
}
