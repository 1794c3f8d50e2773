//! One simulated platform with a GPU, and good evidence, collateral and policy: what targets mutate and verify against.

use std::sync::LazyLock;

use attestation::{
    AppraisalPolicy, Appraiser, AttestationResult, Binding, Claims, Collateral, Evidence,
    ExecutorKind, GpuClaim, Quote, Refusal, Role, SuiteHash, TrustAnchor, VerifiedQuote, Verifier,
    gpu::{
        DeviceEvidence, DeviceReport, GpuTrustAnchor, GpuVerifier, VerifiedGpu, VerifiedReferences,
    },
};
use simulator::{
    CollateralOptions, OneWorker, QuoteVersion, SimulatedPlatform,
    gpu::{DRIVER_VERSION, GpuOptions, SimulatedGpu, simulated_gpu_anchor},
};

/// The time of every verification, in seconds since the epoch.
pub(crate) const NOW_S: u64 = 1_790_000_000;
pub(crate) const SEED: u64 = 1;

/// Everything that the simulated hierarchies have signed, and what judges it.
pub(crate) struct Scene {
    pub(crate) platform: SimulatedPlatform,
    pub(crate) collateral: Collateral,
    pub(crate) verifier: Verifier,
    pub(crate) gpu_verifier: GpuVerifier,
    /// The same verifiers under roots that signed none of this.
    pub(crate) foreign: Verifier,
    pub(crate) foreign_gpu: GpuVerifier,
    pub(crate) policy: AppraisalPolicy,
    pub(crate) references: VerifiedReferences,
    pub(crate) binding: Binding,
    pub(crate) device: DeviceReport,
    pub(crate) evidence: Evidence,
    /// What each signed quote means, and what the GPU's evidence does.
    pub(crate) meanings: Vec<VerifiedQuote>,
    pub(crate) gpu_meaning: VerifiedGpu,
}

/// Made once: deterministic, and dear.
pub(crate) static SCENE: LazyLock<Scene> = LazyLock::new(Scene::new);

impl Scene {
    fn new() -> Self {
        let platform = SimulatedPlatform::from_seed(SEED);
        let gpu = SimulatedGpu::new(SEED, 0);
        let binding = binding();
        let device = gpu.report(&binding.gpu_nonce(), &GpuOptions::at(NOW_S));
        let evidence = evidence(&platform, &device, &binding);
        let collateral = platform.collateral(&CollateralOptions::at(NOW_S));
        let verifier = Verifier::new(platform.trust_anchor());
        let meanings = quotes(&platform)
            .iter()
            .chain([&evidence.quote])
            .map(|bytes| Quote::parse(bytes).expect("forged quotes parse"))
            .map(|quote| verifier.verify(&quote, &collateral, NOW_S))
            .map(|verified| verified.expect("forged quotes verify"))
            .collect();
        let gpu_verifier = GpuVerifier::new(simulated_gpu_anchor(SEED));
        let gpu_meaning = gpu_verifier
            .verify(&device, Some(&binding.gpu_nonce()), NOW_S)
            .expect("forged GPU evidence verifies");
        Self {
            policy: AppraisalPolicy::from_toml(&policy(&platform)).expect("the policy parses"),
            references: VerifiedReferences::verify(&gpu.references(), gpu_verifier.anchor()),
            foreign: Verifier::new(TrustAnchor::intel()),
            foreign_gpu: GpuVerifier::new(GpuTrustAnchor::nvidia()),
            platform,
            collateral,
            verifier,
            gpu_verifier,
            binding,
            device,
            evidence,
            meanings,
            gpu_meaning,
        }
    }

    pub(crate) fn appraiser(&self) -> Appraiser<'_> {
        Appraiser {
            verifier: &self.verifier,
            gpu_verifier: &self.gpu_verifier,
            policy: &self.policy,
            collateral: &self.collateral,
            references: &self.references,
        }
    }

    /// Judges evidence as a gateway does.
    pub(crate) fn appraise(&self, evidence: &Evidence) -> Result<AttestationResult, Refusal> {
        let appraiser = self.appraiser();
        appraiser.appraise(evidence, &self.binding, &OneWorker, NOW_S)
    }

    /// Judges a quote. What is accepted must be accepted under no other root.
    pub(crate) fn verify(&self, quote: &Quote, collateral: &Collateral) -> Option<VerifiedQuote> {
        let verified = self.verifier.verify(quote, collateral, NOW_S).ok()?;
        assert!(self.foreign.verify(quote, collateral, NOW_S).is_err());
        Some(verified)
    }

    /// Judges a GPU's evidence. What is accepted must be accepted under no other root, and also by a verifier that has
    /// verified nothing before.
    pub(crate) fn verify_gpu(&self, device: &DeviceReport) -> Option<VerifiedGpu> {
        let nonce = self.binding.gpu_nonce();
        let verify = |verifier: &GpuVerifier| verifier.verify(device, Some(&nonce), NOW_S);
        let verified = verify(&self.gpu_verifier).ok()?;
        assert!(verify(&self.foreign_gpu).is_err());
        let fresh = GpuVerifier::new(self.gpu_verifier.anchor().clone());
        assert_eq!(verify(&fresh).as_ref().ok(), Some(&verified));
        Some(verified)
    }
}

/// The simulated TD's quotes in every layout.
pub(crate) fn quotes(platform: &SimulatedPlatform) -> Vec<Vec<u8>> {
    [QuoteVersion::V4, QuoteVersion::V5]
        .map(|version| platform.quote(version, &platform.td(), &[0x42; 64]))
        .to_vec()
}

/// The platform's own policy, with a demand for whatever else can be shown.
pub(crate) fn policy(platform: &SimulatedPlatform) -> String {
    let policy = platform.policy_toml();
    let demanding = policy
        .replace("event_log = \"not-required\"", "event_log = \"required\"")
        .replace("gpu = \"not-required\"", "gpu = \"required\"");
    format!(
        r#"{demanding}
[gpu]
driver_version_min = "{DRIVER_VERSION}"
driver_versions_denied = []
vbios_versions_min = {{ hopper = "96.00.9F.00.01" }}
reference_measurements = "required"
ocsp = "required"
ocsp_grace_hours = 0
enrolled = "any"
revoked = []
"#
    )
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

fn evidence(platform: &SimulatedPlatform, device: &DeviceReport, binding: &Binding) -> Evidence {
    let claims = Claims {
        gpus: vec![GpuClaim {
            uuid: device.uuid.clone(),
            name: "NVIDIA H100".to_owned(),
        }],
        executor: ExecutorKind::Cuda,
        ..platform.claims(binding)
    };
    let devices = vec![device.clone()];
    let devices = DeviceEvidence { devices }.encode();
    let event_log = platform.event_log().encode();
    Evidence {
        event_log: Some(event_log.expect("the event log encodes")),
        ..platform.evidence(
            binding,
            claims.encode().expect("the claims encode"),
            Some(devices.expect("the device evidence encodes")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::SCENE;

    /// Without this, targets would mutate what is refused anyway.
    #[test]
    fn the_evidence_is_admitted() {
        if let Err(refusal) = SCENE.appraise(&SCENE.evidence) {
            panic!("{}", refusal.transcript);
        }
    }
}
