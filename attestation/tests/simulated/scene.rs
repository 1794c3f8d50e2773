//! One simulated platform, worker and connection in good order. A test changes one thing and looks at the refusal.

use attestation::{
    AppraisalPolicy, Appraiser, AttestationResult, Binding, Claims, Collateral, Enrolment,
    EnrolmentSecret, ErrorCode, Evidence, ExecutorKind, GpuClaim, PlatformStanding, Refusal, Role,
    SuiteHash, Transcript, Verifier, enrolment_mac,
    gpu::{GpuTrustAnchor, GpuVerifier, VerifiedReferences},
};
use simulator::{CollateralOptions, QuoteVersion, SimulatedPlatform, TdOptions};

pub(crate) const NOW_S: u64 = 1_790_000_000;
const SECRET: &[u8] = b"an enrolment secret of 32 bytes.";

pub(crate) struct Scene {
    pub(crate) platform: SimulatedPlatform,
    pub(crate) version: QuoteVersion,
    pub(crate) td: TdOptions,
    pub(crate) collateral: CollateralOptions,
    pub(crate) policy: String,
    /// The gateway's view of the connection.
    pub(crate) binding: Binding,
    /// What the worker's view differs in, if anything.
    pub(crate) worker_binding: Option<Binding>,
    pub(crate) claims: Claims,
    pub(crate) event_log: Option<Vec<u8>>,
    pub(crate) device_evidence: Option<Vec<u8>>,
    pub(crate) gpu_anchor: GpuTrustAnchor,
    pub(crate) references: VerifiedReferences,
    pub(crate) register: Register,
    pub(crate) now_s: u64,
}

/// The gateway's register of workers.
#[derive(Clone)]
pub(crate) struct Register {
    pub(crate) secret: Option<EnrolmentSecret>,
    pub(crate) standing: PlatformStanding,
}

impl Enrolment for Register {
    fn secret(&self, worker_id: &str) -> Option<EnrolmentSecret> {
        (worker_id == "worker-1")
            .then(|| self.secret.clone())
            .flatten()
    }

    fn platform(&self, _: &str, _: &[u8; 16]) -> PlatformStanding {
        self.standing
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let platform = SimulatedPlatform::from_seed(2);
        let binding = Binding {
            role: Role::Client,
            hash: SuiteHash::Sha384,
            exported: [1; 32],
            attester_spki: vec![2; 91],
            peer_spki: vec![3; 91],
        };
        Self {
            version: QuoteVersion::V4,
            td: platform.td(),
            collateral: CollateralOptions::at(NOW_S),
            policy: platform.policy_toml(),
            claims: claims(&binding),
            binding,
            worker_binding: None,
            event_log: None,
            device_evidence: None,
            gpu_anchor: GpuTrustAnchor::nvidia(),
            references: VerifiedReferences::default(),
            register: Register {
                secret: Some(EnrolmentSecret::new(SECRET.to_vec())),
                standing: PlatformStanding::Admissible,
            },
            now_s: NOW_S,
            platform,
        }
    }

    /// Make the evidence as the worker would.
    pub(crate) fn evidence(&self) -> Evidence {
        let claims = self.claims.encode().unwrap();
        let binding = self.worker_binding.as_ref().unwrap_or(&self.binding);
        let device_evidence = self.device_evidence.clone().unwrap_or_default();
        let report_data = binding.preimage(&device_evidence, &claims).report_data();
        Evidence {
            quote: self
                .platform
                .quote(self.version, &self.td, report_data.bytes()),
            claims,
            event_log: self.event_log.clone(),
            device_evidence: self.device_evidence.clone(),
        }
    }

    pub(crate) fn collateral(&self) -> Collateral {
        self.platform.collateral(&self.collateral)
    }

    /// One member of the collateral's JSON.
    pub(crate) fn collateral_member(&self, member: &str) -> serde_json::Value {
        let json = self.platform.collateral_json(&self.collateral);
        serde_json::from_str::<serde_json::Value>(&json).unwrap()[member].clone()
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier::new(self.platform.trust_anchor())
    }

    pub(crate) fn gpu_verifier(&self) -> GpuVerifier {
        GpuVerifier::new(self.gpu_anchor.clone())
    }

    pub(crate) fn appraisal_policy(&self) -> AppraisalPolicy {
        AppraisalPolicy::from_toml(&self.policy).unwrap()
    }

    /// Appraise the evidence as the gateway would.
    pub(crate) fn appraise(&self) -> Result<AttestationResult, Refusal> {
        self.appraise_evidence(&self.evidence())
    }

    pub(crate) fn appraise_evidence(
        &self,
        evidence: &Evidence,
    ) -> Result<AttestationResult, Refusal> {
        self.appraise_under(evidence, &self.collateral())
    }

    pub(crate) fn appraise_under(
        &self,
        evidence: &Evidence,
        collateral: &Collateral,
    ) -> Result<AttestationResult, Refusal> {
        let (verifier, policy) = (self.verifier(), self.appraisal_policy());
        let appraiser = Appraiser {
            verifier: &verifier,
            gpu_verifier: &self.gpu_verifier(),
            policy: &policy,
            collateral,
            references: &self.references,
        };
        appraiser.appraise(evidence, &self.binding, &self.register, self.now_s)
    }

    /// Change the policy's text; the change must find what it replaces.
    pub(crate) fn replace_policy(&mut self, from: &str, to: &str) {
        assert!(self.policy.contains(from), "{from} is not in the policy");
        self.policy = self.policy.replace(from, to);
    }
}

fn claims(binding: &Binding) -> Claims {
    Claims {
        worker_id: "worker-1".to_owned(),
        enrolment_mac: enrolment_mac(SECRET, binding),
        receipt_key_spki: vec![4; 91],
        agent_digest: [5; 32],
        configuration_digest: [6; 32],
        module_digest: [7; 32],
        libraries: Vec::new(),
        gpus: vec![GpuClaim {
            uuid: "GPU-1".to_owned(),
            name: "NVIDIA H100".to_owned(),
        }],
        boot_id: [8; 16],
        sequence: 0,
        executor: ExecutorKind::Cuda,
    }
}

/// The codes of the failed steps, in order.
pub(crate) fn codes(transcript: &Transcript) -> Vec<ErrorCode> {
    transcript
        .steps
        .iter()
        .filter_map(|step| step.code)
        .collect()
}
