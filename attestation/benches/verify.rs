//! What our checks add to `dcap-qvl`'s own call, on the same input in the same run: `cargo bench -p attestation`.
//!
//! The real quote comes from the directory that `COCOON_VECTORS` names; without it, a simulated one is all there is. The
//! appraisal's policy fits the quote, so that every step is taken. A real quote's report data is not of a connection of
//! ours: its appraisal ends in a refusal that took every step an admission takes.
#![expect(clippy::unwrap_used, reason = "a benchmark fails as a test does")]

use std::{
    fs,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use attestation::{
    Appraiser, Binding, Collateral, Evidence, Quote, Role, SuiteHash, TrustAnchor, Verifier,
    gpu::{GpuTrustAnchor, GpuVerifier, VerifiedReferences},
};
use criterion::{Criterion, criterion_group, criterion_main};
use dcap_qvl::{QuoteCollateralV3, QuotePolicy, verify::QuoteVerifier};
use simulator::{CollateralOptions, OneWorker, SimulatedPlatform};

#[path = "../tests/vectors/policy.rs"]
mod policy;

/// Everything that one verification and its appraisal need.
struct Case {
    name: &'static str,
    evidence: Evidence,
    collateral: Collateral,
    anchor: TrustAnchor,
    theirs: QuoteVerifier,
    now_s: u64,
}

impl Case {
    fn real(vectors: &Path) -> Self {
        let read = |file: &str| fs::read(vectors.join(file)).unwrap();
        let collateral = read("collateral/tdx_b0c06f000000_2025-06-19_25e3ff.json");
        Self {
            name: "real quote",
            evidence: Evidence {
                quote: read("quotes/tdx_v4_td10_b0c06f000000_dcap-qvl_f1c850.bin"),
                ..simulated_evidence(&SimulatedPlatform::from_seed(1))
            },
            collateral: Collateral::from_json(&collateral).unwrap(),
            anchor: TrustAnchor::intel(),
            theirs: QuoteVerifier::new_prod(),
            now_s: 1_750_646_964,
        }
    }

    fn simulated() -> Self {
        let (platform, now_s) = (SimulatedPlatform::from_seed(1), 1_790_000_000);
        Self {
            name: "simulated quote",
            evidence: simulated_evidence(&platform),
            collateral: platform.collateral(&CollateralOptions::at(now_s)),
            anchor: platform.trust_anchor(),
            theirs: QuoteVerifier::new(platform.root_der().to_vec()),
            now_s,
        }
    }
}

fn simulated_evidence(platform: &SimulatedPlatform) -> Evidence {
    let claims = platform.claims(&binding()).encode().unwrap();
    platform.evidence(&binding(), claims, None)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark has no configuration of its own"
)]
fn benchmark(criterion: &mut Criterion) {
    if let Some(vectors) = std::env::var_os("COCOON_VECTORS") {
        compare(criterion, Case::real(Path::new(&vectors)));
    }
    compare(criterion, Case::simulated());
}

fn compare(criterion: &mut Criterion, case: Case) {
    let Case {
        name,
        evidence,
        collateral,
        anchor,
        theirs,
        now_s,
    } = case;
    let mut group = criterion.benchmark_group(name);

    let json = collateral.to_json().unwrap();
    let parts: QuoteCollateralV3 = serde_json::from_str(&json).unwrap();
    let theirs = theirs.allow_debug(true).allow_service_td(true);
    let policy = QuotePolicy::claims_only(now_s);
    let dcap = || {
        let verified =
            theirs.verify_with_policy(black_box(&evidence.quote), &parts, now_s, &policy);
        verified.map(black_box).map(drop).unwrap();
    };
    group.bench_function("dcap-qvl's own call", |bencher| bencher.iter(dcap));

    let verifier = Verifier::new(anchor);
    let verify = || {
        let quote = Quote::parse(black_box(&evidence.quote)).unwrap();
        black_box(verifier.verify(&quote, &collateral, now_s).unwrap());
    };
    group.bench_function("parse and verify", |bencher| bencher.iter(verify));
    group.bench_function("what our verification adds", |bencher| {
        bencher.iter_custom(|count| difference(count, dcap, verify));
    });

    let policy = policy::policy_for(&Quote::parse(&evidence.quote).unwrap());
    let appraiser = Appraiser {
        verifier: &verifier,
        gpu_verifier: &GpuVerifier::new(GpuTrustAnchor::nvidia()),
        policy: &policy,
        collateral: &collateral,
        references: &VerifiedReferences::default(),
    };
    let binding = binding();
    let appraise = || {
        drop(black_box(appraiser.appraise(
            black_box(&evidence),
            &binding,
            &OneWorker,
            now_s,
        )));
    };
    group.bench_function("parse, verify and appraise", |bencher| {
        bencher.iter(appraise);
    });
    group.bench_function("what the appraisal adds", |bencher| {
        bencher.iter_custom(|count| difference(count, verify, appraise));
    });
    group.finish();
}

/// How much longer `more` takes than `less`. Both in turn, so that whatever else the machine does slows both alike; a
/// difference below zero counts as none.
fn difference(count: u64, less: impl Fn(), more: impl Fn()) -> Duration {
    let (less, more) = (0..count).fold((Duration::ZERO, Duration::ZERO), |(a, b), _| {
        (a + time(&less), b + time(&more))
    });
    // Criterion wants some time to have passed.
    more.saturating_sub(less).max(Duration::from_nanos(count))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn time(run: impl Fn()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn binding() -> Binding {
    Binding {
        role: Role::Client,
        hash: SuiteHash::Sha256,
        exported: [1; 32],
        attester_spki: vec![2; 91],
        peer_spki: vec![3; 91],
    }
}

criterion_group!(verify, benchmark);
criterion_main!(verify);
