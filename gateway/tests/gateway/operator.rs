//! Operators: enrolling workers, the pool's status, metrics.

use http::Method;
use serde_json::json;

use crate::pool::{Pool, submit};
use crate::worker::admitted;

#[tokio::test]
async fn a_worker_is_enrolled_once_and_its_secret_shown_once() {
    let pool = Pool::start().await;
    let operator = pool.operator();
    let answer = operator
        .post("/v1/workers", &json!({ "id": "worker-1" }))
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        answer.json()["enrolment_secret"].as_str().unwrap().len(),
        64
    );
    operator
        .post("/v1/workers", &json!({ "id": "worker-1" }))
        .await
        .refuses(409, "already-exists");
    operator
        .post("/v1/workers", &json!({ "id": "Worker 1" }))
        .await
        .refuses(400, "malformed-request");
    let list = operator.get("/v1/workers").await;
    assert!(!list.text().contains("secret"));
    assert_eq!(list.json()["workers"][0]["state"], "offline");
    operator
        .get("/v1/workers/nobody")
        .await
        .refuses(404, "not-found");
    operator
        .get("/v1/workers/No%20Name")
        .await
        .refuses(400, "malformed-request");
}

#[tokio::test]
async fn the_status_says_that_a_simulated_pool_proves_nothing() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let _worker = admitted(&pool, "worker-1").await;
    pool.enrol("worker-2").await;
    submit(&alice, b"abc").await;
    let status = pool.operator().get("/v1/status").await.json();
    assert_eq!(status["simulated"], true);
    assert!(
        status["trust_anchor"]
            .as_str()
            .unwrap()
            .starts_with("NOT INTEL: ")
    );
    assert_eq!(
        status["appraisal_policy_sha256"].as_str().unwrap().len(),
        64
    );
    assert!(status["collateral_next_update_ms"].as_u64() > status["now_ms"].as_u64());
    assert_eq!(status["tasks"]["queued"], 1);
    assert_eq!(
        (&status["workers"]["enrolled"], &status["workers"]["live"]),
        (&json!(2), &json!(1))
    );
}

#[tokio::test]
async fn metrics_are_counted_and_no_route_is_a_label_of_a_callers_choosing() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    submit(&alice, b"abc").await;
    alice.get("/v1/surprise").await.refuses(404, "not-found");
    alice
        .send(
            Method::from_bytes(b"BREW").unwrap(),
            "/v1/tasks",
            &[],
            bytes::Bytes::new(),
        )
        .await;
    let answer = pool.metrics("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = answer.text();
    for line in [
        r#"cocoon_gateway_submissions_total{outcome="accepted"} 1"#,
        r#"cocoon_gateway_http_requests_total{listener="api",method="POST",route="/v1/tasks",status="201"} 1"#,
        r#"cocoon_gateway_http_requests_total{listener="api",method="GET",route="none",status="404"} 1"#,
        "cocoon_gateway_collateral_families 1",
        "# HELP cocoon_gateway_tasks ",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(
        !text.contains("surprise") && !text.contains("BREW"),
        "{text}"
    );
    assert_eq!(pool.metrics("/healthz").await.text(), "ok\n");
    assert_eq!(pool.metrics("/readyz").await.text(), "ready\n");
    pool.metrics("/").await.refuses(404, "not-found");
}
