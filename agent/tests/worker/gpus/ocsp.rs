//! OCSP responses: fetched in the background, stapled when they are there, never waited for long.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use agent::gpus::ocsp::{Responder, ResponderError, Staples, refresh};
use agent::gpus::{GpuAttester, GpuError};
use attestation::gpu::{GpuVerifier, OCSP_RESPONSE_BYTES_MAX, ocsp_request};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use simulator::attester::Rack;
use simulator::gpu::{GpuFlaw, GpuOptions, simulated_gpu_anchor};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Gpus, NONCE, SEED, now_s};

/// What stands in for NVIDIA's responder says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    TheTruth,
    Nothing,
    TooMuch,
    Nonsense,
}

struct Service {
    rack: Arc<Rack>,
    says: Says,
    requests: AtomicU32,
    /// Made at the first request: forging them takes its time in a debug build.
    answers: OnceLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Service {
    fn answer(&self, request: &[u8]) -> Vec<u8> {
        let answers = self.answers.get_or_init(|| answers(&self.rack));
        answers.get(request).cloned().unwrap_or_default()
    }
}

async fn respond(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    service.requests.fetch_add(1, Ordering::SeqCst);
    assert_eq!(headers["content-type"], "application/ocsp-request");
    match service.says {
        Says::TheTruth => (StatusCode::OK, service.answer(&body)),
        Says::Nothing => (StatusCode::SERVICE_UNAVAILABLE, Vec::new()),
        Says::TooMuch => (StatusCode::OK, vec![0x30; OCSP_RESPONSE_BYTES_MAX + 1]),
        Says::Nonsense => (StatusCode::OK, b"no DER".to_vec()),
    }
}

/// Every answer by its request: the simulator makes a chain's responses in the order of its certificates.
fn answers(rack: &Rack) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let shown = (0..).map_while(|gpu| rack.report(gpu, &NONCE));
    shown
        .flat_map(|shown| {
            let issuers = shown.certificates.clone().into_iter().skip(2);
            let pairs = shown.certificates.into_iter().skip(1).zip(issuers);
            let requests =
                pairs.map(|(certificate, issuer)| ocsp_request(&certificate, &issuer).unwrap());
            requests.zip(shown.ocsp_responses)
        })
        .collect()
}

pub(super) struct Running {
    pub(super) gpus: Gpus,
    pub(super) attester: GpuAttester,
    service: Arc<Service>,
    _tasks: JoinSet<()>,
}

/// A responder, and its URL.
async fn listen(rack: Arc<Rack>, says: Says, tasks: &mut JoinSet<()>) -> (Arc<Service>, String) {
    let service = Arc::new(Service {
        rack,
        says,
        requests: AtomicU32::new(0),
        answers: OnceLock::new(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/", post(respond))
        .with_state(Arc::clone(&service));
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (service, url)
}

pub(super) async fn start(count: u16, says: Says) -> Option<Running> {
    let gpus = Gpus::start(count, "")?;
    let mut tasks = JoinSet::new();
    let (service, url) = listen(Arc::clone(&gpus.rack), says, &mut tasks).await;
    let staples = Arc::new(Staples::default());
    tasks.spawn(refresh(
        Arc::clone(&staples),
        Responder::new(url.parse().unwrap()).unwrap(),
        gpus.world(),
        CancellationToken::new(),
    ));
    Some(Running {
        attester: GpuAttester::new(&gpus.world(), Some(staples)),
        gpus,
        service,
        _tasks: tasks,
    })
}

#[tokio::test]
async fn responses_for_all_but_the_leaf_are_stapled_and_fetched_once() {
    let Some(running) = start(2, Says::TheTruth).await else {
        return;
    };
    for _ in 0..2 {
        let attested = running.attester.attest(NONCE).await.unwrap();
        for report in &attested.reports {
            assert_eq!(report.ocsp_responses.len(), report.certificates.len() - 2);
            let verifier = GpuVerifier::new(simulated_gpu_anchor(SEED));
            let gpu = verifier.verify(report, Some(&NONCE), now_s()).unwrap();
            gpu.require_ocsp(now_s(), 0).unwrap();
        }
    }
    let asked = running.service.requests.load(Ordering::SeqCst);
    // One for each GPU's own certificate, and one for each that both share.
    assert_eq!(asked, 4);
}

#[tokio::test]
async fn without_a_responder_that_answers_the_worker_attests_all_the_same() {
    for says in [Says::Nothing, Says::TooMuch, Says::Nonsense] {
        let Some(running) = start(1, says).await else {
            return;
        };
        let attested = running.attester.attest(NONCE).await.unwrap();
        assert!(attested.reports[0].ocsp_responses.is_empty());
        assert!(running.gpus.are_ready());
        running.attester.attest(NONCE).await.unwrap();
        let asked = running.service.requests.load(Ordering::SeqCst);
        assert_eq!(asked, 3, "a failure waits before it asks again");
    }
}

#[tokio::test]
async fn a_response_that_has_ended_is_not_stapled() {
    let Some(running) = start(1, Says::TheTruth).await else {
        return;
    };
    running.gpus.rack.set(GpuOptions {
        flaw: Some(GpuFlaw::OcspExpired),
        ..GpuOptions::at(now_s())
    });
    let attested = running.attester.attest(NONCE).await.unwrap();
    assert!(attested.reports[0].ocsp_responses.is_empty());
    assert_eq!(running.service.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_revoked_gpu_is_not_set_ready_again() {
    let Some(running) = start(1, Says::TheTruth).await else {
        return;
    };
    running.gpus.rack.set(GpuOptions {
        flaw: Some(GpuFlaw::OcspRevoked(1)),
        ..GpuOptions::at(now_s())
    });
    let first = running.attester.attest(NONCE).await.unwrap();
    assert_eq!(
        first.reports[0].ocsp_responses.len(),
        2,
        "nothing for the revoked one"
    );
    let error = running.attester.attest(NONCE).await.unwrap_err();
    assert!(matches!(error, GpuError::Revoked { .. }), "{error:?}");
    assert!(!running.gpus.are_ready());
}

async fn ask(url: &str) -> Result<Vec<u8>, ResponderError> {
    let responder = Responder::new(url.parse().unwrap()).unwrap();
    responder.ask(b"a request".to_vec()).await
}

#[tokio::test]
async fn a_responder_that_gives_no_answer_is_refused_by_name() {
    let mut tasks = JoinSet::new();
    let rack = Arc::new(Rack::new(SEED, 0, GpuOptions::at(now_s())));
    let mut urls = Vec::new();
    for says in [Says::Nonsense, Says::Nothing, Says::TooMuch] {
        urls.push(listen(Arc::clone(&rack), says, &mut tasks).await.1);
    }
    assert_eq!(ask(&urls[0]).await.unwrap(), b"no DER", "not looked at");
    let status = ask(&urls[1]).await.unwrap_err();
    assert!(
        matches!(status, ResponderError::Status(status) if status.as_u16() == 503),
        "{status:?}"
    );
    let large = ask(&urls[2]).await.unwrap_err();
    assert!(matches!(large, ResponderError::TooLarge), "{large:?}");
    tasks.shutdown().await;
    let gone = ask(&urls[0]).await.unwrap_err();
    assert!(matches!(gone, ResponderError::Http(_)), "{gone:?}");
}
