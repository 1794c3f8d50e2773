//! The worker's protocol over the attested channel: lease, ack, nack, payloads, fencing.

use std::time::{Duration, Instant};

use http::Method;
use protocol::Sha256Digest;
use protocol::lease::{AckOutcome, FaultKind, Lease, LeaseInput, NackOutcome, Output};
use protocol::receipt::Receipt;
use serde_json::{Value, json};

use crate::pool::{Pool, hash_task, submit};
use crate::worker::{admitted, cbor, lease_request, reference};

#[tokio::test]
async fn what_is_queued_later_comes_in_the_same_answer_as_long_as_there_is_room() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let first = submit(&alice, b"1").await;
    let mut leasing = worker.leasing(3, 30_000).await;
    let ids = |leases: Option<Vec<Lease>>| -> Vec<String> {
        let leases = leases.unwrap_or_default();
        leases.iter().map(|lease| lease.task.to_string()).collect()
    };
    assert_eq!(ids(leasing.next().await), [first]);
    for bytes in [b"2", b"3"] {
        let later = submit(&alice, bytes).await;
        assert_eq!(ids(leasing.next().await), [later]);
    }
    assert_eq!(leasing.next().await, None);
}

#[tokio::test]
async fn an_answer_ends_with_the_wait_that_the_worker_asked_for() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    submit(&alice, b"abc").await;
    let mut leasing = worker.leasing(2, 200).await;
    assert_eq!(leasing.next().await.unwrap().len(), 1);
    assert_eq!(leasing.next().await, None);
    let mut nothing = worker.leasing(2, 200).await;
    assert_eq!(nothing.next().await, None);
}

#[tokio::test]
async fn an_answer_that_is_given_up_takes_no_more_tasks() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    submit(&alice, b"1").await;
    let mut leasing = worker.leasing(2, 30_000).await;
    assert_eq!(leasing.next().await.unwrap().len(), 1);
    drop(leasing);
    // Over the same connection, and so behind that.
    assert_eq!(worker.lease(1, 0).await, []);
    let id = submit(&alice, b"2").await;
    let view = alice.get(&format!("/v1/tasks/{id}")).await.json();
    assert_eq!(view["state"], "queued");
}

#[tokio::test]
async fn a_task_runs_and_leaves_output_and_receipt() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let id = submit(&alice, b"abc").await;
    let leases = worker.lease(10, 0).await;
    assert_eq!(
        (leases.len(), leases[0].attempt, leases[0].lease_duration_ms),
        (1, 1, 30_000)
    );
    let view = alice.get(&format!("/v1/tasks/{id}")).await.json();
    assert_eq!(
        (&view["state"], &view["worker"]),
        (&json!("running"), &json!("worker-1"))
    );

    assert_eq!(worker.ack(&leases).await.outcomes, [AckOutcome::Accepted]);
    let output = alice.get(&format!("/v1/tasks/{id}/output")).await;
    assert_eq!(output.body, Sha256Digest::of(b"abc").as_bytes().as_slice());
    assert_eq!(
        output.header("etag"),
        format!("\"{}\"", Sha256Digest::of(&output.body))
    );
    let receipt: Receipt =
        serde_json::from_slice(&alice.get(&format!("/v1/tasks/{id}/receipt")).await.body).unwrap();
    let verified = receipt.verify().unwrap();
    assert_eq!(verified.leaf().task, id);
    assert_eq!(
        verified.statement().attestation,
        worker.attester.attestation_id()
    );
    let record = alice.get(&format!("/v1/tasks/{id}/attestation")).await;
    assert_eq!(
        record.body,
        pool.operator()
            .get("/v1/workers/worker-1/attestation")
            .await
            .body
    );
    let view = alice.get(&format!("/v1/tasks/{id}?wait_s=30")).await.json();
    assert_eq!(
        (&view["state"], &view["output"]["bytes"]),
        (&json!("succeeded"), &json!(32))
    );
    assert_eq!(
        pool.operator().get("/v1/workers/worker-1").await.json()["tasks_succeeded"],
        1
    );
}

#[tokio::test]
async fn a_submission_waits_for_its_task() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let mut task = hash_task(b"abc");
    task["idempotency_key"] = json!("order-17");
    let (answer, outcomes) = tokio::join!(alice.post("/v1/tasks?wait_s=30", &task), async {
        let leases = worker.lease(1, 30_000).await;
        worker.ack(&leases).await.outcomes
    });
    assert_eq!(outcomes, [AckOutcome::Accepted]);
    let view = answer.json();
    assert_eq!(
        (answer.status, &view["state"], &view["output"]["bytes"]),
        (201, &json!("succeeded"), &json!(32))
    );
    assert_eq!(
        answer.header("location"),
        format!("/v1/tasks/{}", view["id"].as_str().unwrap())
    );
    let again = alice.post("/v1/tasks?wait_s=30", &task).await;
    assert_eq!((again.status, again.json()), (200, view));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test sees that a wait waits")]
async fn a_submission_that_waits_too_long_says_how_the_task_stands() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let mut task = hash_task(b"abc");
    task["idempotency_key"] = json!("order-17");
    let began = Instant::now();
    let first = alice.post("/v1/tasks?wait_s=1", &task).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        (first.status, &first.json()["state"]),
        (201, &json!("queued"))
    );
    let refused = alice.post("/v1/tasks?wait_s=31", &hash_task(b"def")).await;
    assert_eq!(refused.refuses(413, "limit-exceeded")["field"], "wait_s");
    let tasks = alice.get("/v1/tasks").await.json();
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1, "{tasks}");

    // The same again waits for the task of before.
    let worker = admitted(&pool, "worker-1").await;
    let leases = worker.lease(1, 0).await;
    let (again, _) = tokio::join!(alice.post("/v1/tasks?wait_s=30", &task), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        worker.ack(&leases).await
    });
    assert_eq!(
        (again.status, &again.json()["id"]),
        (200, &first.json()["id"])
    );
    assert_eq!(again.json()["state"], "succeeded");
}

#[tokio::test]
async fn a_waiting_lease_is_woken_by_a_submission() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let (leases, _) = tokio::join!(worker.lease(10, 30_000), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        submit(&alice, b"abc").await
    });
    assert_eq!(leases.len(), 1);
    assert!(worker.lease(1, 50).await.is_empty());
}

#[tokio::test]
async fn an_old_fencing_token_is_refused() {
    let pool = Pool::start_with(|config| config.lease_duration = Duration::from_secs(1)).await;
    let alice = pool.https(&pool.client("alice").await);
    let slow = admitted(&pool, "slow").await;
    let quick = admitted(&pool, "quick").await;
    submit(&alice, b"abc").await;
    let old = slow.lease(1, 0).await;
    let new = quick.lease(1, 10_000).await;
    assert!(new[0].fencing_token > old[0].fencing_token);
    assert_eq!((old[0].attempt, new[0].attempt), (1, 2));
    assert_eq!(slow.ack(&old).await.outcomes, [AckOutcome::Superseded]);
    assert_eq!(
        slow.nack(&old[0], FaultKind::Failed).await.outcomes,
        [NackOutcome::Superseded]
    );
    // The end of a control stream ends its session, so both are kept.
    let (mut slows, mut quicks) = (slow.control().await, quick.control().await);
    let renewed = slows.renew(vec![reference(&old[0])]).await;
    assert_eq!(renewed.leases[0].lease_duration_ms, None);
    let renewed = quicks.renew(vec![reference(&new[0])]).await;
    assert_eq!(renewed.leases[0].lease_duration_ms, Some(1_000));
    assert_eq!(quick.ack(&new).await.outcomes, [AckOutcome::Accepted]);
    assert_eq!(
        quick.ack(&new).await.outcomes,
        [AckOutcome::AlreadyAccepted]
    );
}

#[tokio::test]
async fn a_task_that_fails_everywhere_becomes_a_dead_letter_that_an_operator_redrives() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let others = [
        admitted(&pool, "worker-2").await,
        admitted(&pool, "worker-3").await,
    ];
    let id = submit(&alice, b"abc").await;
    for worker in [&worker, &others[0], &others[1]] {
        let leases = worker.lease(1, 1_000).await;
        assert_eq!(
            worker.nack(&leases[0], FaultKind::Failed).await.outcomes,
            [NackOutcome::Returned]
        );
    }
    let view = alice.get(&format!("/v1/tasks/{id}")).await.json();
    assert_eq!(
        (&view["state"], &view["fault"]),
        (&json!("dead-letter"), &json!("it did not work"))
    );
    let view = pool
        .operator()
        .post(&format!("/v1/tasks/{id}/redrive"), &Value::Null)
        .await
        .json();
    assert_eq!(view["state"], "queued");
    assert_eq!(
        worker.ack(&worker.lease(1, 1_000).await).await.outcomes,
        [AckOutcome::Accepted]
    );
}

#[tokio::test]
async fn large_inputs_and_outputs_travel_beside_the_messages() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let bytes = vec![9; 200_000];
    let digest = Sha256Digest::of(&bytes);
    assert_eq!(
        alice
            .put(&format!("/v1/blobs/{digest}"), &bytes)
            .await
            .status,
        201
    );
    let input = json!({ "sha256": digest, "bytes": 200_000 });
    let task = json!({ "operation": "sha256_batch", "inputs": [input] });
    assert_eq!(alice.post("/v1/tasks", &task).await.status, 201);

    let leases = worker.lease(1, 0).await;
    assert_eq!(leases[0].inputs, [LeaseInput::Fetch]);
    let path = format!("/v1/tasks/{}/inputs/0", leases[0].task);
    let token = leases[0].fencing_token.to_string();
    let fetched = worker
        .request(Method::GET, &path, &[("fencing-token", &token)], Vec::new())
        .await;
    assert_eq!((fetched.status, fetched.body.len()), (200, 200_000));
    let old = worker
        .request(Method::GET, &path, &[("fencing-token", "0")], Vec::new())
        .await;
    old.refuses(409, "wrong-state");
    worker
        .request(Method::GET, &path, &[], Vec::new())
        .await
        .refuses(400, "malformed-request");
    let beyond = path.replace("/inputs/0", "/inputs/1");
    let beyond = worker
        .request(
            Method::GET,
            &beyond,
            &[("fencing-token", &token)],
            Vec::new(),
        )
        .await;
    beyond.refuses(404, "not-found");

    // An output sent ahead, as one over 64 KiB would be.
    let mut request = worker.ack_request(&leases);
    let Output::Inline(output) = request.acks[0].output.clone() else {
        unreachable!()
    };
    let sha256 = Sha256Digest::of(&output);
    let path = format!("/v1/outputs/{sha256}");
    let wrong = worker
        .request(
            Method::PUT,
            &path,
            &[("content-length", "5")],
            b"wrong".to_vec(),
        )
        .await;
    wrong.refuses(400, "digest-mismatch");
    let stored = worker
        .request(Method::PUT, &path, &[], output.to_vec())
        .await;
    assert_eq!(stored.status, 204, "{stored:?}");
    request.acks[0].output = Output::Uploaded { sha256, bytes: 32 };
    let outcomes =
        cbor::<protocol::lease::AckResponse>(&worker.call("/v1/ack", &request).await).outcomes;
    assert_eq!(outcomes, [AckOutcome::Accepted]);
}

#[tokio::test]
async fn a_receipt_that_does_not_hold_is_refused() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let other = admitted(&pool, "worker-2").await;
    submit(&alice, b"abc").await;
    let leases = worker.lease(1, 0).await;
    // Signed by another worker's key, for another worker's session.
    let request = other.ack_request(&leases);
    worker
        .call("/v1/ack", &request)
        .await
        .refuses(400, "malformed-request");
    let mut request = worker.ack_request(&leases);
    request.acks[0].output = Output::Inline(b"not what the leaf says".to_vec().into());
    let outcomes =
        cbor::<protocol::lease::AckResponse>(&worker.call("/v1/ack", &request).await).outcomes;
    assert!(
        matches!(outcomes[..], [AckOutcome::Refused { .. }]),
        "{outcomes:?}"
    );
    assert_eq!(worker.ack(&leases).await.outcomes, [AckOutcome::Accepted]);
}

#[tokio::test]
async fn messages_outside_their_limits_are_refused() {
    let pool = Pool::start().await;
    let worker = admitted(&pool, "worker-1").await;
    for (request, field) in [
        (lease_request(0, 0), "tasks_max"),
        (lease_request(1_001, 0), "tasks_max"),
        (lease_request(1, 30_001), "wait_ms"),
    ] {
        let problem = worker
            .call("/v1/leases", &request)
            .await
            .refuses(413, "limit-exceeded");
        assert_eq!(problem["field"], field);
    }
    let cbor = [("content-type", "application/cbor")];
    for body in [
        Vec::new(),
        vec![0xff; 100],
        b"{}".to_vec(),
        vec![0xbf; 1_000_000],
    ] {
        let answer = worker
            .request(Method::POST, "/v1/leases", &cbor, body.clone())
            .await;
        answer.refuses(400, "malformed-request");
        worker
            .request(Method::POST, "/v1/ack", &cbor, body)
            .await
            .refuses(400, "malformed-request");
    }
    let large = worker
        .request(
            Method::POST,
            "/v1/nack",
            &cbor,
            vec![0; 16 * 1024 * 1024 + 1],
        )
        .await;
    large.refuses(413, "limit-exceeded");
    worker
        .request(Method::POST, "/v1/leases", &[], Vec::new())
        .await
        .refuses(415, "unsupported-media-type");
    worker
        .request(Method::GET, "/v1/leases", &[], Vec::new())
        .await
        .refuses(405, "method-not-allowed");
    worker
        .request(Method::GET, "/v1/status", &[], Vec::new())
        .await
        .refuses(404, "not-found");
    let none = protocol::lease::NackRequest { nacks: Vec::new() };
    worker
        .call("/v1/nack", &none)
        .await
        .refuses(413, "limit-exceeded");
}
