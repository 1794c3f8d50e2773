//! A worker as far as the gateway sees one: the real channel, simulated evidence, honest or not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestation::gpu::DeviceEvidence;
use attestation::{Binding, Claims, ErrorCode, Evidence, ExecutorKind, GpuClaim, enrolment_mac};
use bytes::Bytes;
use channel::{
    Attester, AttesterError, ControlReceiver, ControlSender, GateError, GatewayMessage, Identity,
    OpaqueEvidence, Outcome, WorkerHttp, WorkerMessage, WorkerRebinder, WorkerTls,
    pool_ca_from_pem,
};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use protocol::catalogue::models::ALL_MINILM_L6_V2;
use protocol::control::{Renew, Renewed};
use protocol::frames::{self, Frames};
use protocol::lease::{
    Ack, AckRequest, AckResponse, Fault, FaultKind, Lease, LeaseInput, LeaseRef, LeaseRequest,
    LeaseResponse, Nack, NackRequest, NackResponse, OperationId, Output,
};
use protocol::receipt::{LEAF_VERSION, Leaf, ReceiptSigner, Statement, tree};
use protocol::task::{TaskBody, task_digest};
use protocol::{Sha256Digest, wire};
use ring::rand::SystemRandom;
use serde::Serialize;
use serde::de::DeserializeOwned;
use simulator::gpu::{GpuOptions, SimulatedGpu};
use simulator::{QuoteVersion, SimulatedPlatform, TdOptions};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::https::Answer;
use crate::pool::Pool;

/// What evidence is made of. A test changes a field and sees which code refuses it.
pub(crate) struct TestAttester {
    pub(crate) worker: String,
    pub(crate) secret: Vec<u8>,
    pub(crate) platform: Arc<SimulatedPlatform>,
    pub(crate) td: TdOptions,
    pub(crate) change_quote: fn(&mut Vec<u8>),
    /// A GPU in good order, and when: the worker claims it and shows its evidence.
    pub(crate) gpu: Option<Box<(SimulatedGpu, GpuOptions)>>,
    pub(crate) signer: Arc<ReceiptSigner>,
    pub(crate) sequence: AtomicU64,
    pub(crate) boot_id: [u8; 16],
    /// The report data of the latest evidence.
    pub(crate) latest: std::sync::Mutex<String>,
}

impl TestAttester {
    pub(crate) fn new(pool: &Pool, worker: &str, secret: &[u8]) -> Self {
        Self {
            worker: worker.to_owned(),
            secret: secret.to_vec(),
            platform: Arc::clone(&pool.platform),
            td: pool.platform.td(),
            change_quote: |_| {},
            gpu: None,
            signer: Arc::new(ReceiptSigner::generate(&SystemRandom::new()).unwrap()),
            sequence: AtomicU64::new(0),
            boot_id: [4; 16],
            latest: std::sync::Mutex::default(),
        }
    }

    pub(crate) fn attestation_id(&self) -> String {
        self.latest.lock().unwrap().clone()
    }
}

impl Attester for TestAttester {
    async fn evidence(&self, binding: Binding) -> Result<OpaqueEvidence, AttesterError> {
        let claims = Claims {
            worker_id: self.worker.clone(),
            enrolment_mac: enrolment_mac(&self.secret, &binding),
            receipt_key_spki: self.signer.key().spki(),
            agent_digest: [1; 32],
            configuration_digest: [2; 32],
            module_digest: MODULE,
            libraries: Vec::new(),
            gpus: self.gpu.iter().map(|gpu| claim(&gpu.0)).collect(),
            boot_id: self.boot_id,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            executor: match self.gpu {
                Some(_) => ExecutorKind::Cuda,
                None => ExecutorKind::Cpu,
            },
        };
        let claims = claims.encode().map_err(AttesterError::new)?;
        let devices = self.gpu.as_deref().map(|(gpu, options)| DeviceEvidence {
            devices: vec![gpu.report(&binding.gpu_nonce(), options)],
        });
        let devices = devices.map(|devices| devices.encode()).transpose();
        let device_evidence = devices.map_err(AttesterError::new)?;
        let devices = device_evidence.as_deref().unwrap_or_default();
        let report_data = binding.preimage(devices, &claims).report_data();
        *self.latest.lock().unwrap() = report_data.to_string();
        let mut quote = self
            .platform
            .quote(QuoteVersion::V4, &self.td, report_data.bytes());
        (self.change_quote)(&mut quote);
        OpaqueEvidence::pack(Evidence {
            quote,
            claims,
            event_log: None,
            device_evidence,
        })
        .map_err(AttesterError::new)
    }
}

fn claim(gpu: &SimulatedGpu) -> GpuClaim {
    GpuClaim {
        uuid: gpu.uuid(),
        name: "simulated".to_owned(),
    }
}

const MODULE: [u8; 32] = [3; 32];

/// An admitted worker.
pub(crate) struct Worker {
    pub(crate) attester: TestAttester,
    pub(crate) http: WorkerHttp,
    pub(crate) rebinder: WorkerRebinder,
    session: String,
    batch: AtomicU64,
    _driver: JoinSet<()>,
}

/// Its control stream.
pub(crate) struct Control {
    pub(crate) sender: ControlSender<WorkerMessage>,
    pub(crate) receiver: ControlReceiver<GatewayMessage>,
}

impl Control {
    pub(crate) async fn next(&mut self) -> Option<GatewayMessage> {
        let next = tokio::time::timeout(std::time::Duration::from_secs(10), self.receiver.recv());
        next.await.expect("nothing came for 10 s").ok().flatten()
    }

    /// Waits to be asked for evidence, and gives it.
    pub(crate) async fn attest(&mut self, worker: &Worker) {
        let request = match self.next().await {
            Some(GatewayMessage::AuthRequest(request)) => request,
            other => panic!("{other:?}"),
        };
        let answer = worker.rebinder.answer(&request, &worker.attester).await;
        let answer = WorkerMessage::Answer(answer.unwrap());
        self.sender.send(answer).await.unwrap();
    }

    /// The code with which the session ends, said before anything else.
    pub(crate) async fn refusal(&mut self) -> ErrorCode {
        match self.next().await {
            Some(GatewayMessage::Outcome(Outcome::Refused(code))) => code,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn renew(&mut self, leases: Vec<LeaseRef>) -> Renewed {
        let body = wire::encode(&Renew { leases }).unwrap();
        self.sender
            .send(WorkerMessage::Renew(body.into()))
            .await
            .unwrap();
        match self.next().await {
            Some(GatewayMessage::Renewed(body)) => wire::decode(&body, 1 << 18).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

/// Connects and passes the gate, or learns the code.
pub(crate) async fn connect(pool: &Pool, attester: TestAttester) -> Result<Worker, ErrorCode> {
    connect_to(pool, pool.listening.worker, attester).await
}

async fn connect_to(
    pool: &Pool,
    address: SocketAddr,
    attester: TestAttester,
) -> Result<Worker, ErrorCode> {
    let ca = std::fs::read(pool.dir.path().join("tls/pool-ca.pem")).unwrap();
    let ca = pool_ca_from_pem(&ca).unwrap();
    let tls = WorkerTls::new(Identity::generate().unwrap(), &ca, "localhost").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let unattested = tls.connect(stream).await.map_err(|error| error.code())?;
    let connection = unattested
        .attest(&attester)
        .await
        .map_err(|error: GateError| error.code())?;
    let session = connection.verdict().session_id.clone();
    let (http, io) = connection.into_http2().await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = io.await;
    });
    Ok(Worker {
        rebinder: http.rebinder(),
        attester,
        http,
        session,
        batch: AtomicU64::new(0),
        _driver: driver,
    })
}

/// An answer that brings leases as they come.
pub(crate) struct Leasing {
    body: Incoming,
    frames: Frames,
}

impl Leasing {
    /// What was leased together; nothing when the answer has ended.
    pub(crate) async fn next(&mut self) -> Option<Vec<Lease>> {
        loop {
            if let Some(response) = self.frames.next::<LeaseResponse>(1 << 24).unwrap() {
                return Some(response.leases);
            }
            let Some(piece) = self.body.frame().await else {
                assert!(!self.frames.has_part());
                return None;
            };
            self.frames.push(&piece.unwrap().into_data().unwrap());
        }
    }
}

/// Enrols and connects an honest worker.
pub(crate) async fn admitted(pool: &Pool, id: &str) -> Worker {
    let secret = pool.enrol(id).await;
    connect(pool, TestAttester::new(pool, id, &secret))
        .await
        .unwrap()
}

impl Worker {
    pub(crate) async fn control(&self) -> Control {
        let (sender, receiver) = self.http.open_control().await.unwrap();
        Control { sender, receiver }
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let response = self.http.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// A worker message and its answer.
    pub(crate) async fn call(&self, path: &str, message: &impl Serialize) -> Answer {
        let body = wire::encode(message).unwrap();
        self.request(
            Method::POST,
            path,
            &[("content-type", wire::MEDIA_TYPE)],
            body,
        )
        .await
    }

    /// What comes first. The rest of the answer is given up.
    pub(crate) async fn lease(&self, tasks_max: u16, wait_ms: u32) -> Vec<Lease> {
        let mut leasing = self.leasing(tasks_max, wait_ms).await;
        leasing.next().await.unwrap_or_default()
    }

    pub(crate) async fn leasing(&self, tasks_max: u16, wait_ms: u32) -> Leasing {
        let message = wire::encode(&lease_request(tasks_max, wait_ms)).unwrap();
        let request = Request::post("/v1/leases").header("content-type", wire::MEDIA_TYPE);
        let request = request.body(Full::new(Bytes::from(message))).unwrap();
        let answer = self.http.request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], frames::MEDIA_TYPE);
        Leasing {
            body: answer.into_body(),
            frames: Frames::default(),
        }
    }

    pub(crate) async fn ack(&self, leases: &[Lease]) -> AckResponse {
        cbor(&self.call("/v1/ack", &self.ack_request(leases)).await)
    }

    pub(crate) async fn nack(&self, lease: &Lease, kind: FaultKind) -> NackResponse {
        let fault = Fault {
            kind,
            message: "it did not work".to_owned(),
        };
        let nack = Nack {
            lease: reference(lease),
            fault,
        };
        cbor(
            &self
                .call("/v1/nack", &NackRequest { nacks: vec![nack] })
                .await,
        )
    }

    /// Computes and signs for it.
    pub(crate) fn ack_request(&self, leases: &[Lease]) -> AckRequest {
        let finished: Vec<_> = leases.iter().map(finish).collect();
        let encoded: Vec<_> = finished.iter().map(|(leaf, _)| leaf.encode()).collect();
        let hashes: Vec<_> = encoded.iter().map(|leaf| tree::leaf_hash(leaf)).collect();
        let statement = Statement {
            root: tree::root(&hashes),
            tree_size: u64::try_from(hashes.len()).unwrap(),
            worker: self.attester.worker.parse().unwrap(),
            session: self.session.parse().unwrap(),
            attestation: self.attester.attestation_id(),
            batch: self.batch.fetch_add(1, Ordering::Relaxed),
        };
        let acks = leases
            .iter()
            .zip(encoded)
            .zip(finished)
            .map(|((lease, leaf), (_, output))| Ack {
                lease: reference(lease),
                leaf: leaf.into(),
                output: Output::Inline(output.into()),
            });
        AckRequest {
            statement: statement
                .sign(&self.attester.signer, &SystemRandom::new())
                .unwrap(),
            acks: acks.collect(),
        }
    }
}

pub(crate) fn lease_request(tasks_max: u16, wait_ms: u32) -> LeaseRequest {
    let operation = |name: &str| OperationId {
        name: name.to_owned(),
        version: 1,
    };
    LeaseRequest {
        tasks_max,
        wait_ms,
        operations: vec![operation("sha256_batch"), operation("embed")],
    }
}

pub(crate) fn reference(lease: &Lease) -> LeaseRef {
    LeaseRef {
        task: lease.task,
        fencing_token: lease.fencing_token,
    }
}

pub(crate) fn cbor<T: DeserializeOwned>(answer: &Answer) -> T {
    assert_eq!(answer.status, 200, "{answer:?}");
    wire::decode(&answer.body, 1 << 24).unwrap()
}

/// What stands in for a vector of a text: 384 times the count of its bytes, which is the count of its tokens, too.
fn embedded(texts: &[LeaseInput]) -> Vec<u8> {
    let lengths = texts.iter().map(|text| match text {
        LeaseInput::Inline(bytes) => u16::try_from(bytes.len()).unwrap(),
        LeaseInput::Fetch => panic!("a text is inline"),
    });
    let numbers = lengths
        .clone()
        .flat_map(|length| f32::from(length).to_le_bytes().repeat(384));
    let tokens = lengths.flat_map(|length| u32::from(length).to_le_bytes());
    numbers.chain(tokens).collect()
}

/// The leaf and the output of one task of `sha256_batch` or `embed`.
fn finish(lease: &Lease) -> (Leaf, Vec<u8>) {
    let body = TaskBody::from_canonical(&lease.body).unwrap();
    let outputs =
        lease
            .inputs
            .iter()
            .zip(&body.inputs)
            .flat_map(|(input, descriptor)| match input {
                LeaseInput::Inline(bytes) => *Sha256Digest::of(bytes).as_bytes(),
                LeaseInput::Fetch => *descriptor.sha256.as_bytes(),
            });
    let is_text = body.operation == "embed";
    let output: Vec<u8> = if is_text {
        embedded(&lease.inputs)
    } else {
        outputs.collect()
    };
    let leaf = Leaf {
        version: LEAF_VERSION,
        task: lease.task.to_string(),
        task_digest: task_digest(&lease.body),
        operation: body.operation,
        operation_version: body.version,
        module_digest: Sha256Digest::from_bytes(MODULE),
        model_digest: is_text.then(|| ALL_MINILM_L6_V2.digest()),
        inputs: body.inputs.iter().map(|input| input.sha256).collect(),
        output: Sha256Digest::of(&output),
        output_bytes: u64::try_from(output.len()).unwrap(),
        executor: "cpu".to_owned(),
        gpu_uuid: None,
        attempt: lease.attempt,
        started_ms: 1,
        finished_ms: 2,
    };
    (leaf, output)
}
