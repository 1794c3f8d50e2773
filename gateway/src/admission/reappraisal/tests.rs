//! Recorded evidence and who appraises it again.

use std::collections::BTreeMap;

use attestation::{AppraisalPolicy, Binding, Role, Step, SuiteHash};
use protocol::SessionId;
use simulator::{CollateralOptions, SimulatedPlatform};
use tokio::sync::Semaphore;

use super::*;
use crate::metrics::Metrics;
use crate::store::NewAttestation;
use crate::store::tests::harness::{Pool, Worker};
use crate::world::{Clock, SystemClock};

const SEED: u64 = 1;

/// A worker that was accepted, with its record in the store.
pub(crate) struct Accepted {
    _pool: Pool,
    pub(crate) party: Arc<RelyingParty>,
    pub(crate) attested: Attested,
}

/// On a machine with one core.
pub(crate) async fn accepted() -> Accepted {
    let (pool, worker) = (Pool::new().await, Worker::new("worker-1"));
    let secret = crate::store::EnrolmentSecret::from_bytes([7; 32]);
    let created = pool.store.create_worker(worker.id.clone(), secret, 0).await;
    created.unwrap();
    let party = Arc::new(party(&pool));
    let appraisal = appraisal(&party, &worker).await;
    let (attested, record) = appraisal.run().unwrap();
    let attestation = NewAttestation {
        id: attested.key.attestation.clone(),
        worker: worker.id,
        session: SessionId::from_parts(0, 0),
        record,
        recorded_ms: attested.at_ms,
    };
    pool.store.record_attestation(attestation).await.unwrap();
    Accepted {
        _pool: pool,
        party,
        attested,
    }
}

fn party(pool: &Pool) -> RelyingParty {
    let platform = SimulatedPlatform::from_seed(SEED);
    let clock = SystemClock::start();
    let collateral = platform.collateral(&CollateralOptions::at(clock.now_us() / 1_000_000));
    let mut party = RelyingParty::new(
        platform.trust_anchor(),
        simulator::gpu::simulated_gpu_anchor(SEED),
        AppraisalPolicy::from_toml(&platform.policy_toml()).unwrap(),
        pool.store.clone(),
        Arc::new(clock),
        Metrics::default(),
    );
    party.cores = Arc::new(Semaphore::new(1));
    let family = collateral.family().unwrap();
    let shelved = BTreeMap::from([(family, collateral)]);
    party.collateral.replace(shelved, true);
    party
}

async fn appraisal(party: &RelyingParty, worker: &Worker) -> Appraisal {
    let platform = SimulatedPlatform::from_seed(SEED);
    let binding = Binding {
        role: Role::Client,
        hash: SuiteHash::Sha256,
        exported: [1; 32],
        attester_spki: vec![2; 91],
        peer_spki: vec![3; 91],
    };
    let mut claims = platform.claims(&binding);
    claims.receipt_key_spki = worker.attested.receipt_key.spki();
    let claims = claims.encode().unwrap();
    Appraisal {
        verifiers: Arc::clone(&party.verifiers),
        policy: party.in_force.policy(),
        references: party.in_force.references(),
        collateral: Arc::clone(&party.collateral),
        evidence: platform.evidence(&binding, claims, None),
        binding,
        known: party.known(worker.id.clone()).await.unwrap(),
        now_us: party.clock.now_us(),
    }
}

#[test]
fn only_what_new_evidence_may_mend_is_asked_for() {
    for code in [
        ErrorCode::CollateralExpired,
        ErrorCode::CollateralMissing,
        ErrorCode::GpuOcspExpired,
    ] {
        assert!(is_of_the_moment(code), "{code}");
    }
    for code in [
        ErrorCode::PlatformRevoked,
        ErrorCode::PckRevoked,
        ErrorCode::GpuCertificateRevoked,
        ErrorCode::VerifierUnclassified,
    ] {
        assert!(!is_of_the_moment(code), "{code}");
    }
}

/// A refusal whose steps failed with these codes, in order.
fn refusal(codes: &[ErrorCode]) -> Refusal {
    let step = |code: &ErrorCode| Step {
        number: 10,
        name: "a step".to_owned(),
        required: true,
        outcome: Outcome::Fail,
        code: Some(*code),
        seen: String::new(),
        wanted: String::new(),
    };
    let transcript = Transcript {
        trust_anchor: String::new(),
        policy_digest: String::new(),
        time_s: 0,
        steps: codes.iter().map(step).collect(),
    };
    Refusal {
        code: transcript.refusal().unwrap(),
        transcript,
        reference_ids: Vec::new(),
    }
}

#[test]
fn what_fails_for_good_is_refused_behind_what_ran_out_too() {
    use ErrorCode::{CollateralExpired, GpuNotEnrolled, GpuOcspExpired, TdDebuggable};
    let cases: [(&[ErrorCode], _); 6] = [
        (&[GpuOcspExpired], None),
        (&[GpuOcspExpired, GpuOcspExpired], None),
        (&[CollateralExpired], None),
        (&[GpuOcspExpired, GpuNotEnrolled], Some(GpuNotEnrolled)),
        (&[TdDebuggable, GpuOcspExpired], Some(TdDebuggable)),
        (&[], Some(ErrorCode::RequiredStepSkipped)),
    ];
    for (codes, verdict) in cases {
        assert_eq!(lasting(&refusal(codes)), verdict, "{codes:?}");
    }
}
