//! Handshake and gate, with a simulated quote really verified and appraised: what a worker costs the gateway once per
//! connection. The worker's side runs on a thread of its own, so that the CPU time of this one is the gateway's alone, and
//! waiting for the worker, or for a quote, counts for nothing.

use std::time::Duration;

use attestation::{
    AppraisalPolicy, Appraiser, Binding, Collateral, Evidence, Verifier,
    gpu::{GpuVerifier, VerifiedReferences},
};
use channel::{
    Admission, Admitted, Attester, AttesterError, GatewayIdentity, GatewayTls, Identity,
    OpaqueEvidence, Presented, Refusal, Verdict, WorkerTls,
};
use criterion::Criterion;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::time::{ClockId, clock_gettime};
use simulator::{CollateralOptions, OneWorker, SimulatedPlatform};
use tests::fleet::now_s;
use tokio::runtime::Runtime;

const GATEWAY_NAME: &str = "gateway.bench.test";

/// A worker in a simulated TD.
struct Worker(SimulatedPlatform);

impl Worker {
    fn evidence_for(&self, binding: &Binding) -> Evidence {
        let claims = self.0.claims(binding).encode().unwrap();
        self.0.evidence(binding, claims, None)
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
    gpu_verifier: GpuVerifier,
    references: VerifiedReferences,
    policy: AppraisalPolicy,
    collateral: Collateral,
    now_s: u64,
}

impl Gateway {
    fn appraise(&self, evidence: &Evidence, binding: &Binding) -> Result<(), attestation::Refusal> {
        let appraiser = Appraiser {
            verifier: &self.verifier,
            gpu_verifier: &self.gpu_verifier,
            policy: &self.policy,
            collateral: &self.collateral,
            references: &self.references,
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

/// What one admission costs the gateway, in CPU time.
fn admit(
    runtime: &Runtime,
    tls: &(WorkerTls, GatewayTls),
    worker: &Worker,
    gateway: &Gateway,
) -> Duration {
    let (near, far) = tokio::io::duplex(256 * 1024);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            current_thread().block_on(async {
                let connection = tls.0.connect(near).await.unwrap();
                connection.attest(worker).await.unwrap()
            })
        });
        let before = cpu_time();
        let attested = runtime.block_on(async {
            let connection = tls.1.accept(far).await.unwrap();
            connection.attest(gateway).await.unwrap()
        });
        let spent = cpu_time().checked_sub(before).unwrap();
        drop(attested);
        spent
    })
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

fn current_thread() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

pub(crate) fn benchmark(criterion: &mut Criterion) {
    let now_s = now_s();
    let platform = SimulatedPlatform::from_seed(1);
    let gateway = Gateway {
        verifier: Verifier::new(platform.trust_anchor()),
        gpu_verifier: GpuVerifier::new(platform.gpu_trust_anchor()),
        references: VerifiedReferences::default(),
        policy: AppraisalPolicy::from_toml(&platform.policy_toml()).unwrap(),
        collateral: platform.collateral(&CollateralOptions::at(now_s)),
        now_s,
    };
    let worker = Worker(platform);
    let tls = tls();
    let runtime = current_thread();
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
        "handshake, gate and appraisal, CPU time of the gateway alone",
        |bencher| {
            bencher.iter_custom(|count| {
                (0..count)
                    .map(|_| admit(&runtime, &tls, &worker, &gateway))
                    .sum()
            });
        },
    );
    group.finish();
}
