//! What one more worker costs the two processes: the TLS handshake, the gate, and both, over an in-memory pipe.
//!
//! The evidence has the size of a real quote with its event log and is not appraised here. Both sides run on one thread, so a
//! time is the CPU time of worker and gateway together.

use std::{hint::black_box, time::Duration};

use attestation::Binding;
use bytes::Bytes;
use channel::{
    Admission, Admitted, Attester, AttesterError, GatewayIdentity, GatewaySide, GatewayTls,
    Identity, OpaqueEvidence, Presented, Refusal, Unattested, Verdict, WorkerSide, WorkerTls,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::runtime::Runtime;

/// A quote of 8 KiB and an event log of 20 KiB.
const EVIDENCE_BYTES: usize = 28 * 1024;
const GATEWAY_NAME: &str = "gateway.bench.test";

struct Recorded(Bytes);

impl Attester for Recorded {
    async fn evidence(&self, _: Binding) -> Result<OpaqueEvidence, AttesterError> {
        Ok(OpaqueEvidence {
            cmw: self.0.clone(),
            device_evidence: None,
        })
    }
}

struct Everyone;

impl Admission for Everyone {
    type Session = Presented;

    async fn admit(&self, presented: Presented) -> Result<Admitted<Presented>, Refusal> {
        let verdict = Verdict {
            session_id: "bench".to_owned(),
            reattest_by_s: 600,
            max_age_s: 86_400,
        };
        Ok(Admitted {
            session: presented,
            verdict,
        })
    }
}

struct Pool {
    worker: WorkerTls,
    gateway: GatewayTls,
    attester: Recorded,
    runtime: Runtime,
}

type BenchError = Box<dyn std::error::Error>;

impl Pool {
    fn new() -> Result<Self, BenchError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let chain = CertificateParams::new([GATEWAY_NAME.to_owned()])?
            .signed_by(&key, &ca)?
            .pem();
        let identity = GatewayIdentity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes())?;
        Ok(Self {
            worker: WorkerTls::new(Identity::generate()?, &[ca.der().clone()], GATEWAY_NAME)?,
            gateway: GatewayTls::new(identity)?,
            attester: Recorded(vec![7; EVIDENCE_BYTES].into()),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        })
    }

    async fn handshake(&self) -> Option<(Unattested<WorkerSide>, Unattested<GatewaySide>)> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (worker, gateway) = tokio::join!(self.worker.connect(near), self.gateway.accept(far));
        worker.ok().zip(gateway.ok())
    }

    async fn gate(&self, ends: Option<(Unattested<WorkerSide>, Unattested<GatewaySide>)>) -> bool {
        let Some((worker, gateway)) = ends else {
            return false;
        };
        let (worker, gateway) =
            tokio::join!(worker.attest(&self.attester), gateway.attest(&Everyone));
        worker.is_ok() && gateway.is_ok()
    }
}

fn gate(criterion: &mut Criterion) {
    let pool = match Pool::new() {
        Ok(pool) => pool,
        Err(error) => panic!("the pool cannot be built: {error}"),
    };
    let passed = pool
        .runtime
        .block_on(async { pool.gate(pool.handshake().await).await });
    assert!(passed, "the gate must be passed before it is timed");

    let mut group = criterion.benchmark_group("gate");
    group
        .measurement_time(Duration::from_secs(5))
        .throughput(Throughput::Elements(1));
    group.bench_function("handshake", |bencher| {
        bencher.iter(|| black_box(pool.runtime.block_on(pool.handshake())));
    });
    group.bench_function("gate", |bencher| {
        let handshake = || pool.runtime.block_on(pool.handshake());
        bencher.iter_batched(
            handshake,
            |ends| pool.runtime.block_on(pool.gate(ends)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("handshake and gate", |bencher| {
        bencher.iter(|| {
            pool.runtime
                .block_on(async { pool.gate(pool.handshake().await).await })
        });
    });
    group.finish();
}

criterion_group!(benches, gate);
criterion_main!(benches);
