//! The two values exported from a connection that every authenticator on it is made of.

use attestation::SuiteHash;
use ring::{digest, hmac};

use super::AuthenticatorError;
use crate::profile::PROFILE;

/// Handshake Context and Finished MAC Key of the client's authenticators (RFC 9261 section 5.1), and the transcripts over
/// them. Both are fixed for the life of a connection: the exporter does not change with key updates.
pub(crate) struct AuthenticatorKeys {
    hash: &'static digest::Algorithm,
    handshake_context: Vec<u8>,
    finished_key: hmac::Key,
}

impl std::fmt::Debug for AuthenticatorKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthenticatorKeys").finish_non_exhaustive()
    }
}

/// A hash over the messages of an exchange so far.
pub(crate) type TranscriptHash = digest::Digest;

impl AuthenticatorKeys {
    /// Derives both values through `export`, which fills a buffer from the connection's exporter under a label and no
    /// context.
    pub(crate) fn derive(
        hash: SuiteHash,
        export: impl Fn(&[u8], &mut [u8]) -> Result<(), AuthenticatorError>,
    ) -> Result<Self, AuthenticatorError> {
        let (hash, mac) = match hash {
            SuiteHash::Sha256 => (&digest::SHA256, hmac::HMAC_SHA256),
            SuiteHash::Sha384 => (&digest::SHA384, hmac::HMAC_SHA384),
        };
        let mut handshake_context = vec![0; hash.output_len()];
        export(PROFILE.handshake_context_label, &mut handshake_context)?;
        let mut finished_key = zeroize::Zeroizing::new(vec![0; hash.output_len()]);
        export(PROFILE.finished_key_label, &mut finished_key)?;
        Ok(Self {
            hash,
            handshake_context,
            finished_key: hmac::Key::new(mac, &finished_key),
        })
    }

    /// `Hash(Handshake Context ‖ messages…)`.
    pub(crate) fn transcript(&self, messages: &[&[u8]]) -> TranscriptHash {
        let mut context = digest::Context::new(self.hash);
        context.update(&self.handshake_context);
        for message in messages {
            context.update(message);
        }
        context.finish()
    }

    /// The MAC of `Finished` (RFC 9261 section 5.2.3).
    pub(crate) fn finished(&self, transcript: &TranscriptHash) -> hmac::Tag {
        hmac::sign(&self.finished_key, transcript.as_ref())
    }

    /// Compares in constant time.
    pub(crate) fn verify_finished(
        &self,
        transcript: &TranscriptHash,
        mac: &[u8],
    ) -> Result<(), AuthenticatorError> {
        hmac::verify(&self.finished_key, transcript.as_ref(), mac)
            .map_err(|_| AuthenticatorError::Finished)
    }
}

/// What the signature of `CertificateVerify` covers (RFC 8446 section 4.4.3, with the context string of RFC 9261).
pub(crate) fn signed_content(transcript: &TranscriptHash) -> Vec<u8> {
    let mut content = vec![0x20; 64];
    content.extend_from_slice(PROFILE.signature_context);
    content.push(0);
    content.extend_from_slice(transcript.as_ref());
    content
}
