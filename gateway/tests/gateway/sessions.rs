//! The life of a session: attested again, stale, replaced; what the gateway says first.

use std::time::Duration;

use attestation::ErrorCode;
use channel::{GatewayMessage, Outcome, WorkerMessage};
use gateway::Config;
use protocol::FencingToken;
use protocol::control::{Cancel, Drain, Heartbeat, Renew};
use protocol::lease::{AckOutcome, LeaseRef};
use protocol::telemetry::Telemetry;
use protocol::wire;
use serde_json::Value;

use crate::pool::{Pool, submit};
use crate::worker::{TestAttester, admitted, connect, lease_request, reference};

pub(crate) fn soon(config: &mut Config) {
    config.attestation.reattest_interval = Duration::from_millis(400);
    config.attestation.reattest_grace = Duration::from_millis(600);
    config.attestation.stale_session = Duration::from_secs(2);
}

#[tokio::test]
async fn a_worker_attests_again_on_its_live_connection() {
    let pool = Pool::start_with(soon).await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let mut control = worker.control().await;
    submit(&alice, b"abc").await;
    let leases = worker.lease(1, 0).await;
    // Signed under the first attestation, sent under the second: the batch was under way.
    let early = worker.ack_request(&leases);
    let first = worker.attester.attestation_id();

    control.attest(&worker).await;
    let Some(GatewayMessage::Outcome(Outcome::Admitted(verdict))) = control.next().await else {
        panic!()
    };
    let view = pool.operator().get("/v1/workers/worker-1").await.json();
    assert_eq!(view["session"]["id"], verdict.session_id);
    assert_ne!(worker.attester.attestation_id(), first);
    let outcomes =
        crate::worker::cbor::<protocol::lease::AckResponse>(&worker.call("/v1/ack", &early).await)
            .outcomes;
    assert_eq!(outcomes, [AckOutcome::Accepted]);
}

#[tokio::test]
async fn a_worker_that_does_not_attest_again_is_stale_and_then_closed() {
    let pool = Pool::start_with(soon).await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let mut control = worker.control().await;
    submit(&alice, b"abc").await;
    let leases = worker.lease(1, 0).await;
    let Some(GatewayMessage::AuthRequest(_)) = control.next().await else {
        panic!()
    };
    while pool.operator().get("/v1/workers/worker-1").await.json()["state"] != "stale" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker
        .call("/v1/leases", &lease_request(1, 0))
        .await
        .refuses(503, "session-stale");
    worker
        .call("/v1/ack", &worker.ack_request(&leases))
        .await
        .refuses(503, "session-stale");
    assert_eq!(control.refusal().await, ErrorCode::SessionExpired);
    assert!(control.next().await.is_none());

    // The lease is the worker's, not the session's: connected again, it may ack.
    let again = connect(&pool, worker.attester).await.unwrap();
    assert_eq!(again.ack(&leases).await.outcomes, [AckOutcome::Accepted]);
}

#[tokio::test]
async fn a_worker_that_reads_nothing_cannot_outlive_its_deadline() {
    let pool = Pool::start_with(soon).await;
    let worker = admitted(&pool, "worker-1").await;
    let control = worker.control().await;
    let leases = vec![
        LeaseRef {
            task: "01HZZZZZZZZZZZZZZZZZZZZZZZ".parse().unwrap(),
            fencing_token: FencingToken(1),
        };
        1_000
    ];
    let renew = wire::encode(&Renew { leases }).unwrap();
    // Answers that nobody reads fill the stream, and the gateway's driver waits for room.
    let flood = async {
        while control
            .sender
            .send(WorkerMessage::Renew(renew.clone().into()))
            .await
            .is_ok()
        {}
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), flood).await;
    assert_eq!(
        pool.operator().get("/v1/workers/worker-1").await.json()["state"],
        "stale"
    );
    worker
        .call("/v1/leases", &lease_request(1, 0))
        .await
        .refuses(503, "session-stale");
    while !worker.http.is_closed() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_refused_reattestation_ends_the_session() {
    let pool = Pool::start_with(soon).await;
    let mut worker = admitted(&pool, "worker-1").await;
    let mut control = worker.control().await;
    worker.attester.td.debug = true;
    control.attest(&worker).await;
    assert_eq!(control.refusal().await, ErrorCode::TdDebuggable);
    let view = pool.operator().get("/v1/workers/worker-1").await.json();
    assert_eq!(view["refusal"]["code"], "E501");
}

#[tokio::test]
async fn a_waiting_lease_gets_nothing_once_its_session_is_refused() {
    let pool = Pool::start_with(soon).await;
    let alice = pool.https(&pool.client("alice").await);
    let mut worker = admitted(&pool, "worker-1").await;
    worker.attester.td.debug = true;
    let mut control = worker.control().await;
    let refusal = async {
        control.attest(&worker).await;
        control.refusal().await;
        submit(&alice, b"abc").await
    };
    let request = lease_request(1, 30_000);
    let (answer, id) = tokio::join!(worker.call("/v1/leases", &request), refusal);
    answer.refuses(503, "session-stale");
    let view = alice.get(&format!("/v1/tasks/{id}")).await.json();
    assert_eq!(view["state"], "queued");
}

#[tokio::test]
async fn an_answer_that_has_begun_ends_once_its_session_is_refused() {
    let pool = Pool::start_with(soon).await;
    let alice = pool.https(&pool.client("alice").await);
    let mut worker = admitted(&pool, "worker-1").await;
    worker.attester.td.debug = true;
    submit(&alice, b"1").await;
    let mut leasing = worker.leasing(2, 30_000).await;
    assert_eq!(leasing.next().await.unwrap().len(), 1);
    let mut control = worker.control().await;
    control.attest(&worker).await;
    control.refusal().await;
    let id = submit(&alice, b"2").await;
    assert_eq!(leasing.next().await, None);
    let view = alice.get(&format!("/v1/tasks/{id}")).await.json();
    assert_eq!(view["state"], "queued");
}

#[tokio::test]
async fn heartbeats_bring_telemetry() {
    let pool = Pool::start().await;
    let worker = admitted(&pool, "worker-1").await;
    let mut control = worker.control().await;
    let telemetry = Telemetry {
        tasks_succeeded: 7,
        ..Telemetry::default()
    };
    let heartbeat = wire::encode(&Heartbeat {
        sequence: 0,
        telemetry,
    })
    .unwrap();
    control
        .sender
        .send(WorkerMessage::Heartbeat(heartbeat.into()))
        .await
        .unwrap();
    // What is answered after it was read after it.
    control.renew(Vec::new()).await;
    let view = pool.operator().get("/v1/workers/worker-1").await.json();
    assert_eq!(view["session"]["telemetry"]["tasks_succeeded"], 7);
    assert!(view["session"]["heartbeat_ms"].is_u64());

    control
        .sender
        .send(WorkerMessage::Heartbeat("nonsense".into()))
        .await
        .unwrap();
    assert!(control.next().await.is_none());
}

#[tokio::test]
async fn a_cancellation_reaches_the_running_worker() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let mut control = worker.control().await;
    let id = submit(&alice, b"abc").await;
    let leases = worker.lease(1, 0).await;
    assert_eq!(
        alice
            .post(&format!("/v1/tasks/{id}/cancel"), &Value::Null)
            .await
            .status,
        200
    );
    let Some(GatewayMessage::Cancel(body)) = control.next().await else {
        panic!()
    };
    assert_eq!(
        wire::decode::<Cancel>(&body, 1 << 18).unwrap().leases,
        [reference(&leases[0])]
    );
    assert_eq!(worker.ack(&leases).await.outcomes, [AckOutcome::Cancelled]);
}

#[tokio::test]
async fn a_draining_worker_gets_no_work_until_it_is_undrained() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let mut control = worker.control().await;
    let view = pool
        .operator()
        .post("/v1/workers/worker-1/drain", &Value::Null)
        .await
        .json();
    assert_eq!(view["draining"], true);
    let Some(GatewayMessage::Drain(body)) = control.next().await else {
        panic!()
    };
    assert!(wire::decode::<Drain>(&body, 1 << 18).is_ok());
    submit(&alice, b"abc").await;
    assert!(worker.lease(1, 100).await.is_empty());

    // It is told again when it connects again.
    drop(control);
    let worker = connect(&pool, worker.attester).await.unwrap();
    let mut control = worker.control().await;
    assert!(matches!(
        control.next().await,
        Some(GatewayMessage::Drain(_))
    ));
    pool.operator()
        .post("/v1/workers/worker-1/undrain", &Value::Null)
        .await;
    assert_eq!(worker.lease(1, 1_000).await.len(), 1);
    pool.operator()
        .post("/v1/workers/nobody/drain", &Value::Null)
        .await
        .refuses(404, "not-found");
}

#[tokio::test]
async fn a_worker_has_one_session_and_a_session_one_control_stream() {
    let pool = Pool::start().await;
    let secret = pool.enrol("worker-1").await;
    let first = connect(&pool, TestAttester::new(&pool, "worker-1", &secret))
        .await
        .unwrap();
    let mut control = first.control().await;
    // Until this is answered, the driver may not have seen the first stream.
    control.renew(Vec::new()).await;
    assert!(first.http.open_control().await.is_err());

    let second = connect(&pool, TestAttester::new(&pool, "worker-1", &secret))
        .await
        .unwrap();
    assert!(control.next().await.is_none());
    assert!(second.lease(1, 0).await.is_empty());
    let metrics = pool.metrics("/metrics").await.text();
    assert!(metrics.contains("cocoon_gateway_sessions 1\n"), "{metrics}");
}
