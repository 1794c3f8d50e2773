//! A worker's whole evidence before the real appraisal, under a policy that demands GPU evidence: only the roots are
//! simulated.

use std::sync::Arc;

use agent::config::EnrolmentSecret;
use agent::evidence::{Facts, WorkerEvidence, boot_id};
use agent::gpus::GpuAttester;
use agent::quote::client::QuoteClient;
use attestation::gpu::{GpuVerifier, VerifiedReferences};
use attestation::{
    AppraisalPolicy, Appraiser, AttestationResult, Binding, Enrolment, ErrorCode, Evidence,
    ExecutorKind, PlatformStanding, Refusal, Role, SuiteHash, Verifier,
};
use channel::Attester;
use protocol::Sha256Digest;
use simulator::gpu::{GpuOptions, SimulatedManifests, simulated_gpu_anchor};
use simulator::{CollateralOptions, SimulatedPlatform, broker};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ocsp::{self, Says};
use super::{SEED, now_s};

const SECRET: [u8; 32] = [0x42; 32];

struct Register;

impl Enrolment for Register {
    fn secret(&self, worker_id: &str) -> Option<attestation::EnrolmentSecret> {
        (worker_id == "worker-1").then(|| attestation::EnrolmentSecret::new(SECRET.to_vec()))
    }

    fn platform(&self, _: &str, _: &[u8; 16]) -> PlatformStanding {
        PlatformStanding::Admissible
    }
}

fn binding() -> Binding {
    Binding {
        role: Role::Client,
        hash: SuiteHash::Sha384,
        exported: [1; 32],
        attester_spki: vec![2; 91],
        peer_spki: vec![3; 91],
    }
}

/// What this worker shows over the binding above; its quote is of the simulated TD.
async fn evidence(executor: ExecutorKind, gpus: Option<GpuAttester>) -> Evidence {
    let folder = tempfile::tempdir().unwrap();
    let (socket, secret) = (
        folder.path().join("quote.sock"),
        folder.path().join("secret"),
    );
    std::fs::write(&secret, hex::encode(SECRET)).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let platform = Arc::new(SimulatedPlatform::from_seed(SEED));
    let mut serving = JoinSet::new();
    serving.spawn(broker::serve(listener, platform, CancellationToken::new()));
    let digest = Sha256Digest::of(b"agent");
    let facts = Facts {
        worker_id: "worker-1".parse().unwrap(),
        receipt_key_spki: vec![4; 91],
        agent_digest: digest,
        configuration_digest: digest,
        module_digest: digest,
        boot_id: boot_id().unwrap(),
        executor,
    };
    let secret = EnrolmentSecret::read(&secret).unwrap();
    let worker = WorkerEvidence::new(facts, secret, QuoteClient::new(&socket)).with_gpus(gpus);
    let packed = Arc::new(worker).attester().evidence(binding()).await;
    packed.unwrap().unpack().unwrap()
}

fn appraise(evidence: &Evidence) -> Result<AttestationResult, Box<Refusal>> {
    let platform = SimulatedPlatform::from_seed(SEED);
    let policy = platform.policy_toml().replace(
        "gpu = \"not-required\"",
        r#"gpu = "required"

        [gpu]
        driver_version_min = "550.90.07"
        driver_versions_denied = []
        vbios_versions_min = { hopper = "96.00.9F.00.01" }
        reference_measurements = "required"
        ocsp = "required"
        ocsp_grace_hours = 0
        enrolled = "any"
        revoked = []"#,
    );
    let anchor = simulated_gpu_anchor(SEED);
    let references = SimulatedManifests::new(SEED).references();
    let appraiser = Appraiser {
        verifier: &Verifier::new(platform.trust_anchor()),
        gpu_verifier: &GpuVerifier::new(anchor.clone()),
        policy: &AppraisalPolicy::from_toml(&policy).unwrap(),
        collateral: &platform.collateral(&CollateralOptions::at(now_s())),
        references: &VerifiedReferences::verify(&references, &anchor),
    };
    let result = appraiser.appraise(evidence, &binding(), &Register, now_s());
    result.map_err(Box::new)
}

#[tokio::test]
async fn workers_with_one_two_and_eight_gpus_are_admitted() {
    for count in [1, 2, 8] {
        let Some(running) = ocsp::start(count, Says::TheTruth).await else {
            return;
        };
        let evidence = evidence(ExecutorKind::Cuda, Some(running.attester)).await;
        let result = appraise(&evidence).unwrap();
        assert_eq!(result.claims().gpus.len(), usize::from(count));
    }
}

#[tokio::test]
async fn what_the_worker_cannot_tell_by_itself_the_gateway_does() {
    let refused = |options: GpuOptions, code| async move {
        let Some(running) = ocsp::start(1, Says::TheTruth).await else {
            return;
        };
        running.gpus.rack.set(options);
        let evidence = evidence(ExecutorKind::Cuda, Some(running.attester)).await;
        assert_eq!(appraise(&evidence).unwrap_err().code, code);
    };
    let mut old = GpuOptions::at(now_s());
    old.driver_version = simulator::gpu::DRIVER_VERSION_OLD.to_owned();
    refused(old, ErrorCode::GpuDriverTooOld).await;
    let mut measured = GpuOptions::at(now_s());
    measured.flaw = Some(simulator::gpu::GpuFlaw::Measurement(0));
    refused(measured, ErrorCode::GpuMeasurementMismatch).await;
}

/// The library that the worker loaded is another driver's than the one in the reports.
#[tokio::test]
async fn a_worker_that_claims_another_driver_is_refused() {
    let Some(running) = ocsp::start(1, Says::TheTruth).await else {
        return;
    };
    running
        .gpus
        .set("FAKE_NVML_GPUS=1\nFAKE_NVML_DRIVER=580.95.05");
    let evidence = evidence(ExecutorKind::Cuda, Some(running.attester)).await;
    let refusal = appraise(&evidence).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::GpuClaimInconsistent);
}

#[tokio::test]
async fn a_worker_without_responses_or_without_gpus_is_refused() {
    let without = evidence(ExecutorKind::Cpu, None).await;
    let refusal = appraise(&without).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::GpuEvidenceMissing);
    let Some(running) = ocsp::start(1, Says::Nothing).await else {
        return;
    };
    let unstapled = evidence(ExecutorKind::Cuda, Some(running.attester)).await;
    let refusal = appraise(&unstapled).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::GpuOcspMissing);
}
