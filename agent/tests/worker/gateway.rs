//! A gateway of a few handlers: hands out what the test queues, records what the worker says.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use attestation::{Claims, ErrorCode};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post, put};
use channel::{
    Admission, Admitted, ControlSender, GatewayIdentity, GatewayMessage, GatewayTls, Outcome,
    Presented, Refusal, Verdict, WorkerMessage,
};
use futures_util::stream;
use http::StatusCode;
use hyper_util::service::TowerToHyperService;
use protocol::control::{Heartbeat, Renew, Renewed, RenewedLease};
use protocol::lease::{
    AckOutcome, AckRequest, AckResponse, Lease, LeaseRequest, LeaseResponse, NackOutcome,
    NackRequest, NackResponse,
};
use protocol::telemetry::Telemetry;
use protocol::{SessionId, Sha256Digest, frames, wire};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

const BODY_MAX: usize = 64 * 1024 * 1024;

/// What the test sets and sees.
#[derive(Default)]
pub(crate) struct Gateway {
    pub(crate) queue: Mutex<VecDeque<Lease>>,
    pub(crate) inputs: Mutex<BTreeMap<(String, usize), Vec<u8>>>,
    pub(crate) outputs: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) acks: Mutex<Vec<AckRequest>>,
    pub(crate) nacks: Mutex<Vec<NackRequest>>,
    pub(crate) evidence: Mutex<Vec<Presented>>,
    /// Attestation ids in the order of admission.
    pub(crate) attestations: Mutex<Vec<String>>,
    pub(crate) refuse: Mutex<Option<ErrorCode>>,
    /// So many acks are read and their connection is then cut.
    pub(crate) cut_acks: AtomicU32,
    pub(crate) attempts: AtomicU32,
    pub(crate) lease_requests: AtomicU32,
    /// The next answer to a request for tasks has this behind its first leases.
    pub(crate) garbage: Mutex<Vec<u8>>,
    pub(crate) heartbeats: AtomicU32,
    pub(crate) telemetry: Mutex<Option<Telemetry>>,
    pub(crate) control: Mutex<Option<ControlSender<GatewayMessage>>>,
    attest_again: Notify,
    pub(crate) cut: Notify,
    changed: Notify,
}

pub(crate) struct Running {
    pub(crate) state: Arc<Gateway>,
    pub(crate) address: SocketAddr,
    pub(crate) pool_ca_pem: String,
    pub(crate) _serving: JoinSet<()>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

struct Admit(Arc<Gateway>);

impl Admission for Admit {
    type Session = ();

    async fn admit(&self, presented: Presented) -> Result<Admitted<()>, Refusal> {
        let refuse = *lock(&self.0.refuse);
        if let Some(code) = refuse {
            return Err(Refusal { code });
        }
        self.0.admitted(presented);
        Ok(Admitted {
            session: (),
            verdict: verdict(),
        })
    }
}

fn verdict() -> Verdict {
    Verdict {
        session_id: SessionId::from_parts(1, 1).to_string(),
        reattest_by_s: 600,
        max_age_s: 86_400,
    }
}

impl Gateway {
    /// Recomputes the attestation id from this side's view of the connection, as a real gateway does.
    fn admitted(&self, presented: Presented) {
        let evidence = presented.evidence.unpack().unwrap();
        let claims = Claims::decode(&evidence.claims).unwrap();
        assert_eq!(
            claims.enrolment_mac,
            attestation::enrolment_mac(&[0x42; 32], &presented.binding)
        );
        let report_data = presented
            .binding
            .preimage(evidence.device_evidence_bytes(), &evidence.claims)
            .report_data();
        assert_eq!(
            evidence.quote,
            report_data.bytes(),
            "the quote is for another connection"
        );
        lock(&self.attestations).push(report_data.to_string());
        lock(&self.evidence).push(presented);
    }

    pub(crate) fn claims(&self) -> Claims {
        let evidence = lock(&self.evidence)
            .last()
            .unwrap()
            .evidence
            .unpack()
            .unwrap();
        Claims::decode(&evidence.claims).unwrap()
    }

    pub(crate) fn queue(&self, leases: impl IntoIterator<Item = Lease>) {
        lock(&self.queue).extend(leases);
        self.changed.notify_waiters();
    }

    pub(crate) fn attest_again(&self) {
        self.attest_again.notify_one();
    }

    pub(crate) fn say(&self, message: GatewayMessage) {
        lock(&self.control)
            .as_ref()
            .unwrap()
            .try_send(message)
            .unwrap();
    }

    /// Outputs acknowledged so far, by task.
    pub(crate) fn acked(&self) -> Vec<protocol::lease::Ack> {
        lock(&self.acks)
            .iter()
            .flat_map(|request| request.acks.clone())
            .collect()
    }
}

/// Starts one with a pool CA of its own.
pub(crate) async fn start() -> Running {
    let (identity, pool_ca_pem) = identity();
    let tls = GatewayTls::new(identity).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Gateway::default());
    let mut serving = JoinSet::new();
    let shared = Arc::clone(&state);
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(converse(stream, tls.clone(), Arc::clone(&shared)));
        }
    });
    Running {
        state,
        address,
        pool_ca_pem,
        _serving: serving,
    }
}

fn identity() -> (GatewayIdentity, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf
        .signed_by(&key, &rcgen::Issuer::from_params(&ca, &ca_key))
        .unwrap();
    let identity =
        GatewayIdentity::from_pem(leaf.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    (identity, ca_certificate.pem())
}

async fn converse(stream: TcpStream, tls: GatewayTls, state: Arc<Gateway>) {
    state.attempts.fetch_add(1, Ordering::SeqCst);
    let Ok(unattested) = tls.accept(stream).await else {
        return;
    };
    let Ok(attested) = unattested.attest(&Admit(Arc::clone(&state))).await else {
        return;
    };
    let ((), http, mut rebinder) = attested.into_parts();
    let (streams, mut opened) = tokio::sync::mpsc::channel(1);
    let shared = Shared {
        state: Arc::clone(&state),
        streams,
    };
    let router = Router::new()
        .route("/v1/control", post(control))
        .route("/v1/leases", post(lease))
        .route("/v1/ack", post(ack))
        .route("/v1/nack", post(nack))
        .route("/v1/tasks/{task}/inputs/{index}", get(input))
        .route("/v1/outputs/{sha256}", put(output))
        .with_state(shared);
    let never = CancellationToken::new();
    let mut served =
        std::pin::pin!(http.serve(TowerToHyperService::new(router), never.cancelled()));
    let (sender, mut receiver) = tokio::select! {
        _ = &mut served => return,
        Some(control) = opened.recv() => control,
    };
    *lock(&state.control) = Some(sender.clone());
    loop {
        tokio::select! {
            _ = &mut served => return,
            () = state.cut.notified() => return,
            () = state.attest_again.notified() => {
                sender.try_send(GatewayMessage::AuthRequest(rebinder.request().unwrap())).unwrap();
            }
            message = receiver.recv() => match message {
                Ok(Some(WorkerMessage::Answer(answer))) => {
                    state.admitted(rebinder.verify(answer).unwrap());
                    sender.try_send(GatewayMessage::Outcome(Outcome::Admitted(verdict()))).unwrap();
                }
                Ok(Some(WorkerMessage::Heartbeat(body))) => {
                    let heartbeat: Heartbeat = wire::decode(&body, BODY_MAX).unwrap();
                    *lock(&state.telemetry) = Some(heartbeat.telemetry);
                    state.heartbeats.fetch_add(1, Ordering::SeqCst);
                }
                Ok(Some(WorkerMessage::Renew(body))) => {
                    let renew: Renew = wire::decode(&body, BODY_MAX).unwrap();
                    let renewed = |lease| RenewedLease { lease, lease_duration_ms: Some(30_000) };
                    let renewed = Renewed { leases: renew.leases.into_iter().map(renewed).collect() };
                    sender.try_send(GatewayMessage::Renewed(wire::encode(&renewed).unwrap().into())).unwrap();
                }
                Ok(None) | Err(_) => return,
            },
        }
    }
}

#[derive(Clone)]
struct Shared {
    state: Arc<Gateway>,
    streams: tokio::sync::mpsc::Sender<(
        ControlSender<GatewayMessage>,
        channel::ControlReceiver<WorkerMessage>,
    )>,
}

async fn control(State(shared): State<Shared>, request: Request) -> Response {
    let (sender, receiver, response) = channel::accept_control(request).unwrap();
    shared.streams.send((sender, receiver)).await.unwrap();
    response.map(Body::new)
}

async fn lease(State(shared): State<Shared>, body: Bytes) -> Body {
    shared.state.lease_requests.fetch_add(1, Ordering::SeqCst);
    let request: LeaseRequest = wire::decode(&body, BODY_MAX).unwrap();
    let wait = Duration::from_millis(u64::from(request.wait_ms));
    let (ends_at, tasks_left) = (Instant::now() + wait, usize::from(request.tasks_max));
    let frames = stream::unfold(tasks_left, move |tasks_left| {
        let state = Arc::clone(&shared.state);
        async move {
            let granted = timeout_at(ends_at, granted(&state, tasks_left)).await;
            let leases = granted.ok().filter(|leases| !leases.is_empty())?;
            let tasks_left = tasks_left - leases.len();
            let mut frame = frames::encode(&LeaseResponse { leases }, 0).unwrap();
            frame.append(&mut lock(&state.garbage));
            Some((Ok::<_, Infallible>(frame), tasks_left))
        }
    });
    Body::from_stream(frames)
}

/// What is queued next.
async fn granted(state: &Gateway, tasks_left: usize) -> Vec<Lease> {
    loop {
        let changed = state.changed.notified();
        let leases: Vec<_> = {
            let mut queue = lock(&state.queue);
            let count = queue.len().min(tasks_left);
            queue.drain(..count).collect()
        };
        if !leases.is_empty() || tasks_left == 0 {
            return leases;
        }
        changed.await;
    }
}

async fn ack(State(shared): State<Shared>, body: Bytes) -> Vec<u8> {
    let request: AckRequest = wire::decode(&body, BODY_MAX).unwrap();
    let count = request.acks.len();
    lock(&shared.state.acks).push(request);
    if shared.state.cut_acks.load(Ordering::SeqCst) > 0 {
        shared.state.cut_acks.fetch_sub(1, Ordering::SeqCst);
        shared.state.cut.notify_one();
        std::future::pending::<()>().await;
    }
    wire::encode(&AckResponse {
        outcomes: vec![AckOutcome::Accepted; count],
    })
    .unwrap()
}

async fn nack(State(shared): State<Shared>, body: Bytes) -> Vec<u8> {
    let request: NackRequest = wire::decode(&body, BODY_MAX).unwrap();
    let outcomes = vec![NackOutcome::Returned; request.nacks.len()];
    lock(&shared.state.nacks).push(request);
    wire::encode(&NackResponse { outcomes }).unwrap()
}

async fn input(
    State(shared): State<Shared>,
    Path(key): Path<(String, usize)>,
    request: Request,
) -> Vec<u8> {
    assert!(request.headers().contains_key("fencing-token"));
    lock(&shared.state.inputs).get(&key).unwrap().clone()
}

async fn output(
    State(shared): State<Shared>,
    Path(sha256): Path<String>,
    body: Body,
) -> StatusCode {
    let bytes = to_bytes(body, BODY_MAX).await.unwrap();
    assert_eq!(Sha256Digest::of(&bytes).to_string(), sha256);
    lock(&shared.state.outputs).insert(sha256, bytes.to_vec());
    StatusCode::NO_CONTENT
}
