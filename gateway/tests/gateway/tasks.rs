//! Submitting, seeing, listing and cancelling tasks.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::pool::{Pool, base64, hash_task, submit};

#[tokio::test]
async fn a_task_is_queued_and_seen_by_its_user_alone() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let bob = pool.https(&pool.client("bob").await);
    let mut task = hash_task(b"abc");
    task["priority"] = json!(9);
    task["deadline_s"] = json!(60);
    let answer = alice.post("/v1/tasks", &task).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let view = answer.json();
    let id = view["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/v1/tasks/{id}"));
    assert_eq!(answer.header("x-request-id").len(), 32);
    assert_eq!(
        (&view["state"], &view["version"], &view["user"]),
        (&json!("queued"), &json!(1), &json!("alice"))
    );
    assert!(view["deadline_ms"].as_u64() > view["submitted_ms"].as_u64());

    assert_eq!(alice.get(&format!("/v1/tasks/{id}")).await.json(), view);
    assert_eq!(
        pool.operator().get(&format!("/v1/tasks/{id}")).await.status,
        200
    );
    for path in ["", "/output", "/receipt", "/attestation"] {
        bob.get(&format!("/v1/tasks/{id}{path}"))
            .await
            .refuses(404, "not-found");
    }
    bob.post(&format!("/v1/tasks/{id}/cancel"), &Value::Null)
        .await
        .refuses(404, "not-found");
    for path in ["output", "receipt", "attestation"] {
        alice
            .get(&format!("/v1/tasks/{id}/{path}"))
            .await
            .refuses(409, "not-finished");
    }
}

/// What is refused with which status, code and field.
fn bad_tasks() -> Vec<(Value, u16, &'static str, &'static str)> {
    let hash = |more: Value| {
        let mut task = json!({ "operation": "sha256_batch" });
        task.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        task
    };
    let gemm = |parameters: Value| json!({ "operation": "gemm", "parameters": parameters });
    let absent = json!([{ "sha256": "0".repeat(64), "bytes": 9 }]);
    let unfit = "invalid-task";
    vec![
        (
            json!({ "operation": "mine_coins" }),
            422,
            unfit,
            "operation",
        ),
        (
            json!({ "operation": "gemm", "version": 9 }),
            422,
            unfit,
            "version",
        ),
        (
            gemm(json!({ "m": 1, "n": 1, "k": 1, "x": 1 })),
            422,
            unfit,
            "parameters.x",
        ),
        (
            gemm(json!({ "m": 0, "n": 1, "k": 1 })),
            422,
            unfit,
            "parameters.m",
        ),
        (hash(json!({})), 422, unfit, "inputs"),
        (
            hash(json!({ "inputs": absent })),
            422,
            "missing-blob",
            "inputs[0]",
        ),
    ]
}

/// What exceeds which limit, in which field.
fn large_tasks() -> Vec<(Value, &'static str, &'static str)> {
    let large = base64(&vec![0; 64 * 1024 + 1]);
    let many = vec![json!({ "data": "" }); 257];
    vec![
        (
            json!({ "inputs": [{ "data": large }] }),
            "inputs[0].data",
            "INLINE_BYTES_MAX",
        ),
        (json!({ "inputs": many }), "inputs", "INPUTS_COUNT_MAX"),
        (json!({ "priority": 10 }), "priority", "PRIORITY_MAX"),
        (json!({ "max_attempts": 0 }), "max_attempts", "ATTEMPTS_MAX"),
        (
            json!({ "deadline_s": 604_801 }),
            "deadline_s",
            "DEADLINE_S_MAX",
        ),
    ]
}

#[tokio::test]
async fn a_bad_task_gets_an_error_that_names_the_field_and_the_limit() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    for (task, status, code, field) in bad_tasks() {
        let problem = alice.post("/v1/tasks", &task).await.refuses(status, code);
        assert_eq!(problem["field"], field, "{problem}");
    }
    for (mut task, field, limit) in large_tasks() {
        task["operation"] = json!("sha256_batch");
        let problem = alice
            .post("/v1/tasks", &task)
            .await
            .refuses(413, "limit-exceeded");
        assert_eq!(
            (&problem["field"], &problem["limit"]),
            (&json!(field), &json!(limit))
        );
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_says_why() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let json = [("content-type", "application/json; charset=utf-8")];
    for body in [
        "",
        "{",
        "[]",
        "{\"operation\": \"\\ud800\"}",
        "{\"operation\":\"gemm\",\"surprise\":1}",
        "nul",
    ] {
        let answer = alice
            .send(Method::POST, "/v1/tasks", &json, Bytes::from(body))
            .await;
        answer.refuses(400, "malformed-request");
    }
    let invalid = Bytes::from_static(b"{\"operation\":\"\xff\xfe\"}");
    alice
        .send(Method::POST, "/v1/tasks", &json, invalid)
        .await
        .refuses(400, "malformed-request");
    let key = json!({ "operation": "sha256_batch", "inputs": [{ "data": "" }], "idempotency_key": "a b" });
    alice
        .post("/v1/tasks", &key)
        .await
        .refuses(400, "malformed-request");
    for headers in [&[][..], &[("content-type", "text/plain")]] {
        let body = Bytes::from(hash_task(b"").to_string());
        let problem = alice
            .send(Method::POST, "/v1/tasks", headers, body)
            .await
            .refuses(415, "unsupported-media-type");
        assert_eq!(problem["field"], "content-type");
    }
    let too_large = Bytes::from(vec![b' '; 16 * 1024 * 1024 + 1]);
    let problem = alice
        .send(Method::POST, "/v1/tasks", &json, too_large)
        .await
        .refuses(413, "limit-exceeded");
    assert_eq!(problem["limit"], "API_BODY_BYTES_MAX");
}

#[tokio::test]
async fn an_idempotency_key_makes_a_resubmission_one_task() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let mut task = hash_task(b"abc");
    task["idempotency_key"] = json!("order-17");
    let first = alice.post("/v1/tasks", &task).await;
    let second = alice.post("/v1/tasks", &task).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(first.json()["id"], second.json()["id"]);
    task["inputs"] = hash_task(b"another")["inputs"].clone();
    let problem = alice
        .post("/v1/tasks", &task)
        .await
        .refuses(409, "idempotency-conflict");
    assert_eq!(problem["field"], "idempotency_key");
    let bob = pool.https(&pool.client("bob").await);
    assert_eq!(bob.post("/v1/tasks", &task).await.status, 201);
}

#[tokio::test]
async fn a_batch_answers_each_line() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let headers = [("content-type", "application/x-ndjson")];
    let send = |body: String| {
        let alice = alice.clone();
        async move {
            alice
                .send(Method::POST, "/v1/tasks:batch", &headers, Bytes::from(body))
                .await
        }
    };
    let body = format!(
        "{}\n{{\"operation\":\"none\"}}\n\nnot json\n{}\n",
        hash_task(b"1"),
        hash_task(b"2")
    );
    let answer = send(body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let codes: Vec<_> = lines
        .iter()
        .map(|line| line["problem"]["code"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(codes, ["", "invalid-task", "malformed-request", ""]);
    let [first, last] =
        [0, 3].map(|line: usize| lines[line]["task"]["id"].as_str().unwrap().to_owned());
    assert!(first < last, "ids sort as the lines do");

    assert_eq!(send(String::new()).await.text(), "");
    let many = format!("{}\n", json!({ "operation": "none" })).repeat(1_001);
    let problem = send(many).await.refuses(413, "limit-exceeded");
    assert_eq!(problem["limit"], "BATCH_TASKS_MAX");
    alice
        .post("/v1/tasks:batch", &Value::Null)
        .await
        .refuses(415, "unsupported-media-type");
}

#[tokio::test]
async fn lists_page_newest_first() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let bob = pool.https(&pool.client("bob").await);
    let mut ids = Vec::new();
    for number in 0..5_u8 {
        ids.push(submit(&alice, &[number]).await);
    }
    ids.push(submit(&bob, b"bob's").await);
    let (mut seen, mut path) = (Vec::new(), "/v1/tasks?limit=2".to_owned());
    loop {
        let page = alice.get(&path).await.json();
        seen.extend(
            page["tasks"]
                .as_array()
                .unwrap()
                .iter()
                .map(|task| task["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/tasks?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
    let count = |page: Value| page["tasks"].as_array().unwrap().len();
    assert_eq!(
        count(alice.get("/v1/tasks?state=succeeded").await.json()),
        0
    );
    assert_eq!(count(alice.get("/v1/tasks?state=queued").await.json()), 5);
    assert_eq!(
        count(pool.operator().get("/v1/tasks?all=true").await.json()),
        6
    );
    alice
        .get("/v1/tasks?all=true")
        .await
        .refuses(403, "role-insufficient");
    alice
        .get("/v1/tasks?limit=1001")
        .await
        .refuses(413, "limit-exceeded");
    for query in [
        "state=done",
        "cursor=x",
        "limit=x",
        "surprise=1",
        "state=%ff",
    ] {
        alice
            .get(&format!("/v1/tasks?{query}"))
            .await
            .refuses(400, "malformed-request");
    }
}

#[tokio::test]
async fn cancelling_is_final_and_repeatable() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let id = submit(&alice, b"abc").await;
    for _ in 0..2 {
        let answer = alice
            .post(&format!("/v1/tasks/{id}/cancel"), &Value::Null)
            .await;
        assert_eq!(
            (answer.status, answer.json()["state"].clone()),
            (200, json!("cancelled"))
        );
    }
    alice
        .get(&format!("/v1/tasks/{id}/output"))
        .await
        .refuses(409, "wrong-state");
    let redrive = pool
        .operator()
        .post(&format!("/v1/tasks/{id}/redrive"), &Value::Null)
        .await;
    redrive.refuses(409, "wrong-state");
}

#[tokio::test]
async fn a_long_poll_ends_with_the_task_or_with_the_wait() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let id = submit(&alice, b"abc").await;
    let path = format!("/v1/tasks/{id}");
    let waited = alice.get(&format!("{path}?wait_s=1")).await;
    assert_eq!(waited.json()["state"], "queued");
    let wait = format!("{path}?wait_s=30");
    let waiting = alice.get(&wait);
    let cancelling = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        alice.post(&format!("{path}/cancel"), &Value::Null).await
    };
    let (waited, _) = tokio::join!(waiting, cancelling);
    assert_eq!(waited.json()["state"], "cancelled");
    alice
        .get(&format!("{path}?wait_s=31"))
        .await
        .refuses(413, "limit-exceeded");
}

#[tokio::test]
async fn what_does_not_exist_is_a_problem_too() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    alice.get("/v1/nothing").await.refuses(404, "not-found");
    alice.get("/").await.refuses(404, "not-found");
    alice
        .send(Method::PATCH, "/v1/tasks", &[], Bytes::new())
        .await
        .refuses(405, "method-not-allowed");
    alice
        .get("/v1/tasks/not-a-ulid")
        .await
        .refuses(400, "malformed-request");
    alice
        .get("/v1/tasks/%ff")
        .await
        .refuses(400, "malformed-request");
    alice
        .get("/v1/tasks/01HZZZZZZZZZZZZZZZZZZZZZZZ")
        .await
        .refuses(404, "not-found");
    let answer = alice
        .send(
            Method::GET,
            "/v1/tasks",
            &[("x-request-id", "my-id.7")],
            Bytes::new(),
        )
        .await;
    assert_eq!(answer.header("x-request-id"), "my-id.7");
    let operations = alice.get("/v1/operations").await.json();
    assert!(
        operations
            .as_array()
            .unwrap()
            .iter()
            .any(|operation| operation["name"] == "gemm")
    );
}

#[tokio::test]
async fn a_full_queue_refuses_its_user_alone_and_says_when_to_come_back() {
    let pool = Pool::start_with(|config| config.queued_per_user_max = 1).await;
    let alice = pool.https(&pool.client("alice").await);
    submit(&alice, b"abc").await;
    let answer = alice.post("/v1/tasks", &hash_task(b"abcd")).await;
    let problem = answer.refuses(429, "quota-exceeded");
    assert_eq!(problem["limit"], "queued_per_user_max");
    assert_eq!(answer.header("retry-after"), "10");
    let bob = pool.https(&pool.client("bob").await);
    submit(&bob, b"abc").await;
    let request = json!({ "model": "all-MiniLM-L6-v2", "input": "a" });
    alice
        .post("/v1/embeddings", &request)
        .await
        .refuses(429, "quota-exceeded");
}
