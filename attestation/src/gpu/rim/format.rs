//! The one place that knows which formats manifests come in.

use std::collections::BTreeMap;

use super::{
    MANIFEST_BYTES_MAX, ManifestKind, ReferenceMeasurement, RimError,
    signer::{self, Signer},
    swid::Swid,
};
use crate::{digest::sha384, gpu::p384::SIGNATURE_BYTES};

/// Every format, each with its own way to recognise its files.
const FORMATS: &[&dyn RimFormat] = &[&Swid];

/// A format of manifests.
pub(super) trait RimFormat {
    /// Whether a file claims to be in this format.
    fn recognises(&self, bytes: &[u8]) -> bool;

    /// Take a file apart without believing any of it.
    fn open(&self, bytes: &[u8]) -> Result<Envelope, RimError>;

    /// Read the payload of an envelope.
    fn read(&self, payload: &[u8]) -> Result<Contents, RimError>;
}

/// A manifest taken apart: what was signed, by whom it says, and what it carries.
pub(super) struct Envelope {
    /// In DER, the signer's first.
    pub(super) certificates: Vec<Vec<u8>>,
    /// The octets that the signature covers.
    pub(super) message: Vec<u8>,
    /// `r ‖ s` on P-384.
    pub(super) signature: [u8; SIGNATURE_BYTES],
    /// What the message says is the payload's SHA-384.
    pub(super) payload_digest: [u8; 48],
    /// The octets that are read when everything holds, and no others.
    pub(super) payload: Vec<u8>,
}

impl Envelope {
    /// The payload with its signer, once the message holds for the payload, the signer's chain leads to the root, and the
    /// signature holds for the message. The cheapest comes first.
    pub(super) fn verify(self, rim_root: &[u8]) -> Result<(Vec<u8>, Signer), RimError> {
        if sha384(&[&self.payload]) != self.payload_digest {
            return Err(RimError::DigestMismatch);
        }
        let signer = signer::follow(&self.certificates, rim_root)?;
        signer.verify(&self.message, &self.signature)?;
        Ok((self.payload, signer))
    }
}

/// What a manifest states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) kind: ManifestKind,
    pub(super) product: String,
    pub(super) version: String,
    pub(super) measurements: BTreeMap<u32, ReferenceMeasurement>,
}

/// The format of a file.
pub(super) fn of(bytes: &[u8]) -> Result<&'static dyn RimFormat, RimError> {
    if bytes.len() > MANIFEST_BYTES_MAX {
        return Err(RimError::TooLong {
            length_bytes: bytes.len(),
        });
    }
    let mut formats = FORMATS.iter().copied();
    formats
        .find(|format| format.recognises(bytes))
        .ok_or(RimError::FormatUnknown)
}
