//! Explanations over the API: what a client and an operator read while things happen.

use serde_json::Value;

use crate::https::Https;
use crate::pool::{Pool, submit};
use crate::worker::admitted;

async fn codes(of: &Https, path: &str) -> Vec<String> {
    let explanation = of.get(&format!("/v1/{path}/explanation")).await.json();
    let reasons = explanation["reasons"].as_array().unwrap();
    assert!(reasons.iter().all(|reason| reason["text"] != ""));
    let codes = reasons
        .iter()
        .map(|reason| reason["code"].as_str().unwrap().to_owned());
    codes.collect()
}

#[tokio::test]
async fn a_task_says_where_it_is_all_its_life() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let task = format!("tasks/{}", submit(&alice, b"abc").await);
    assert_eq!(codes(&alice, &task).await, ["no-worker-connected"]);
    submit(&pool.https(&pool.client("bob").await), b"abc").await;
    let behind = format!("tasks/{}", submit(&alice, b"abcd").await);
    assert_eq!(
        codes(&alice, &behind).await,
        ["no-worker-connected", "tasks-ahead", "turns-taken"]
    );
    let worker = admitted(&pool, "worker-1").await;
    assert_eq!(
        codes(&alice, &task).await[0],
        "not-offered",
        "it has not asked yet"
    );
    let leases = worker.lease(2, 0).await;
    assert_eq!(codes(&alice, &task).await, ["running"]);
    let operations = alice.get("/v1/operations").await.json();
    let workers = |name: &str| {
        let mut operations = operations.as_array().unwrap().iter();
        let operation = operations.find(|operation| operation["name"] == name);
        operation.unwrap()["workers"].clone()
    };
    assert_eq!(
        (workers("sha256_batch"), workers("gemm")),
        (1.into(), 0.into())
    );
    assert_eq!(codes(&alice, &behind).await, ["workers-busy"]);
    worker.ack(&leases).await;
    assert_eq!(codes(&alice, &task).await, ["finished"]);
    pool.https(&pool.client("bob").await)
        .get(&format!("/v1/{task}/explanation"))
        .await
        .refuses(404, "not-found");
}

#[tokio::test]
async fn a_worker_says_why_it_is_idle() {
    let pool = Pool::start().await;
    let operator = pool.operator();
    let worker = admitted(&pool, "worker-1").await;
    // The end of a control stream ends its session, so it is kept.
    let _control = worker.control().await;
    assert_eq!(codes(&operator, "workers/worker-1").await, ["not-asking"]);
    worker.lease(1, 0).await;
    assert_eq!(
        codes(&operator, "workers/worker-1").await,
        ["nothing-queued"]
    );
    operator
        .post("/v1/workers/worker-1/drain", &Value::Null)
        .await;
    assert_eq!(codes(&operator, "workers/worker-1").await, ["draining"]);
    pool.enrol("worker-2").await;
    assert_eq!(codes(&operator, "workers/worker-2").await, ["offline"]);
    let alice = pool.https(&pool.client("alice").await);
    alice
        .get("/v1/workers/worker-1/explanation")
        .await
        .refuses(403, "role-insufficient");
}
