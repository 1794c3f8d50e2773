//! Two gateways on one PostgreSQL database.

use bytes::Bytes;
use channel::GatewayMessage;
use http::Method;
use protocol::control::Cancel;
use protocol::lease::{AckOutcome, FaultKind, NackOutcome};
use protocol::task::TaskState;
use protocol::wire;
use serde_json::json;

use crate::place::{Kind, Place};
use crate::pool::{Pool, submit};
use crate::worker::{admitted, connect, reference};

async fn two() -> (Place, Pool, Pool) {
    let place = Place::new(Kind::Postgres).await;
    let location = place.location();
    let first = Pool::start_with(|config| config.database = location).await;
    let second = first.second().await;
    (place, first, second)
}

#[tokio::test]
async fn what_is_submitted_at_one_gateway_runs_at_the_other_and_ends_at_both() {
    let (_place, first, second) = two().await;
    let token = first.client("alice").await;
    let (alice, elsewhere) = (first.https(&token), second.https(&token));
    let worker = admitted(&second, "worker-1").await;
    // It waits at the second gateway before the first one gets the task.
    let (leases, id) = tokio::join!(worker.lease(10, 30_000), submit(&alice, b"abc"));
    assert_eq!(leases.len(), 1);
    let path = format!("/v1/tasks/{id}?wait_s=30");
    let (view, acked) = tokio::join!(alice.get(&path), worker.ack(&leases));
    assert_eq!(acked.outcomes, [AckOutcome::Accepted]);
    assert_eq!(view.json()["state"], TaskState::Succeeded.as_str());
    let path = format!("/v1/tasks/{id}/output");
    assert_eq!(alice.get(&path).await.body, elsewhere.get(&path).await.body);
}

#[tokio::test]
async fn a_cancellation_reaches_the_worker_at_the_other_gateway() {
    let (_place, first, second) = two().await;
    let alice = first.https(&first.client("alice").await);
    let worker = admitted(&second, "worker-1").await;
    let mut control = worker.control().await;
    let id = submit(&alice, b"abc").await;
    let leases = worker.lease(1, 30_000).await;
    let path = format!("/v1/tasks/{id}/cancel");
    assert_eq!(alice.post(&path, &json!(null)).await.status, 200);
    let Some(GatewayMessage::Cancel(body)) = control.next().await else {
        panic!("not told");
    };
    let told: Cancel = wire::decode(&body, 1 << 18).unwrap();
    assert_eq!(told.leases, [reference(&leases[0])]);
}

#[tokio::test]
async fn a_drain_reaches_the_worker_at_the_other_gateway() {
    let (_place, first, second) = two().await;
    let worker = admitted(&second, "worker-1").await;
    let mut control = worker.control().await;
    let path = "/v1/workers/worker-1/drain";
    let drained = first.operator().post(path, &json!(null)).await;
    assert_eq!(drained.status, 200);
    let told = control.next().await;
    assert!(matches!(told, Some(GatewayMessage::Drain(_))), "{told:?}");
}

#[tokio::test]
async fn a_worker_goes_on_at_the_other_gateway_when_its_own_stops() {
    let (_place, mut first, second) = two().await;
    let token = first.client("alice").await;
    let worker = admitted(&first, "worker-1").await;
    let id = submit(&first.https(&token), b"abc").await;
    let leases = worker.lease(1, 30_000).await;
    first.stop().await.unwrap();
    let again = connect(&second, worker.attester).await.unwrap();
    // The lease is the worker's, whichever session it was made in.
    let given_back = again.nack(&leases[0], FaultKind::Released).await;
    assert_eq!(given_back.outcomes, [NackOutcome::Returned]);
    let leases = again.lease(1, 30_000).await;
    assert_eq!(again.ack(&leases).await.outcomes, [AckOutcome::Accepted]);
    let view = second.https(&token).get(&format!("/v1/tasks/{id}")).await;
    assert_eq!(view.json()["state"], "succeeded");
}

#[tokio::test]
async fn a_worker_taken_out_at_one_gateway_is_cut_off_at_the_other() {
    let (_place, first, second) = two().await;
    let worker = admitted(&second, "worker-1").await;
    let mut control = worker.control().await;
    let path = "/v1/workers/worker-1";
    let operator = first.operator();
    let removed = operator.send(Method::DELETE, path, &[], Bytes::new());
    assert_eq!(removed.await.status, 204);
    while control.next().await.is_some() {}
}
