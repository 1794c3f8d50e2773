//! `POST /v1/embeddings`, as clients of OpenAI's API ask and read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::lease::FaultKind;
use serde_json::{Value, json};

use crate::pool::Pool;
use crate::worker::{Worker, admitted};

const MODEL: &str = "all-MiniLM-L6-v2";

/// Leases and computes until so many tasks are acknowledged.
async fn serve(worker: &Worker, tasks: usize) {
    let mut served = 0;
    while served < tasks {
        let leases = worker.lease(100, 5_000).await;
        served += leases.len();
        worker.ack(&leases).await;
    }
}

#[tokio::test]
async fn texts_become_vectors_in_their_order() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let request = json!({ "model": MODEL, "input": ["a", "bc", ""] });
    let (answer, ()) = tokio::join!(alice.post("/v1/embeddings", &request), serve(&worker, 1));
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    assert_eq!(
        (&json["object"], &json["model"]),
        (&json!("list"), &json!(MODEL))
    );
    assert_eq!(
        json["usage"],
        json!({ "prompt_tokens": 3, "total_tokens": 3 })
    );
    for (index, length) in [1.0, 2.0, 0.0].into_iter().enumerate() {
        let data = &json["data"][index];
        assert_eq!(
            (&data["object"], &data["index"]),
            (&json!("embedding"), &json!(index))
        );
        let vector = data["embedding"].as_array().unwrap();
        assert_eq!((vector.len(), &vector[383]), (384, &json!(length)));
    }
    // What computed it has a receipt like any task.
    let task = answer.header("cocoon-tasks");
    assert_eq!(
        alice.get(&format!("/v1/tasks/{task}/receipt")).await.status,
        200
    );
}

#[tokio::test]
async fn one_text_and_base64_as_the_python_client_asks() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let request = json!({ "model": MODEL, "input": "abcd", "encoding_format": "base64", "dimensions": 384, "user": "x" });
    let (answer, ()) = tokio::join!(alice.post("/v1/embeddings", &request), serve(&worker, 1));
    let json = answer.json();
    let text = json["data"][0]["embedding"].as_str().unwrap();
    assert_eq!(
        STANDARD.decode(text).unwrap(),
        4_f32.to_le_bytes().repeat(384)
    );
}

#[tokio::test]
async fn many_texts_are_several_tasks() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let texts: Vec<_> = (0..100).map(|length| "x".repeat(length)).collect();
    let request = json!({ "model": MODEL, "input": texts });
    let (answer, ()) = tokio::join!(alice.post("/v1/embeddings", &request), serve(&worker, 3));
    let json = answer.json();
    let first = |data: &Value| data["embedding"][0].as_f64().unwrap();
    let lengths: Vec<_> = json["data"].as_array().unwrap().iter().map(first).collect();
    let wanted: Vec<_> = (0..100_i32).map(f64::from).collect();
    assert_eq!(lengths, wanted);
    assert_eq!(json["usage"]["total_tokens"], 99 * 100 / 2);
    assert_eq!(answer.header("cocoon-tasks").split(", ").count(), 3);
}

#[tokio::test]
async fn what_cannot_be_served_is_named() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let long = "x".repeat(64 * 1024 + 1);
    let mut texts = vec!["x"; 50];
    texts.push(&long);
    for (request, status, code, field) in [
        (
            json!({ "model": "gpt-9", "input": "a" }),
            422,
            "invalid-task",
            "model",
        ),
        (
            json!({ "model": MODEL, "input": [] }),
            422,
            "invalid-task",
            "input",
        ),
        (
            json!({ "model": MODEL, "input": 7 }),
            422,
            "invalid-task",
            "input",
        ),
        (
            json!({ "model": MODEL, "input": ["a", [1, 2]] }),
            422,
            "invalid-task",
            "input[1]",
        ),
        (
            json!({ "model": MODEL, "input": "a", "dimensions": 8 }),
            422,
            "invalid-task",
            "dimensions",
        ),
        (
            json!({ "model": MODEL, "input": texts }),
            413,
            "limit-exceeded",
            "input[50]",
        ),
        (
            json!({ "model": MODEL, "input": vec!["x"; 2_049] }),
            413,
            "limit-exceeded",
            "input",
        ),
    ] {
        let problem = alice
            .post("/v1/embeddings", &request)
            .await
            .refuses(status, code);
        assert_eq!(problem["field"], field, "{problem}");
    }
    let counts = pool.operator().get("/v1/status").await.json();
    assert_eq!(counts["tasks"]["queued"], 0, "nothing is left behind");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    for request in [
        json!({ "model": MODEL }),
        json!({ "model": MODEL, "input": "a", "colour": 1 }),
        json!({ "model": MODEL, "input": "a", "encoding_format": "int8" }),
    ] {
        alice
            .post("/v1/embeddings", &request)
            .await
            .refuses(400, "malformed-request");
    }
    let request = json!({ "model": MODEL, "input": "a" });
    alice
        .without_token()
        .post("/v1/embeddings", &request)
        .await
        .refuses(401, "access-token-missing");
}

/// The tasks beside the one that failed are of no use any more, and nobody waits for them.
#[tokio::test]
async fn a_text_that_fails_fails_the_request_and_leaves_nothing_queued() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let request = json!({ "model": MODEL, "input": vec!["a"; 100] });
    let (answer, ()) = tokio::join!(alice.post("/v1/embeddings", &request), async {
        let leases = worker.lease(1, 5_000).await;
        worker.nack(&leases[0], FaultKind::Invalid).await;
    });
    let problem = answer.refuses(422, "task-failed");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.ends_with(": it did not work"), "{problem}");
    nothing_is_queued(&pool, 2).await;
}

/// Until so many tasks were cancelled and none waits.
async fn nothing_is_queued(pool: &Pool, cancelled: u64) {
    for _ in 0..500 {
        let tasks = pool.operator().get("/v1/status").await.json()["tasks"].clone();
        if tasks["queued"] == 0 && tasks["cancelled"] == cancelled {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("tasks are left behind");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_queued() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let request = json!({ "model": MODEL, "input": vec!["a"; 100] });
    let given_up = tokio::time::timeout(
        std::time::Duration::from_millis(500),
        alice.post("/v1/embeddings", &request),
    );
    given_up.await.unwrap_err();
    nothing_is_queued(&pool, 3).await;
}

#[tokio::test]
async fn where_nobody_computes_it_the_answer_says_so_soon() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let request = json!({ "model": MODEL, "input": "a" });
    let problem = alice.post("/v1/embeddings", &request).await;
    let problem = problem.refuses(504, "not-in-time");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("no connected worker offers"), "{detail}");
    nothing_is_queued(&pool, 1).await;
}
