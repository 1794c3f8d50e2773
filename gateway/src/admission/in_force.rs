//! What appraisals are made under now: the appraisal policy, and each platform family's collateral. Both are replaced while
//! sessions are open; a verdict carries its [`Grounds`], so that anyone can tell whether it was reached under others.

use std::sync::{Arc, PoisonError, RwLock};

use attestation::{AppraisalPolicy, Family, gpu::VerifiedReferences};
use protocol::Sha256Digest;
use tokio::sync::watch;

use super::collateral::CollateralShelf;
use crate::store::Document;

/// What a verdict was reached under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grounds {
    /// SHA-256 of the appraisal policy's text.
    pub(crate) policy: Sha256Digest,
    pub(super) family: Family,
    /// SHA-256 of the family's collateral.
    pub(super) collateral: Sha256Digest,
}

/// Policy and collateral, shared by whoever appraises and whoever holds a verdict.
#[derive(Debug)]
pub(crate) struct InForce {
    policy: RwLock<Arc<PolicyInForce>>,
    pub(crate) collateral: Arc<CollateralShelf>,
    references: RwLock<Arc<VerifiedReferences>>,
    replacements: Replacements,
}

/// The appraisal policy with its text, as records keep it.
#[derive(Debug)]
pub(crate) struct PolicyInForce {
    pub(crate) policy: AppraisalPolicy,
    pub(crate) document: Document,
}

/// Counts what is replaced. A receiver misses none, whenever it looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Replacements(watch::Sender<u64>);

impl Replacements {
    pub(super) fn count(&self) {
        self.0.send_modify(|count| *count = count.saturating_add(1));
    }
}

impl InForce {
    pub(crate) fn new(policy: AppraisalPolicy) -> Self {
        let replacements = Replacements::default();
        Self {
            policy: RwLock::new(Arc::new(policy.into())),
            collateral: Arc::new(CollateralShelf::new(replacements.clone())),
            references: RwLock::default(),
            replacements,
        }
    }

    pub(crate) fn policy(&self) -> Arc<PolicyInForce> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// NVIDIA's reference manifests.
    pub(crate) fn references(&self) -> Arc<VerifiedReferences> {
        Arc::clone(
            &self
                .references
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// What is admitted already stands until it is due to attest: a manifest that is new takes nothing back.
    pub(crate) fn replace_references(&self, references: VerifiedReferences) {
        *self
            .references
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(references);
    }

    pub(crate) fn replace_policy(&self, policy: AppraisalPolicy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy.into());
        self.replacements.count();
    }

    /// How often something was replaced; changes after each time.
    pub(crate) fn replacements(&self) -> watch::Receiver<u64> {
        self.replacements.0.subscribe()
    }

    /// Whether the policy was replaced since a verdict on these grounds was reached: then nothing may rest on it before its
    /// evidence is appraised again.
    pub(crate) fn is_policy_replaced(&self, grounds: &Grounds) -> bool {
        self.policy().document.sha256 != grounds.policy
    }

    /// Whether evidence that was accepted on these grounds is to be appraised again. What was accepted stands until the verdict
    /// where only collateral is newer: Intel issues it daily, mostly to say the same. Collateral that is gone leaves nothing to
    /// appraise with.
    pub(crate) fn is_outdated(&self, grounds: &Grounds) -> bool {
        let collateral = self.collateral.digest(grounds.family);
        self.is_policy_replaced(grounds)
            || collateral.is_some_and(|digest| digest != grounds.collateral)
    }
}

impl From<AppraisalPolicy> for PolicyInForce {
    fn from(policy: AppraisalPolicy) -> Self {
        Self {
            document: Document::new(policy.text()),
            policy,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use simulator::{CollateralOptions, SimulatedPlatform};

    use super::*;

    pub(crate) const NOW_S: u64 = 1_700_000_000;
    const FAMILY: Family = Family {
        fmspc: simulator::FMSPC,
        ca: attestation::PckCa::Platform,
    };

    /// What is in force before anything was read, and grounds that stand on it.
    pub(crate) fn in_force() -> (Arc<InForce>, Grounds) {
        let policy = SimulatedPlatform::from_seed(1).policy_toml();
        let in_force = InForce::new(AppraisalPolicy::from_toml(&policy).unwrap());
        let grounds = Grounds {
            policy: in_force.policy().document.sha256,
            family: FAMILY,
            collateral: Sha256Digest::of(b"what it was verified with"),
        };
        (Arc::new(in_force), grounds)
    }

    /// Collateral as it was issued at some time.
    pub(crate) fn replace_collateral(in_force: &InForce, now_s: u64) -> Vec<Family> {
        let platform = SimulatedPlatform::from_seed(1);
        let collateral = platform.collateral(&CollateralOptions::at(now_s));
        let read = BTreeMap::from([(FAMILY, collateral)]);
        in_force.collateral.replace(read, true)
    }

    /// The policy in force with a comment more.
    pub(crate) fn another_policy(in_force: &InForce) -> AppraisalPolicy {
        let text = format!("{}# again\n", in_force.policy().document.text);
        AppraisalPolicy::from_toml(&text).unwrap()
    }

    #[test]
    fn a_verdict_is_outdated_once_its_policy_or_its_collateral_is_replaced() {
        let (in_force, mut grounds) = in_force();
        let replacements = in_force.replacements();
        assert!(!in_force.is_outdated(&grounds), "there is no collateral");
        assert_eq!(replace_collateral(&in_force, NOW_S), [grounds.family]);
        assert!(in_force.is_outdated(&grounds));
        grounds.collateral = in_force.collateral.digest(grounds.family).unwrap();
        assert!(!in_force.is_outdated(&grounds));

        assert!(replace_collateral(&in_force, NOW_S).is_empty());
        assert!(!in_force.is_outdated(&grounds), "the same again");
        assert_eq!(replace_collateral(&in_force, NOW_S + 1), [grounds.family]);
        assert!(in_force.is_outdated(&grounds));
        assert!(!in_force.is_policy_replaced(&grounds));
        in_force.collateral.replace(BTreeMap::new(), true);
        assert!(!in_force.is_outdated(&grounds), "gone, not replaced");

        let before = *replacements.borrow();
        in_force.replace_policy(another_policy(&in_force));
        assert!(in_force.is_outdated(&grounds) && in_force.is_policy_replaced(&grounds));
        assert_eq!(*replacements.borrow(), before + 1);
    }
}
