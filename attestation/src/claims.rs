//! The worker's claims about itself: deterministic CBOR that report data covers.
//!
//! A map with integer keys (the numbers below), definite lengths and shortest integers (RFC 8949, section 4.2.1).
//! Decoding accepts exactly what encoding writes.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::evidence::CLAIMS_BYTES_MAX;

/// Longest name, version or UUID.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest `SubjectPublicKeyInfo`: a P-256 key has 91 bytes.
pub const SPKI_BYTES_MAX: usize = 512;
/// cuBLASLt, the driver, and a few more.
pub const LIBRARIES_COUNT_MAX: usize = 32;
/// The largest servers carry sixteen.
pub const GPUS_COUNT_MAX: usize = 16;

/// What a worker says of itself. True only as far as the measured agent tells the truth; the quote covers it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Claims {
    /// The enrolled worker's name.
    #[n(0)]
    pub worker_id: String,
    /// `HMAC-SHA-256(enrolment secret, binding value)`, see [`crate::enrolment_mac`].
    #[cbor(n(1), with = "minicbor::bytes")]
    #[serde(with = "hex::serde")]
    pub enrolment_mac: [u8; 32],
    /// `SubjectPublicKeyInfo` (DER) of the key that signs receipts; made in the TD, not the TLS key.
    #[cbor(n(2), with = "minicbor::bytes")]
    #[serde(with = "hex::serde")]
    pub receipt_key_spki: Vec<u8>,
    /// SHA-256 of the agent's executable.
    #[cbor(n(3), with = "minicbor::bytes")]
    #[serde(with = "hex::serde")]
    pub agent_digest: [u8; 32],
    /// SHA-256 of the agent's configuration file.
    #[cbor(n(4), with = "minicbor::bytes")]
    #[serde(with = "hex::serde")]
    pub configuration_digest: [u8; 32],
    /// SHA-256 of the module that holds the operations' kernels.
    #[cbor(n(5), with = "minicbor::bytes")]
    #[serde(with = "hex::serde")]
    pub module_digest: [u8; 32],
    /// The libraries that computation depends on: driver, cuBLASLt.
    #[n(6)]
    pub libraries: Vec<LibraryClaim>,
    /// The GPUs that tasks run on; empty where the CPU computes.
    #[n(7)]
    pub gpus: Vec<GpuClaim>,
    /// The Linux boot id (16 bytes of its UUID).
    #[cbor(n(8), with = "minicbor::bytes")]
    #[serde(with = "hex::serde")]
    pub boot_id: [u8; 16],
    /// Number of this attestation since the agent started, from 0.
    #[n(9)]
    pub sequence: u64,
    /// What runs the tasks.
    #[n(10)]
    pub executor: ExecutorKind,
}

/// A library with its version and the SHA-256 of its file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct LibraryClaim {
    /// Its name, such as `libcublasLt`.
    #[n(0)]
    pub name: String,
    /// Its version, as it says itself.
    #[n(1)]
    pub version: String,
    /// SHA-256 of its file.
    #[cbor(n(2), with = "minicbor::bytes")]
    #[serde(with = "hex::serde")]
    pub digest: [u8; 32],
}

/// A GPU that the worker computes on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct GpuClaim {
    /// `GPU-…`, as NVML gives it.
    #[n(0)]
    pub uuid: String,
    /// Product name, as NVML gives it.
    #[n(1)]
    pub name: String,
}

/// What runs a worker's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum ExecutorKind {
    /// The CPU definitions of the operations.
    #[n(0)]
    Cpu,
    /// CUDA kernels.
    #[n(1)]
    Cuda,
}

impl Claims {
    /// The content bytes of the collection's `claims` member. Refuses what [`Claims::decode`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, ClaimsError> {
        self.limits()?;
        let bytes = self.to_cbor();
        if bytes.len() > CLAIMS_BYTES_MAX {
            return Err(ClaimsError::TooLong(bytes.len()));
        }
        Ok(bytes)
    }

    /// Decode the content bytes of the `claims` member.
    pub fn decode(bytes: &[u8]) -> Result<Self, ClaimsError> {
        if bytes.len() > CLAIMS_BYTES_MAX {
            return Err(ClaimsError::TooLong(bytes.len()));
        }
        let claims: Self = minicbor::decode(bytes).map_err(ClaimsError::Cbor)?;
        claims.limits()?;
        if claims.to_cbor() != bytes {
            return Err(ClaimsError::NotDeterministic);
        }
        Ok(claims)
    }

    fn to_cbor(&self) -> Vec<u8> {
        // Writing to a vector cannot fail, and no field has an encoder that can.
        minicbor::to_vec(self).unwrap_or_default()
    }

    fn limits(&self) -> Result<(), ClaimsError> {
        count("libraries", self.libraries.len(), LIBRARIES_COUNT_MAX)?;
        count("gpus", self.gpus.len(), GPUS_COUNT_MAX)?;
        count(
            "receipt_key_spki",
            self.receipt_key_spki.len(),
            SPKI_BYTES_MAX,
        )?;
        text("worker_id", &self.worker_id)?;
        for library in &self.libraries {
            text("libraries.name", &library.name)?;
            text("libraries.version", &library.version)?;
        }
        for gpu in &self.gpus {
            text("gpus.uuid", &gpu.uuid)?;
            text("gpus.name", &gpu.name)?;
        }
        Ok(())
    }
}

/// Printable ASCII only: these strings end up in logs, tables and terminals.
fn text(field: &'static str, value: &str) -> Result<(), ClaimsError> {
    count(field, value.len(), NAME_BYTES_MAX)?;
    if value.is_empty() || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(ClaimsError::Text(field));
    }
    Ok(())
}

fn count(field: &'static str, count: usize, max: usize) -> Result<(), ClaimsError> {
    if count > max {
        Err(ClaimsError::Limit { field, count, max })
    } else {
        Ok(())
    }
}

/// Why bytes are not claims.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// The whole is too long.
    #[error("claims of {0} bytes exceed {CLAIMS_BYTES_MAX}")]
    TooLong(usize),
    /// A field is too long or has too many entries.
    #[error("claim {field} has {count} entries or bytes, more than {max}")]
    Limit {
        /// Which one.
        field: &'static str,
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// A text is empty or holds more than printable ASCII.
    #[error("claim {0} is empty or not printable ASCII")]
    Text(&'static str),
    /// The same claims have another, deterministic encoding.
    #[error("the claims are not in deterministic CBOR, or bytes follow them")]
    NotDeterministic,
    /// Not CBOR, or of another shape.
    #[error("the claims are not CBOR of the expected shape")]
    Cbor(#[source] minicbor::decode::Error),
}

#[cfg(test)]
mod tests;
