//! Why a reference integrity manifest is refused: one variant per refusal.

use crate::{ErrorCode, gpu::CertificateError, rfc_3339, verify::Details};

/// Why a reference integrity manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RimError {
    /// There is no manifest with that identifier.
    #[error("there is no reference integrity manifest {0}")]
    Missing(String),
    /// More manifests than a set may hold.
    #[error("there are more than {0} reference integrity manifests")]
    TooMany(usize),
    /// An identifier that no manifest of NVIDIA's has.
    #[error("a text of {0} bytes is no identifier of a reference integrity manifest")]
    IdMalformed(usize),
    /// Longer than any manifest.
    #[error(
        "the manifest has {length_bytes} bytes, more than {}",
        super::MANIFEST_BYTES_MAX
    )]
    TooLong {
        /// Its length.
        length_bytes: usize,
    },
    /// In none of the known formats.
    #[error("the manifest is in no known format")]
    FormatUnknown,
    /// Not UTF-8.
    #[error("the manifest is not UTF-8")]
    NotUtf8,
    /// Not well-formed XML, or with a document type declaration, or with too many nodes.
    #[error("the manifest is not XML without a document type")]
    Xml(#[source] Details),
    /// XML that no manifest uses and that makes signatures hard to read.
    #[error("the manifest has {0}, which no manifest uses")]
    OutsideProfile(&'static str),
    /// Not exactly one signature.
    #[error("the manifest has {0} signatures instead of one")]
    SignatureCount(usize),
    /// The signature is not the last child of the document element.
    #[error("the manifest's signature is not the last child of the document element")]
    SignaturePlace,
    /// The signature is not of the one shape that is read.
    #[error("the manifest's signature has an unexpected {0}")]
    SignatureShape(&'static str),
    /// The contents are not what was signed.
    #[error("the manifest's contents are not those that were signed")]
    DigestMismatch,
    /// The signer's key did not make the signature.
    #[error("the manifest's signature does not verify under its signer's key")]
    SignatureInvalid,
    /// No certificate, or too many.
    #[error("the manifest has {0} certificates")]
    CertificateCount(usize),
    /// A certificate does not lead to the trust anchor, or not in its place.
    #[error("certificate {position} of the manifest does not lead to the trust anchor")]
    Certificate {
        /// Its place, from the signer's at 0.
        position: usize,
        /// What is wrong.
        source: CertificateError,
    },
    /// The signer's certificate is for something else.
    #[error("the certificate of the manifest's signer is not for signing code")]
    SignerPurpose,
    /// A certificate of the signer's chain is not valid yet.
    #[error("the manifest's signer is valid from {} on, after {}", rfc_3339(*not_before_s), rfc_3339(*now_s))]
    SignerNotYetValid {
        /// When the last certificate becomes valid, in seconds since the Unix epoch.
        not_before_s: u64,
        /// The time of verification.
        now_s: u64,
    },
    /// A certificate of the signer's chain is past its end.
    #[error("the manifest's signer was valid until {}, before {}", rfc_3339(*not_after_s), rfc_3339(*now_s))]
    SignerExpired {
        /// When the first certificate ends, in seconds since the Unix epoch.
        not_after_s: u64,
        /// The time of verification.
        now_s: u64,
    },
    /// The signed contents are not those of a manifest.
    #[error("the manifest's {0} is missing or malformed")]
    Contents(&'static str),
    /// A measurement is not described as measurements are.
    #[error("the manifest's measurement {index} has a malformed {field}")]
    Measurement {
        /// The index, as the manifest writes it.
        index: u32,
        /// What is wrong.
        field: &'static str,
    },
    /// The manifest is another one than its identifier says.
    #[error("the manifest {id} is for {found}")]
    Misnamed {
        /// The identifier it was given under.
        id: String,
        /// What its signed contents say.
        found: String,
    },
}

impl RimError {
    /// The refusal's stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Missing(_) => ErrorCode::GpuReferenceMissing,
            _ => ErrorCode::GpuReferenceInvalid,
        }
    }
}
