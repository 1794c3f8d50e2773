//! What a worker sends of its GPUs and switches: deterministic CBOR, the content of the `device-evidence` member.
//!
//! Maps with integer keys (the numbers below), definite lengths and shortest integers (RFC 8949, section 4.2.1).
//! Decoding accepts exactly what encoding writes. Nothing here is believed yet, and the mode never is more than the
//! measured agent's word.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{claims::NAME_BYTES_MAX, evidence::DEVICE_EVIDENCE_BYTES_MAX};

/// The largest servers carry eight GPUs and four switches, or sixteen GPUs.
pub const DEVICES_COUNT_MAX: usize = 16;
/// NVML's buffer for a report has 8 KiB (`NVML_CC_GPU_ATTESTATION_REPORT_SIZE`), the request of 37 bytes included.
pub const REPORT_BYTES_MAX: usize = 8 * 1024;
/// Real chains have five certificates.
pub const CERTIFICATES_COUNT_MAX: usize = 8;
/// Real certificates have 500 to 900 bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 2 * 1024;
/// One for each certificate that has an issuer in the chain.
pub const OCSP_RESPONSES_COUNT_MAX: usize = CERTIFICATES_COUNT_MAX;
/// A real response, with the certificate of its signer, has about 1 KiB.
pub const OCSP_RESPONSE_BYTES_MAX: usize = 4 * 1024;

// The member is the narrower limit: sixteen devices with all that a real one sends fit it, sixteen of the largest do not.
const _: () = assert!(DEVICES_COUNT_MAX * 11 * 1024 <= DEVICE_EVIDENCE_BYTES_MAX);

/// The reports of all devices of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeviceEvidence {
    /// In the agent's order; the order means nothing.
    #[n(0)]
    pub devices: Vec<DeviceReport>,
}

/// What one device says of itself, and what the agent adds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeviceReport {
    /// What the device is.
    #[n(0)]
    pub kind: DeviceKind,
    /// `GPU-…` or `SWX-…`, as NVML or NSCQ gives it. The report does not cover it.
    #[n(1)]
    pub uuid: String,
    /// SPDM request ‖ response, as NVML returns them: the device signs both.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub report: Vec<u8>,
    /// The device's certificates (DER), leaf first.
    #[cbor(n(3), with = "byte_strings")]
    pub certificates: Vec<Vec<u8>>,
    /// OCSP responses (DER) for these certificates, in any order; may be empty.
    #[cbor(n(4), with = "byte_strings")]
    pub ocsp_responses: Vec<Vec<u8>>,
    /// What NVML says of confidential computing on this machine.
    #[n(5)]
    pub mode: ConfidentialMode,
}

/// What a device is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum DeviceKind {
    /// A GPU.
    #[n(0)]
    Gpu,
    /// An NVSwitch.
    #[n(1)]
    NvSwitch,
}

/// NVML's `nvmlSystemConfComputeSettings_t`: the measured agent's word, not the device's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct ConfidentialMode {
    /// The confidential computing feature is on.
    #[n(0)]
    pub feature_on: bool,
    /// Developer tools are on: profilers and debuggers see the device's memory.
    #[n(1)]
    pub dev_tools_on: bool,
    /// How several GPUs form one confidential machine.
    #[n(2)]
    pub multi_gpu_mode: MultiGpuMode,
}

/// NVML's `nvmlConfComputeMultiGpuMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum MultiGpuMode {
    /// Each GPU stands alone.
    #[n(0)]
    None,
    /// Protected PCIe: NVLink between the GPUs is in clear, the switches are attested.
    #[n(1)]
    ProtectedPcie,
    /// Encrypted NVLink.
    #[n(2)]
    Nvle,
}

impl DeviceEvidence {
    /// The content bytes of the `device-evidence` member. Refuses what [`DeviceEvidence::decode`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, DeviceEvidenceError> {
        self.limits()?;
        let bytes = self.to_cbor();
        if bytes.len() > DEVICE_EVIDENCE_BYTES_MAX {
            return Err(DeviceEvidenceError::TooLong(bytes.len()));
        }
        Ok(bytes)
    }

    /// Decode the content bytes of the `device-evidence` member.
    pub fn decode(bytes: &[u8]) -> Result<Self, DeviceEvidenceError> {
        if bytes.len() > DEVICE_EVIDENCE_BYTES_MAX {
            return Err(DeviceEvidenceError::TooLong(bytes.len()));
        }
        let evidence: Self = minicbor::decode(bytes).map_err(DeviceEvidenceError::Cbor)?;
        evidence.limits()?;
        if evidence.to_cbor() != bytes {
            return Err(DeviceEvidenceError::NotDeterministic);
        }
        Ok(evidence)
    }

    fn to_cbor(&self) -> Vec<u8> {
        // Writing to a vector cannot fail, and no field has an encoder that can.
        minicbor::to_vec(self).unwrap_or_default()
    }

    fn limits(&self) -> Result<(), DeviceEvidenceError> {
        within("devices", self.devices.len(), DEVICES_COUNT_MAX)?;
        self.devices.iter().try_for_each(DeviceReport::limits)
    }
}

impl DeviceReport {
    /// The limits that hold in CBOR hold for a report from elsewhere too.
    pub(crate) fn limits(&self) -> Result<(), DeviceEvidenceError> {
        within("uuid", self.uuid.len(), NAME_BYTES_MAX)?;
        // Printable ASCII only: a UUID ends up in logs, tables and terminals.
        if !self.uuid.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
            return Err(DeviceEvidenceError::Uuid);
        }
        within("report", self.report.len(), REPORT_BYTES_MAX)?;
        within(
            "certificates",
            self.certificates.len(),
            CERTIFICATES_COUNT_MAX,
        )?;
        for certificate in &self.certificates {
            within("certificate", certificate.len(), CERTIFICATE_BYTES_MAX)?;
        }
        at_most(
            "ocsp_responses",
            self.ocsp_responses.len(),
            OCSP_RESPONSES_COUNT_MAX,
        )?;
        for response in &self.ocsp_responses {
            within("ocsp_response", response.len(), OCSP_RESPONSE_BYTES_MAX)?;
        }
        Ok(())
    }
}

/// Like [`at_most`], and not empty.
fn within(field: &'static str, count: usize, max: usize) -> Result<(), DeviceEvidenceError> {
    if count == 0 {
        return Err(DeviceEvidenceError::Empty(field));
    }
    at_most(field, count, max)
}

fn at_most(field: &'static str, count: usize, max: usize) -> Result<(), DeviceEvidenceError> {
    if count > max {
        return Err(DeviceEvidenceError::Limit { field, count, max });
    }
    Ok(())
}

/// A list of byte strings: minicbor writes a `Vec<u8>` inside a list as a list of numbers.
mod byte_strings {
    use minicbor::{
        Decoder, Encoder,
        bytes::ByteVec,
        decode::Error as DecodeError,
        encode::{Error as EncodeError, Write},
    };

    pub(super) fn encode<C, W: Write>(
        list: &[Vec<u8>],
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        encoder.array(list.iter().map(|_| 1_u64).sum())?;
        for bytes in list {
            encoder.bytes(bytes)?;
        }
        Ok(())
    }

    pub(super) fn decode<C>(
        decoder: &mut Decoder<'_>,
        context: &mut C,
    ) -> Result<Vec<Vec<u8>>, DecodeError> {
        let list: Vec<ByteVec> = decoder.decode_with(context)?;
        Ok(list.into_iter().map(ByteVec::into).collect())
    }
}

/// Why bytes are not device evidence.
#[derive(Debug, thiserror::Error)]
pub enum DeviceEvidenceError {
    /// The whole is too long.
    #[error("device evidence of {0} bytes exceeds {DEVICE_EVIDENCE_BYTES_MAX}")]
    TooLong(usize),
    /// A field is too long or has too many entries.
    #[error("{field} has {count} entries or bytes, more than {max}")]
    Limit {
        /// Which one.
        field: &'static str,
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// A field has nothing in it.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A UUID holds more than printable ASCII.
    #[error("a UUID is not printable ASCII")]
    Uuid,
    /// The same evidence has another, deterministic encoding.
    #[error("the device evidence is not in deterministic CBOR, or bytes follow it")]
    NotDeterministic,
    /// Not CBOR, or of another shape.
    #[error("the device evidence is not CBOR of the expected shape")]
    Cbor(#[source] minicbor::decode::Error),
}

#[cfg(test)]
mod tests;
