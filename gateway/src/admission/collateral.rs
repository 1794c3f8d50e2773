//! The collateral at hand, by platform family. Filled in the background; an appraisal takes what is there.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use attestation::{Collateral, Tee};

/// Collateral by FMSPC and provisioning enclave.
#[derive(Debug, Default)]
pub(crate) struct CollateralShelf {
    families: RwLock<HashMap<Family, Arc<Collateral>>>,
}

/// FMSPC and PCE id: which platforms a TCB info is for.
type Family = ([u8; 6], [u8; 2]);

impl CollateralShelf {
    /// Puts everything that was read in place of what was there. Of two for one family the later to expire stays. Where not
    /// all could be read, a family that is missing keeps what it had: a file that is just being written must not cut
    /// sessions, and what is past its end is refused at its use.
    pub(crate) fn replace(&self, collateral: Vec<Collateral>, is_complete: bool) {
        let mut families: HashMap<Family, Arc<Collateral>> = HashMap::new();
        for candidate in collateral {
            // Evidence here is a TD's; collateral for enclaves in the same folder is another's business.
            if candidate.tee() != Tee::Tdx {
                continue;
            }
            let family = (candidate.fmspc(), candidate.pce_id());
            let newer = families
                .get(&family)
                .is_none_or(|known| known.next_update_s() < candidate.next_update_s());
            if newer {
                families.insert(family, Arc::new(candidate));
            }
        }
        let mut known = self
            .families
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if is_complete {
            *known = families;
        } else {
            known.extend(families);
        }
    }

    pub(crate) fn find(&self, fmspc: [u8; 6], pce_id: [u8; 2]) -> Option<Arc<Collateral>> {
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
            .map(|collateral| collateral.next_update_s())
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
