//! Access tokens that were looked up a moment ago: a client sends its own with every request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::Sha256Digest;

use super::AccessGrant;

/// A revocation that another process made is heeded within this.
pub(super) const KEPT_MS: u64 = 1_000;
/// More clients than this in a second look theirs up again.
const KEPT_MAX: usize = 4_096;

/// What they stand for. Nothing is kept of those that stand for nothing.
#[derive(Debug, Default)]
pub(super) struct Grants(Mutex<HashMap<Sha256Digest, Known>>);

#[derive(Debug)]
struct Known {
    grant: AccessGrant,
    read_ms: u64,
}

impl Grants {
    pub(super) fn known(&self, sha256: Sha256Digest, now_ms: u64) -> Option<AccessGrant> {
        let mut grants = self.lock();
        let known = grants.get(&sha256)?;
        // A clock that was set back makes it too old.
        let age_ms = now_ms.checked_sub(known.read_ms);
        if age_ms.is_some_and(|age_ms| age_ms < KEPT_MS) {
            return Some(known.grant.clone());
        }
        grants.remove(&sha256);
        None
    }

    /// `now_ms`: from before it was read.
    pub(super) fn keep(&self, sha256: Sha256Digest, grant: AccessGrant, now_ms: u64) {
        let mut grants = self.lock();
        if grants.len() >= KEPT_MAX {
            grants.clear();
        }
        let known = Known {
            grant,
            read_ms: now_ms,
        };
        grants.insert(sha256, known);
    }

    /// One was revoked.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sha256Digest, Known>> {
        // Each change is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AccessRole, AccessTokenId};

    fn grant() -> AccessGrant {
        AccessGrant {
            id: AccessTokenId(1),
            user: "alice".parse().unwrap(),
            role: AccessRole::Client,
        }
    }

    #[test]
    fn a_grant_is_known_for_a_moment_and_not_before_it_was_read() {
        let (grants, sha256) = (Grants::default(), Sha256Digest::of(b"ccn_"));
        assert_eq!(grants.known(sha256, 5_000), None);
        grants.keep(sha256, grant(), 5_000);
        let known = |now_ms| grants.known(sha256, now_ms).is_some();
        assert_eq!(
            [5_000, 5_999, 6_000, 5_999].map(known),
            [true, true, false, false]
        );
        grants.keep(sha256, grant(), 5_000);
        assert_eq!([4_999, 5_000].map(known), [false, false], "set back");
        grants.keep(sha256, grant(), 5_000);
        assert_eq!(grants.known(Sha256Digest::of(b"other"), 5_000), None);
        grants.forget();
        assert!(!known(5_000));
    }

    #[test]
    fn many_are_not_kept() {
        let grants = Grants::default();
        for number in 0..=KEPT_MAX {
            grants.keep(Sha256Digest::of(&number.to_le_bytes()), grant(), 0);
        }
        assert!(grants.lock().len() <= KEPT_MAX);
    }
}
