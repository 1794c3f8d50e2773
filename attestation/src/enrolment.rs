//! What the relying party knows of a worker beforehand: its enrolment secret, and where its platform stands.

use std::fmt;

use ring::hmac;
use zeroize::Zeroizing;

use crate::Binding;

/// A shorter secret proves nothing, since it could be guessed; the empty one, nothing at all. The pool's own have 32 bytes.
pub const SECRET_BYTES_MIN: usize = 16;

/// A worker's enrolment secret. Prints nothing, compares nothing, is wiped when dropped.
#[derive(Clone)]
pub struct EnrolmentSecret(Zeroizing<Vec<u8>>);

impl EnrolmentSecret {
    /// Take the secret's bytes over. Fewer than [`SECRET_BYTES_MIN`] admit nobody.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Verify that `mac` was made with this secret for this very connection, where no appraisal follows.
    pub fn verify(&self, mac: &[u8; 32], binding: &Binding) -> Result<(), EnrolmentMacMismatch> {
        if self.made(mac, binding) {
            Ok(())
        } else {
            Err(EnrolmentMacMismatch)
        }
    }

    /// Whether `mac` was made with this secret for this very connection; takes the same time whatever the answer.
    pub(crate) fn made(&self, mac: &[u8; 32], binding: &Binding) -> bool {
        self.0.len() >= SECRET_BYTES_MIN
            && hmac::verify(&key(&self.0), &binding.value(), mac).is_ok()
    }
}

/// The peer does not prove the enrolment secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the enrolment MAC was not made with the worker's secret for this connection")]
pub struct EnrolmentMacMismatch;

impl fmt::Debug for EnrolmentSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EnrolmentSecret(..)")
    }
}

/// `HMAC-SHA-256(secret, binding value)`: proves a stable worker identity while keys change at each start.
#[must_use]
pub fn enrolment_mac(secret: &[u8], binding: &Binding) -> [u8; 32] {
    let tag = hmac::sign(&key(secret), &binding.value());
    let mut mac = [0; 32];
    mac.copy_from_slice(tag.as_ref());
    mac
}

fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

/// Where a platform stands in the relying party's registry, beside what the appraisal policy says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformStanding {
    /// Nothing stands against this worker on this platform.
    Admissible,
    /// The worker is enrolled for another platform.
    Foreign,
    /// The platform was taken out of the pool.
    Revoked,
}

/// The relying party's register of workers. Both answers are required: there is no default that accepts.
pub trait Enrolment {
    /// The secret of the worker of that name; `None` if there is no such worker.
    fn secret(&self, worker_id: &str) -> Option<EnrolmentSecret>;

    /// Where the platform with that PPID (16 bytes, from the PCK certificate) stands for that worker.
    fn platform(&self, worker_id: &str, ppid: &[u8; 16]) -> PlatformStanding;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Role, SuiteHash};

    #[test]
    fn a_mac_holds_for_one_secret_and_one_connection() {
        let binding = Binding {
            role: Role::Client,
            hash: SuiteHash::Sha256,
            exported: [1; 32],
            attester_spki: vec![2; 91],
            peer_spki: vec![3; 91],
        };
        let mac = enrolment_mac(&[1; 32], &binding);
        let other = Binding {
            exported: [9; 32],
            ..binding.clone()
        };
        assert!(EnrolmentSecret::new(vec![1; 32]).made(&mac, &binding));
        let verify = |byte| EnrolmentSecret::new(vec![byte; 32]).verify(&mac, &binding);
        assert_eq!((verify(1), verify(2)), (Ok(()), Err(EnrolmentMacMismatch)));
        for guessable in [&[][..], &[1; 15]] {
            let mac = enrolment_mac(guessable, &binding);
            assert!(!EnrolmentSecret::new(guessable.to_vec()).made(&mac, &binding));
        }
        assert!(!EnrolmentSecret::new(vec![1; 32]).made(&mac, &other));
        assert!(!EnrolmentSecret::new(vec![2; 32]).made(&mac, &binding));
    }

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        assert_eq!(
            format!("{:?}", EnrolmentSecret::new(b"hunter2".to_vec())),
            "EnrolmentSecret(..)"
        );
    }
}
