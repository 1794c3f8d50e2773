//! What ties evidence to one TLS connection: the binding, the report data and the GPU nonce.
//!
//! ```text
//! binding     = H( SPKI-DER(attester leaf) ‖ TLS-Exporter("Attestation", context, 32) )
//! aik_hash    = H( SPKI-DER(attester leaf) )
//! preimage    = "cocoon-attest/1 report-data" 0x00 ‖ role ‖ u8 len ‖ binding ‖ u8 len ‖ aik_hash
//!               ‖ SHA-256(SPKI-DER(peer leaf)) ‖ SHA-256(device evidence) ‖ SHA-256(claims)
//! report data = SHA-512(preimage)
//! gpu nonce   = SHA-256("cocoon-attest/1 gpu-nonce" 0x00 ‖ role ‖ u8 len ‖ binding ‖ SHA-256(SPKI-DER(peer leaf)))
//! ```
//!
//! `H` is the hash of the negotiated cipher suite. The exporter does not cover the client's certificate, so the
//! attester's key is hashed in; role and peer key stop reflection. After draft-fossati-seat-expat.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::digest::{sha256, sha384, sha512};

/// Opens every preimage; ends in NUL, so that no label is the beginning of another.
const REPORT_DATA_LABEL: &[u8] = b"cocoon-attest/1 report-data\0";
/// Opens what the GPU nonce hashes.
const GPU_NONCE_LABEL: &[u8] = b"cocoon-attest/1 gpu-nonce\0";
/// Peer key, device evidence and claims: three SHA-256 digests close every preimage.
const TAIL_BYTES: usize = 3 * 32;

/// Which end of the TLS connection attests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Role {
    /// The TLS client attests (the worker, in this pool).
    Client = 1,
    /// The TLS server attests.
    Server = 2,
}

impl Role {
    /// The role as it stands in a preimage.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Client => 0x01,
            Self::Server => 0x02,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Client),
            0x02 => Some(Self::Server),
            _ => None,
        }
    }
}

/// The hash of the negotiated TLS 1.3 cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuiteHash {
    /// `TLS_AES_128_GCM_SHA256`, `TLS_CHACHA20_POLY1305_SHA256`.
    Sha256,
    /// `TLS_AES_256_GCM_SHA384`.
    Sha384,
}

impl SuiteHash {
    /// Length of the digest in bytes.
    #[must_use]
    pub const fn len_byte(self) -> u8 {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256 => sha256(parts).to_vec(),
            Self::Sha384 => sha384(parts).to_vec(),
        }
    }
}

/// The facts of one connection that evidence is made for. Each side fills it from its own view of the connection;
/// nothing in it is ever read out of a peer's message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Which end attests.
    pub role: Role,
    /// Hash of the negotiated cipher suite.
    pub hash: SuiteHash,
    /// `TLS-Exporter("Attestation", context, 32)`, the context being the verifier's 32 random bytes.
    #[serde(with = "hex::serde")]
    pub exported: [u8; 32],
    /// `SubjectPublicKeyInfo` (DER) of the attester's leaf certificate.
    #[serde(with = "hex::serde")]
    pub attester_spki: Vec<u8>,
    /// `SubjectPublicKeyInfo` (DER) of the peer's leaf certificate.
    #[serde(with = "hex::serde")]
    pub peer_spki: Vec<u8>,
}

impl Binding {
    /// The binding value: 32 or 48 bytes, after the suite's hash.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        self.hash.digest(&[&self.attester_spki, &self.exported])
    }

    /// The attester's key, hashed with the suite's hash.
    #[must_use]
    pub fn attester_key_hash(&self) -> Vec<u8> {
        self.hash.digest(&[&self.attester_spki])
    }

    /// What the quote covers, in full. `device_evidence` and `claims` are the content bytes of those members of the
    /// CMW collection as sent; an absent member is the empty string.
    #[must_use]
    pub fn preimage(&self, device_evidence: &[u8], claims: &[u8]) -> Preimage {
        let length = [self.hash.len_byte()];
        let bytes = [
            REPORT_DATA_LABEL,
            &[self.role.byte()],
            &length,
            &self.value(),
            &length,
            &self.attester_key_hash(),
            &sha256(&[&self.peer_spki]),
            &sha256(&[device_evidence]),
            &sha256(&[claims]),
        ]
        .concat();
        Preimage(bytes)
    }

    /// The nonce that GPU evidence for this connection must carry.
    #[must_use]
    pub fn gpu_nonce(&self) -> [u8; 32] {
        sha256(&[
            GPU_NONCE_LABEL,
            &[self.role.byte(), self.hash.len_byte()],
            &self.value(),
            &sha256(&[&self.peer_spki]),
        ])
    }
}

/// The bytes that report data is the SHA-512 of: well-formed by construction.
///
/// The quote broker takes a preimage instead of report data, so that there is no call that signs 64 bytes of a
/// caller's choosing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preimage(Vec<u8>);

impl Preimage {
    /// Longest preimage: label, role, two SHA-384 digests with their lengths, three SHA-256 digests.
    pub const BYTES_MAX: usize = REPORT_DATA_LABEL.len() + 1 + 2 * (1 + 48) + TAIL_BYTES;

    /// Parse label and shape. Whether the digests inside mean anything is for the verifier to say.
    pub fn parse(bytes: &[u8]) -> Result<Self, PreimageError> {
        let rest = bytes
            .strip_prefix(REPORT_DATA_LABEL)
            .ok_or(PreimageError::Label)?;
        let (&role, rest) = rest.split_first().ok_or(PreimageError::Length)?;
        Role::from_byte(role).ok_or(PreimageError::Role(role))?;
        let (binding_length, rest) = split_digest(rest)?;
        let (key_length, rest) = split_digest(rest)?;
        if binding_length != key_length {
            return Err(PreimageError::DigestLength(key_length));
        }
        if rest.len() != TAIL_BYTES {
            return Err(PreimageError::Length);
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The preimage as it is sent to the broker.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The 64 bytes that the quote carries.
    #[must_use]
    pub fn report_data(&self) -> ReportData {
        ReportData(sha512(&[&self.0]))
    }
}

/// Take one length-prefixed digest off the front; answer its length and what follows it.
fn split_digest(bytes: &[u8]) -> Result<(u8, &[u8]), PreimageError> {
    let (&length, rest) = bytes.split_first().ok_or(PreimageError::Length)?;
    if !matches!(length, 32 | 48) {
        return Err(PreimageError::DigestLength(length));
    }
    let rest = rest
        .get(usize::from(length)..)
        .ok_or(PreimageError::Length)?;
    Ok((length, rest))
}

/// Why bytes are not a preimage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PreimageError {
    /// The label is another one, or is missing.
    #[error("the preimage does not open with the label of report data")]
    Label,
    /// The role is neither client nor server.
    #[error("role 0x{0:02x} is neither client (0x01) nor server (0x02)")]
    Role(u8),
    /// A digest has a length that no TLS 1.3 suite has, or the two lengths differ.
    #[error("a digest of {0} bytes does not fit a TLS 1.3 cipher suite")]
    DigestLength(u8),
    /// Bytes are missing or left over.
    #[error("the preimage is too short or too long for its shape")]
    Length,
}

/// The 64 bytes that a TD puts into its quote; here always `SHA-512(preimage)`. Also the attestation id.
///
/// Equality takes the same time whatever the values.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReportData(#[serde(with = "hex::serde")] pub [u8; 64]);

impl ReportData {
    /// The bytes as they stand in a quote.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl ConstantTimeEq for ReportData {
    fn ct_eq(&self, other: &Self) -> subtle::Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for ReportData {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for ReportData {}

impl fmt::Display for ReportData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ReportData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReportData({self})")
    }
}

#[cfg(test)]
mod tests;
