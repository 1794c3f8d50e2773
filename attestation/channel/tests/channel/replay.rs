//! Authenticators and evidence that were made for something else.

use attestation::{Binding, ErrorCode, Role};
use channel::{
    Answer, AuthenticatorError, ChannelError, GateError, GatewayRebinder, GatewayTls,
    WorkerRebinder,
};

use super::world::{Bound, Broken, GATEWAY_NAME, Honest, World, chain, connect, worker};

/// The two rebinders of a fresh attested connection. The rest of it is kept, so that it stays alive.
async fn rebinders(world: &World) -> (WorkerRebinder, GatewayRebinder, impl Sized + use<>) {
    let (worker, gateway) = world.attested().await;
    let (_session, gateway_http, gateway) = gateway.into_parts();
    // Neither side's HTTP/2 is driven: the worker's preface fits the pipe.
    let (worker_http, driver) = worker.into_http2().await.unwrap();
    let rebinder = worker_http.rebinder();
    (rebinder, gateway, (worker_http, driver, gateway_http))
}

#[track_caller]
fn assert_refused(
    error: &GateError,
    code: ErrorCode,
    matches: impl Fn(&AuthenticatorError) -> bool,
) {
    assert_eq!(error.code(), code, "{}", chain(error));
    assert!(
        matches!(error, GateError::Authenticator(inner) if matches(inner)),
        "{}",
        chain(error)
    );
}

#[tokio::test]
async fn an_authenticator_is_worthless_on_another_connection_of_the_same_worker() {
    let world = World::new();
    let (elsewhere, _gateway, _alive) = rebinders(&world).await;
    let (_worker, mut gateway, _alive) = rebinders(&world).await;
    // The very context, the very key; only the connection differs.
    let answer = elsewhere
        .answer(&gateway.request().unwrap(), &Honest::default())
        .await
        .unwrap();
    let error = gateway.verify(answer).unwrap_err();
    assert_refused(&error, ErrorCode::CertificateVerifyInvalid, |error| {
        matches!(error, AuthenticatorError::Signature)
    });
}

#[tokio::test]
async fn an_authenticator_of_another_worker_is_refused() {
    let mut world = World::new();
    let (_worker, mut gateway, _alive) = rebinders(&world).await;
    world.worker = worker(&world.ca, GATEWAY_NAME);
    let (stranger, _gateway, _alive) = rebinders(&world).await;
    let answer = stranger
        .answer(&gateway.request().unwrap(), &Honest::default())
        .await
        .unwrap();
    let error = gateway.verify(answer).unwrap_err();
    assert_refused(&error, ErrorCode::LeafMismatch, |error| {
        matches!(error, AuthenticatorError::OtherCertificate)
    });
}

#[tokio::test]
async fn an_answer_to_another_context_is_refused() {
    let (worker, mut gateway, _alive) = rebinders(&World::new()).await;
    let void = gateway.request().unwrap();
    let _request = gateway.request().unwrap();
    let answer = worker.answer(&void, &Honest::default()).await.unwrap();
    let error = gateway.verify(answer).unwrap_err();
    assert_refused(&error, ErrorCode::ContextMismatch, |error| {
        matches!(error, AuthenticatorError::OtherContext)
    });
}

#[tokio::test]
async fn a_context_serves_once_on_the_gateway() {
    let (worker, mut gateway, _alive) = rebinders(&World::new()).await;
    let answer = worker
        .answer(&gateway.request().unwrap(), &Honest::default())
        .await
        .unwrap();
    gateway.verify(answer.clone()).unwrap();
    let error = gateway.verify(answer.clone()).unwrap_err();
    assert_refused(&error, ErrorCode::ContextMismatch, |error| {
        matches!(error, AuthenticatorError::ContextUsed)
    });
    // Nor does it serve as the answer to a later request.
    gateway.request().unwrap();
    let error = gateway.verify(answer).unwrap_err();
    assert_refused(&error, ErrorCode::ContextMismatch, |error| {
        matches!(error, AuthenticatorError::ContextUsed)
    });
}

#[tokio::test]
async fn a_context_serves_once_on_the_worker() {
    let (worker, mut gateway, _alive) = rebinders(&World::new()).await;
    let request = gateway.request().unwrap();
    worker.answer(&request, &Honest::default()).await.unwrap();
    let error = worker
        .answer(&request, &Honest::default())
        .await
        .unwrap_err();
    assert_refused(&error, ErrorCode::ContextMismatch, |error| {
        matches!(error, AuthenticatorError::ContextUsed)
    });
}

#[tokio::test]
async fn an_answer_that_does_not_even_parse_uses_its_request_up() {
    let (worker, mut gateway, _alive) = rebinders(&World::new()).await;
    let request = gateway.request().unwrap();
    let error = gateway
        .verify(Answer::new("noise".into(), None))
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::AuthenticatorMalformed);
    let late = worker.answer(&request, &Honest::default()).await.unwrap();
    let error = gateway.verify(late).unwrap_err();
    assert_refused(&error, ErrorCode::ContextMismatch, |error| {
        matches!(error, AuthenticatorError::ContextUsed)
    });
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_refused() {
    let world = World::new();
    let (elsewhere, mut other_gateway, _alive) = rebinders(&world).await;
    let (_worker, mut gateway, _alive) = rebinders(&world).await;
    let answer = elsewhere
        .answer(&other_gateway.request().unwrap(), &Honest::default())
        .await
        .unwrap();
    let error = gateway.verify(answer).unwrap_err();
    assert_refused(&error, ErrorCode::ContextMismatch, |error| {
        matches!(error, AuthenticatorError::NotRequested)
    });
}

#[tokio::test]
async fn contexts_of_one_connection_run_out() {
    let (_worker, mut gateway, _alive) = rebinders(&World::new()).await;
    let (stranger, _other, _alive) = rebinders(&World::new()).await;
    // One has served at the gate. An answer that does not verify uses its context up too.
    for _ in 1..channel::CONTEXTS_COUNT_MAX {
        let request = gateway.request().unwrap();
        let answer = stranger.answer(&request, &Honest::default()).await.unwrap();
        gateway.verify(answer).unwrap_err();
    }
    let error = gateway.request().unwrap_err();
    assert_refused(&error, ErrorCode::SessionExpired, |error| {
        matches!(error, AuthenticatorError::ContextsExhausted)
    });
}

#[tokio::test]
async fn a_closed_connection_attests_nothing() {
    let (worker, mut gateway, alive) = rebinders(&World::new()).await;
    drop(alive);
    let error = worker
        .answer(&gateway.request().unwrap(), &Honest::default())
        .await
        .unwrap_err();
    assert_refused(&error, ErrorCode::ConnectionLost, |error| {
        matches!(error, AuthenticatorError::Exporter(None))
    });
}

async fn refused_binding(other: impl Fn(Binding) -> Binding + Send + Sync) {
    let (worker, gateway) = World::new().refused(&Bound(other)).await;
    assert_eq!(
        worker.code(),
        ErrorCode::ReportDataMismatch,
        "{}",
        chain(&worker)
    );
    assert_eq!(
        gateway.code(),
        ErrorCode::ReportDataMismatch,
        "{}",
        chain(&gateway)
    );
    assert!(matches!(worker, GateError::Refused { .. }));
}

#[tokio::test]
async fn evidence_of_the_reflected_role_is_refused() {
    refused_binding(|binding| Binding {
        role: Role::Server,
        attester_spki: binding.peer_spki,
        peer_spki: binding.attester_spki,
        ..binding
    })
    .await;
}

#[tokio::test]
async fn evidence_of_the_right_keys_in_the_wrong_role_is_refused() {
    refused_binding(|binding| Binding {
        role: Role::Server,
        ..binding
    })
    .await;
}

#[tokio::test]
async fn evidence_for_another_gateway_is_refused() {
    refused_binding(|binding| Binding {
        peer_spki: binding.attester_spki.clone(),
        ..binding
    })
    .await;
}

#[tokio::test]
async fn evidence_for_another_connection_is_refused() {
    refused_binding(|binding| Binding {
        exported: [0; 32],
        ..binding
    })
    .await;
}

#[tokio::test]
async fn a_worker_without_evidence_says_why_and_the_gateway_sees_it_leave() {
    let (worker, gateway) = World::new().refused(&Broken).await;
    assert_eq!(worker.code(), ErrorCode::EvidenceUnavailable);
    assert_eq!(
        chain(&worker),
        "the attester failed: evidence could not be made: the broker is gone"
    );
    assert_eq!(
        gateway.code(),
        ErrorCode::ConnectionLost,
        "{}",
        chain(&gateway)
    );
}

#[tokio::test]
async fn a_gateway_of_another_pool_is_refused() {
    let world = World::new();
    let stranger = World::new();
    let (worker, gateway) = connect(&world.worker, &stranger.gateway).await;
    let error = worker.unwrap_err();
    assert!(
        matches!(error, ChannelError::GatewayCertificate(_)),
        "{}",
        chain(&error)
    );
    assert_eq!(error.code(), ErrorCode::GatewayCertificateUntrusted);
    assert_eq!(gateway.unwrap_err().code(), ErrorCode::TlsFailed);
}

#[tokio::test]
async fn a_gateway_of_this_pool_under_another_name_is_refused() {
    let world = World::new();
    let other = GatewayTls::new(world.ca.issue("other.pool.test")).unwrap();
    let (worker, _gateway) = connect(&world.worker, &other).await;
    let error = worker.unwrap_err();
    assert!(
        matches!(error, ChannelError::GatewayName(_)),
        "{}",
        chain(&error)
    );
    assert_eq!(error.code(), ErrorCode::GatewayNameMismatch);
}
