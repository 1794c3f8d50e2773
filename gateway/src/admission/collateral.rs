//! The collateral at hand, by platform family. Filled in the background; an appraisal takes what is there.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use attestation::{Collateral, Tee};
use protocol::Sha256Digest;

use super::in_force::Replacements;
use crate::store::Document;

/// Collateral by FMSPC and provisioning enclave.
#[derive(Debug, Default)]
pub(crate) struct CollateralShelf {
    families: RwLock<HashMap<Family, Arc<Shelved>>>,
    replacements: Replacements,
}

/// FMSPC and PCE id: which platforms a TCB info is for.
pub(crate) type Family = ([u8; 6], [u8; 2]);

/// One family's collateral, with its JSON as records keep it.
#[derive(Debug)]
pub(crate) struct Shelved {
    pub(crate) collateral: Collateral,
    pub(crate) document: Document,
}

impl CollateralShelf {
    pub(super) fn new(replacements: Replacements) -> Self {
        Self {
            families: RwLock::default(),
            replacements,
        }
    }

    /// Puts everything that was read in place of what was there. Of two for one family the later to expire stays. Where not
    /// all could be read, a family that is missing keeps what it had: a file that is just being written must not cut
    /// sessions, and what is past its end is refused at its use.
    ///
    /// Answers which families have other collateral now than they had, or had none: their sessions are appraised again.
    pub(crate) fn replace(&self, collateral: Vec<Collateral>, is_complete: bool) -> Vec<Family> {
        let mut families: HashMap<Family, Arc<Shelved>> = HashMap::new();
        for candidate in collateral {
            // Evidence here is a TD's; collateral for enclaves in the same folder is another's business.
            if candidate.tee() != Tee::Tdx {
                continue;
            }
            let family = (candidate.fmspc(), candidate.pce_id());
            let newer = families
                .get(&family)
                .is_none_or(|known| known.collateral.next_update_s() < candidate.next_update_s());
            // Collateral that was read can be written; what could not would be in no record.
            if newer && let Ok(json) = candidate.to_json() {
                let shelved = Shelved {
                    collateral: candidate,
                    document: Document::new(&json),
                };
                families.insert(family, Arc::new(shelved));
            }
        }
        let mut known = self
            .families
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let digest = |shelved: &Arc<Shelved>| shelved.document.sha256;
        let changed: Vec<_> = families
            .iter()
            .filter(|(family, now)| known.get(*family).map(digest) != Some(digest(now)))
            .map(|(family, _)| *family)
            .collect();
        if is_complete {
            *known = families;
        } else {
            known.extend(families);
        }
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

    pub(crate) fn find(&self, fmspc: [u8; 6], pce_id: [u8; 2]) -> Option<Arc<Shelved>> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        families.get(&(fmspc, pce_id)).map(Arc::clone)
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
}

#[cfg(test)]
mod tests {
    use simulator::{CollateralOptions, SimulatedPlatform};

    use super::*;

    #[test]
    fn what_cannot_be_read_for_a_moment_takes_nothing_away() {
        let read = || {
            let json = SimulatedPlatform::from_seed(1)
                .collateral_json(&CollateralOptions::at(1_700_000_000));
            vec![Collateral::from_json(json.as_ref()).unwrap()]
        };
        let shelf = CollateralShelf::default();
        shelf.replace(read(), true);
        shelf.replace(Vec::new(), false);
        assert_eq!(shelf.families_count(), 1);
        shelf.replace(read(), false);
        assert_eq!(shelf.families_count(), 1);
        // Taken out of the folder, it is gone.
        shelf.replace(Vec::new(), true);
        assert_eq!(shelf.families_count(), 0);
    }
}
