//! Certificates and OCSP responses come again with every attestation, unchanged. A signature on one that was verified once need
//! not be verified again.
//!
//! Whether a signature verifies depends on key, message and signature and on nothing else: no time, no policy, no state. What is
//! remembered is SHA-256 over all three of each signature that did verify. So what the memo accepts, verification accepted, byte
//! for byte; anything else would be a collision of SHA-256. Failures are not remembered, and neither is what follows from a
//! signature: names, dates, rights and revocation are judged anew each time. A report's own signature never comes here.

use std::{
    collections::HashSet,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::p384::{self, SignatureInvalid};
use crate::digest::sha256;

/// For 10,000 workers of 8 GPUs, 8 signatures each: two certificates of the GPU's own, three OCSP responses, and room for
/// switches and for responses that newer ones replaced. Full, the table takes 33 MiB.
const SIGNATURES_MAX: usize = 10_000 * 8 * 8;

/// The signatures that were verified, or most of them: a full memo is emptied. That costs time and never an answer, so nobody
/// gains by filling it; and only signatures by keys that the root vouches for come here, for chains are verified from the root
/// down and OCSP responses after the chain.
#[derive(Default)]
pub(super) struct SignatureMemo {
    verified: Mutex<HashSet<[u8; 32]>>,
}

impl SignatureMemo {
    /// As [`p384::verify_der`], which is asked unless it accepted these very bytes before.
    pub(super) fn verify_der(
        &self,
        point: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureInvalid> {
        let id = id(point, message, signature);
        if self.verified().contains(&id) {
            return Ok(());
        }
        p384::verify_der(point, message, signature)?;
        self.remember(id);
        Ok(())
    }

    fn remember(&self, id: [u8; 32]) {
        let mut verified = self.verified();
        if verified.len() >= SIGNATURES_MAX {
            verified.clear();
        }
        verified.insert(id);
    }

    /// A thread that panicked here leaves a set all the same, and every member was put in after its verification.
    fn verified(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SignatureMemo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SignatureMemo({})", self.verified().len())
    }
}

/// Each part behind its length, so that no byte can pass from one to the next.
fn id(point: &[u8], message: &[u8], signature: &[u8]) -> [u8; 32] {
    sha256(&[
        &point.len().to_be_bytes(),
        point,
        &message.len().to_be_bytes(),
        message,
        &signature.len().to_be_bytes(),
        signature,
    ])
}

#[cfg(test)]
mod tests;
