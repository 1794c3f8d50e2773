//! Handshake and gate, with a simulated quote really verified and appraised: what a worker costs both processes once per
//! connection. Both sides run on one thread, so a time is CPU time; making the quote is left out, a real one takes a second
//! or so elsewhere.

use attestation::{
    AppraisalPolicy, Appraiser, Binding, Claims, Collateral, Enrolment, EnrolmentSecret, Evidence,
    ExecutorKind, PlatformStanding, Verifier, enrolment_mac,
};
use channel::{
    Admission, Admitted, Attester, AttesterError, GatewayIdentity, GatewayTls, Identity,
    OpaqueEvidence, Presented, Refusal, Verdict, WorkerTls,
};
use criterion::{BatchSize, Criterion};
use protocol::receipt::ReceiptSigner;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use simulator::{CollateralOptions, QuoteVersion, SimulatedPlatform};
use tests::fleet::now_s;

const SECRET: &[u8] = &[7; 32];
const GATEWAY_NAME: &str = "gateway.bench.test";

/// A worker in a simulated TD.
struct Worker {
    platform: SimulatedPlatform,
    receipt_key: Vec<u8>,
}

impl Worker {
    fn new(platform: SimulatedPlatform) -> Self {
        let signer = ReceiptSigner::generate(&ring::rand::SystemRandom::new()).unwrap();
        let receipt_key = signer.key().spki();
        Self {
            platform,
            receipt_key,
        }
    }

    fn evidence_for(&self, binding: &Binding) -> Evidence {
        let claims = Claims {
            worker_id: "worker-1".to_owned(),
            enrolment_mac: enrolment_mac(SECRET, binding),
            receipt_key_spki: self.receipt_key.clone(),
            agent_digest: [1; 32],
            configuration_digest: [2; 32],
            module_digest: [1; 32],
            libraries: Vec::new(),
            gpus: Vec::new(),
            boot_id: [3; 16],
            sequence: 0,
            executor: ExecutorKind::Cpu,
        };
        let claims = claims.encode().unwrap();
        let report_data = binding.preimage(&[], &claims).report_data();
        let quote = self
            .platform
            .quote(QuoteVersion::V4, &self.platform.td(), report_data.bytes());
        Evidence {
            quote,
            claims,
            event_log: None,
            device_evidence: None,
        }
    }
}

impl Attester for Worker {
    async fn evidence(&self, binding: Binding) -> Result<OpaqueEvidence, AttesterError> {
        OpaqueEvidence::pack(self.evidence_for(&binding)).map_err(AttesterError::new)
    }
}

/// A gateway that appraises.
struct Gateway {
    verifier: Verifier,
    policy: AppraisalPolicy,
    collateral: Collateral,
    now_s: u64,
}

struct OneWorker;

impl Enrolment for OneWorker {
    fn secret(&self, _: &str) -> Option<EnrolmentSecret> {
        Some(EnrolmentSecret::new(SECRET.to_vec()))
    }

    fn platform(&self, _: &str, _: &[u8; 16]) -> PlatformStanding {
        PlatformStanding::Admissible
    }
}

impl Gateway {
    fn appraise(&self, evidence: &Evidence, binding: &Binding) -> Result<(), attestation::Refusal> {
        let appraiser = Appraiser {
            verifier: &self.verifier,
            policy: &self.policy,
            collateral: &self.collateral,
        };
        appraiser
            .appraise(evidence, binding, &OneWorker, self.now_s)
            .map(drop)
    }
}

impl Admission for Gateway {
    type Session = ();

    async fn admit(&self, presented: Presented) -> Result<Admitted<()>, Refusal> {
        let evidence = presented.evidence.unpack().unwrap();
        self.appraise(&evidence, &presented.binding).unwrap();
        let verdict = Verdict {
            session_id: "bench".to_owned(),
            reattest_by_s: 600,
            max_age_s: 86_400,
        };
        Ok(Admitted {
            session: (),
            verdict,
        })
    }
}

fn tls() -> (WorkerTls, GatewayTls) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([GATEWAY_NAME.to_owned()]).unwrap();
    let chain = params.signed_by(&key, &ca).unwrap().pem();
    let identity =
        GatewayIdentity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let worker = WorkerTls::new(
        Identity::generate().unwrap(),
        &[ca.der().clone()],
        GATEWAY_NAME,
    )
    .unwrap();
    (worker, GatewayTls::new(identity).unwrap())
}

async fn admit(tls: &(WorkerTls, GatewayTls), worker: &Worker, gateway: &Gateway) {
    let (near, far) = tokio::io::duplex(256 * 1024);
    let worker_side = async {
        tls.0
            .connect(near)
            .await
            .unwrap()
            .attest(worker)
            .await
            .unwrap()
    };
    let gateway_side = async {
        tls.1
            .accept(far)
            .await
            .unwrap()
            .attest(gateway)
            .await
            .unwrap()
    };
    tokio::join!(worker_side, gateway_side);
}

pub(crate) fn benchmark(criterion: &mut Criterion) {
    let now_s = now_s();
    let platform = SimulatedPlatform::from_seed(1);
    let gateway = Gateway {
        verifier: Verifier::new(platform.trust_anchor()),
        policy: AppraisalPolicy::from_toml(&platform.policy_toml()).unwrap(),
        collateral: platform.collateral(&CollateralOptions::at(now_s)),
        now_s,
    };
    let worker = Worker::new(platform);
    let tls = tls();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("admission");
    let binding = Binding {
        role: attestation::Role::Client,
        hash: attestation::SuiteHash::Sha256,
        exported: [4; 32],
        attester_spki: vec![5; 91],
        peer_spki: vec![6; 91],
    };
    let evidence = worker.evidence_for(&binding);
    group.bench_function("appraisal", |bencher| {
        bencher.iter(|| gateway.appraise(&evidence, &binding).unwrap());
    });
    group.bench_function(
        "simulated quote (not part of a real admission)",
        |bencher| {
            bencher.iter(|| worker.evidence_for(&binding));
        },
    );
    group.bench_function(
        "handshake, gate, simulated quote and appraisal",
        |bencher| {
            bencher.iter_batched(
                || (),
                |()| runtime.block_on(admit(&tls, &worker, &gateway)),
                BatchSize::PerIteration,
            );
        },
    );
    group.finish();
}
