//! The two verifiers that every verdict needs, each under the world's root.

use attestation::{
    AppraisalPolicy, Appraiser, Collateral, Verifier,
    gpu::{GpuReferences, GpuVerifier, VerifiedReferences},
};

use crate::World;

/// Verifies quotes and GPU reports.
#[derive(Debug)]
pub(crate) struct Verifiers {
    pub(crate) quotes: Verifier,
    pub(crate) gpus: GpuVerifier,
}

impl Verifiers {
    pub(crate) fn of(world: &World<'_>) -> Self {
        Self {
            quotes: Verifier::new(world.anchor.clone()),
            gpus: GpuVerifier::new(world.gpu_anchor.clone()),
        }
    }

    /// The manifests that verify, for [`Verifiers::appraiser`].
    pub(crate) fn references(&self, references: &GpuReferences) -> VerifiedReferences {
        VerifiedReferences::verify(references, self.gpus.anchor())
    }

    pub(crate) const fn appraiser<'a>(
        &'a self,
        policy: &'a AppraisalPolicy,
        collateral: &'a Collateral,
        references: &'a VerifiedReferences,
    ) -> Appraiser<'a> {
        Appraiser {
            verifier: &self.quotes,
            gpu_verifier: &self.gpus,
            policy,
            collateral,
            references,
        }
    }
}
