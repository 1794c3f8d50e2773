//! One simulated platform with good evidence, collateral and policy: what targets mutate and verify against.

use std::sync::LazyLock;

use attestation::{
    AppraisalPolicy, Appraiser, AttestationResult, Binding, Collateral, Evidence, Quote, Refusal,
    Role, SuiteHash, TrustAnchor, VerifiedQuote, Verifier,
    gpu::{GpuVerifier, VerifiedReferences},
};
use simulator::{CollateralOptions, OneWorker, QuoteVersion, SimulatedPlatform};

/// The time of every verification, in seconds since the epoch.
pub(crate) const NOW_S: u64 = 1_790_000_000;

/// Everything that the simulated hierarchy has signed, and what judges it.
pub(crate) struct Scene {
    pub(crate) platform: SimulatedPlatform,
    pub(crate) collateral: Collateral,
    pub(crate) verifier: Verifier,
    pub(crate) gpu_verifier: GpuVerifier,
    pub(crate) references: VerifiedReferences,
    /// The same verifier under a root that signed none of this.
    pub(crate) foreign: Verifier,
    pub(crate) policy: AppraisalPolicy,
    pub(crate) binding: Binding,
    pub(crate) evidence: Evidence,
    /// What each signed quote means.
    pub(crate) meanings: Vec<VerifiedQuote>,
}

/// Made once: deterministic, and dear.
pub(crate) static SCENE: LazyLock<Scene> = LazyLock::new(Scene::new);

impl Scene {
    fn new() -> Self {
        let platform = SimulatedPlatform::from_seed(1);
        let binding = Binding {
            role: Role::Client,
            hash: SuiteHash::Sha384,
            exported: [1; 32],
            attester_spki: vec![2; 91],
            peer_spki: vec![3; 91],
        };
        let collateral = platform.collateral(&CollateralOptions::at(NOW_S));
        let verifier = Verifier::new(platform.trust_anchor());
        let claims = platform.claims(&binding).encode();
        let evidence = platform.evidence(&binding, claims.expect("the claims encode"));
        let meanings = quotes(&platform)
            .iter()
            .chain([&evidence.quote])
            .map(|bytes| Quote::parse(bytes).expect("forged quotes parse"))
            .map(|quote| {
                verifier
                    .verify(&quote, &collateral, NOW_S)
                    .expect("forged quotes verify")
            })
            .collect();
        Self {
            policy: AppraisalPolicy::from_toml(&platform.policy_toml()).expect("the policy parses"),
            foreign: Verifier::new(TrustAnchor::intel()),
            gpu_verifier: GpuVerifier::new(platform.gpu_trust_anchor()),
            references: VerifiedReferences::default(),
            platform,
            collateral,
            verifier,
            binding,
            evidence,
            meanings,
        }
    }

    /// Judges evidence as a gateway does.
    pub(crate) fn appraise(&self, evidence: &Evidence) -> Result<AttestationResult, Refusal> {
        let appraiser = Appraiser {
            verifier: &self.verifier,
            gpu_verifier: &self.gpu_verifier,
            policy: &self.policy,
            collateral: &self.collateral,
            references: &self.references,
        };
        appraiser.appraise(evidence, &self.binding, &OneWorker, NOW_S)
    }

    /// Judges a quote. What is accepted must mean what was signed, twice the same, and nothing under another root.
    pub(crate) fn verify(&self, quote: &Quote, collateral: &Collateral) -> Option<VerifiedQuote> {
        let verified = self.verifier.verify(quote, collateral, NOW_S);
        assert_eq!(verified, self.verifier.verify(quote, collateral, NOW_S));
        let verified = verified.ok()?;
        assert!(self.foreign.verify(quote, collateral, NOW_S).is_err());
        Some(verified)
    }
}

/// The simulated TD's quotes in every layout.
pub(crate) fn quotes(platform: &SimulatedPlatform) -> Vec<Vec<u8>> {
    [QuoteVersion::V4, QuoteVersion::V5]
        .map(|version| platform.quote(version, &platform.td(), &[0x42; 64]))
        .to_vec()
}
