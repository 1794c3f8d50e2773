//! Why a device's evidence is refused: one variant per refusal, each with its stable code.

use std::collections::BTreeSet;

use crate::{ErrorCode, rfc_3339};

use super::{
    Architecture, ChainError, DeviceEvidenceError, DeviceKind, OcspError, ReportError,
    rim::RimError,
};

/// Why a device's evidence does not verify. Variants stand in the order in which they are looked at.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// It is larger than a device's evidence may be.
    #[error("the device's evidence exceeds its limits")]
    Limits(#[source] DeviceEvidenceError),
    /// The report does not parse.
    #[error("the report does not parse")]
    Report(#[source] ReportError),
    /// The certificates do not lead to the root.
    #[error("the certificate chain does not hold")]
    Chain(#[source] ChainError),
    /// The evidence says GPU, and the certificates are a switch's, or the other way round.
    #[error("the certificates are those of a {architecture} device, not of a {claimed}")]
    Kind {
        /// What the evidence says.
        claimed: DeviceKind,
        /// What the certificates say.
        architecture: Architecture,
    },
    /// The leaf's key did not sign the report.
    #[error("the report's signature does not verify")]
    Signature,
    /// The report names another firmware than the leaf, or the leaf names none.
    #[error("the report is of firmware {report}, the certificate of {certificate}")]
    FirmwareId {
        /// In the report.
        report: String,
        /// In the certificate, or `none`.
        certificate: String,
    },
    /// The report answers another request.
    #[error("the report answers nonce {found}, not {wanted}")]
    Nonce {
        /// In the report.
        found: String,
        /// What the verifier wants.
        wanted: String,
    },
    /// A stapled OCSP response does not hold, or says that a certificate is revoked.
    #[error("stapled OCSP response {response} is refused")]
    Ocsp {
        /// Its place among the stapled ones.
        response: usize,
        /// What is wrong.
        source: OcspError,
    },
    /// A certificate has no OCSP response, and the policy demands one.
    #[error("no OCSP response for certificate {certificate} is stapled")]
    OcspMissing {
        /// Its place in the chain.
        certificate: usize,
    },
    /// The responder does not know a certificate, and the policy demands that it is good.
    #[error("the OCSP responder does not know certificate {certificate}")]
    OcspUnknown {
        /// Its place in the chain.
        certificate: usize,
    },
    /// A certificate's good OCSP response is out of date, beyond the policy's grace.
    #[error(
        "the OCSP response for certificate {certificate} was good until {}, long before {}",
        rfc_3339(*next_update_s), rfc_3339(*now_s)
    )]
    OcspExpired {
        /// The certificate's place in the chain.
        certificate: usize,
        /// The response's end, in seconds since the Unix epoch.
        next_update_s: u64,
        /// The time of appraisal.
        now_s: u64,
    },
    /// Manifests of reference measurements are missing.
    #[error("the reference manifests {} are not there", .0.join(", "))]
    ReferencesMissing(Vec<String>),
    /// A manifest of reference measurements does not verify.
    #[error("reference manifest {id} cannot be used")]
    Reference {
        /// Its identifier.
        id: String,
        /// What is wrong.
        source: RimError,
    },
    /// A manifest describes something else than its identifier says.
    #[error("reference manifest {id} is one of a {found}")]
    ReferenceForeign {
        /// Its identifier.
        id: String,
        /// What it describes.
        found: String,
    },
    /// Two manifests claim the same measurements.
    #[error("the reference manifests overlap at indices {0:?}")]
    ReferenceOverlap(BTreeSet<u32>),
    /// No manifest demands any measurement.
    #[error("the reference manifests demand no measurement")]
    ReferenceEmpty,
    /// Measurements are not those that NVIDIA describes, or are not there.
    #[error("the measurements at indices {0:?} are not those of the reference manifests")]
    Measurements(BTreeSet<u32>),
}

impl GpuError {
    /// The stable code of this refusal.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Limits(_) | Self::Report(_) | Self::Kind { .. } => {
                ErrorCode::GpuEvidenceMalformed
            }
            Self::Chain(ChainError::Chip(_)) => ErrorCode::GpuArchitectureNotAllowed,
            Self::Chain(_) => ErrorCode::GpuChainInvalid,
            Self::Signature => ErrorCode::GpuReportSignatureInvalid,
            Self::FirmwareId { .. } => ErrorCode::GpuFirmwareIdMismatch,
            Self::Nonce { .. } => ErrorCode::GpuNonceMismatch,
            Self::Ocsp { source, .. } => match source {
                OcspError::Revoked { .. } => ErrorCode::GpuCertificateRevoked,
                OcspError::NotYetGood { .. } => ErrorCode::GpuOcspExpired,
                _ => ErrorCode::GpuOcspInvalid,
            },
            Self::OcspMissing { .. } | Self::OcspUnknown { .. } => ErrorCode::GpuOcspMissing,
            Self::OcspExpired { .. } => ErrorCode::GpuOcspExpired,
            Self::ReferencesMissing(_) => ErrorCode::GpuReferenceMissing,
            Self::Reference { source, .. } => source.code(),
            Self::ReferenceForeign { .. } | Self::ReferenceOverlap(_) | Self::ReferenceEmpty => {
                ErrorCode::GpuReferenceInvalid
            }
            Self::Measurements(_) => ErrorCode::GpuMeasurementMismatch,
        }
    }
}

#[cfg(test)]
mod tests;
