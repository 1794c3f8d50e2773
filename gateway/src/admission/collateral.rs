//! The collateral at hand, by platform family. Filled in the background; an appraisal takes what is there, and notes what it
//! missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use attestation::{Collateral, Family};
use pccs::limits::WANTED_FAMILIES_MAX;
use tokio::sync::Notify;

/// Collateral for TDs, by FMSPC and CA.
#[derive(Debug, Default)]
pub(crate) struct CollateralShelf {
    families: RwLock<BTreeMap<Family, Arc<Collateral>>>,
    missed: Mutex<BTreeSet<Family>>,
    was_missed: Notify,
}

impl CollateralShelf {
    /// Puts everything that was read in place of what was there. Where not all could be read, a family that is missing keeps
    /// what it had: a file that is just being written must not cut sessions, and what is past its end is refused at its use.
    pub(crate) fn replace(&self, read: BTreeMap<Family, Collateral>, is_complete: bool) {
        let read = read
            .into_iter()
            .map(|(family, collateral)| (family, Arc::new(collateral)));
        let mut known = self
            .families
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if is_complete {
            known.clear();
        }
        known.extend(read);
    }

    pub(crate) fn find(&self, family: Family) -> Option<Arc<Collateral>> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        families.get(&family).map(Arc::clone)
    }

    /// Everything at hand.
    pub(crate) fn all(&self) -> BTreeMap<Family, Arc<Collateral>> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        families.clone()
    }

    pub(crate) fn families_count(&self) -> usize {
        self.families
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// When the earliest must have been renewed, seconds since the Unix epoch.
    pub(crate) fn next_update_s(&self) -> Option<u64> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        families
            .values()
            .map(|collateral| collateral.next_update_s())
            .min()
    }

    /// A worker was refused for want of this family. Beyond a few that wait it is forgotten: the worker comes again.
    pub(crate) fn miss(&self, family: Family) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if missed.len() < WANTED_FAMILIES_MAX && missed.insert(family) {
            self.was_missed.notify_one();
        }
    }

    /// What was missed since it was last asked, as soon as there is something.
    pub(crate) async fn missed(&self) -> BTreeSet<Family> {
        self.was_missed.notified().await;
        std::mem::take(&mut self.missed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use simulator::{CollateralOptions, SimulatedPlatform};

    use super::*;

    fn read() -> BTreeMap<Family, Collateral> {
        let collateral =
            SimulatedPlatform::from_seed(1).collateral(&CollateralOptions::at(1_700_000_000));
        BTreeMap::from([(collateral.family().unwrap(), collateral)])
    }

    #[test]
    fn what_cannot_be_read_for_a_moment_takes_nothing_away() {
        let shelf = CollateralShelf::default();
        shelf.replace(read(), true);
        shelf.replace(BTreeMap::new(), false);
        assert_eq!(shelf.families_count(), 1);
        shelf.replace(read(), false);
        assert_eq!(shelf.families_count(), 1);
        // Taken out of the folder, it is gone.
        shelf.replace(BTreeMap::new(), true);
        assert_eq!(shelf.families_count(), 0);
    }

    #[tokio::test]
    async fn what_was_missed_is_said_once_and_bounded() {
        let shelf = CollateralShelf::default();
        for number in 0..=u8::MAX {
            for _ in 0..3 {
                shelf.miss(Family {
                    fmspc: [number; 6],
                    ca: attestation::PckCa::Platform,
                });
            }
        }
        assert_eq!(shelf.missed().await.len(), WANTED_FAMILIES_MAX);
        let (family, _) = read().pop_first().unwrap();
        shelf.miss(family);
        assert_eq!(shelf.missed().await, BTreeSet::from([family]));
    }
}
