//! The collateral at hand, by platform family. Filled in the background; an appraisal takes what is there, and notes what it
//! missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use attestation::{Collateral, Family};
use pccs::limits::WANTED_FAMILIES_MAX;
use protocol::Sha256Digest;
use tokio::sync::Notify;

use super::in_force::Replacements;
use crate::store::Document;

/// Collateral for TDs, by FMSPC and CA.
#[derive(Debug, Default)]
pub(crate) struct CollateralShelf {
    families: RwLock<BTreeMap<Family, Arc<Shelved>>>,
    replacements: Replacements,
    missed: Mutex<BTreeSet<Family>>,
    was_missed: Notify,
}

/// One family's collateral, with its JSON as records keep it.
#[derive(Debug)]
pub(crate) struct Shelved {
    pub(crate) family: Family,
    pub(crate) collateral: Collateral,
    pub(crate) document: Document,
}

impl CollateralShelf {
    pub(super) fn new(replacements: Replacements) -> Self {
        Self {
            replacements,
            ..Self::default()
        }
    }

    /// Puts everything that was read in place of what was there. Where not all could be read, a family that is missing keeps
    /// what it had: a file that is just being written must not cut sessions, and what is past its end is refused at its use.
    ///
    /// Answers which families have other collateral now than they had, or had none: their sessions are appraised again.
    pub(crate) fn replace(
        &self,
        read: BTreeMap<Family, Collateral>,
        is_complete: bool,
    ) -> Vec<Family> {
        // Collateral that was read can be written; what could not would be in no record.
        let read: BTreeMap<_, _> = read
            .into_iter()
            .filter_map(|(family, collateral)| {
                let document = Document::new(&collateral.to_json().ok()?);
                let shelved = Shelved {
                    family,
                    collateral,
                    document,
                };
                Some((family, Arc::new(shelved)))
            })
            .collect();
        let mut known = self
            .families
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let digest = |shelved: &Arc<Shelved>| shelved.document.sha256;
        let changed: Vec<_> = read
            .iter()
            .filter(|(family, now)| known.get(*family).map(digest) != Some(digest(now)))
            .map(|(family, _)| *family)
            .collect();
        if is_complete {
            known.clear();
        }
        known.extend(read);
        drop(known);
        if !changed.is_empty() {
            self.replacements.count();
        }
        changed
    }

    /// SHA-256 of a family's collateral.
    pub(super) fn digest(&self, family: Family) -> Option<Sha256Digest> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        Some(families.get(&family)?.document.sha256)
    }

    pub(crate) fn find(&self, family: Family) -> Option<Arc<Shelved>> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        families.get(&family).map(Arc::clone)
    }

    /// Everything at hand.
    pub(crate) fn all(&self) -> BTreeMap<Family, Arc<Shelved>> {
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
            .map(|shelved| shelved.collateral.next_update_s())
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
