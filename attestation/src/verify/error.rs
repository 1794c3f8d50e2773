//! Why a quote does not verify: one variant per refusal.

use std::fmt;

use crate::{ErrorCode, QuoteError, collateral::CollateralPart, rfc_3339};

/// What the verification library said, word for word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details(pub(crate) String);

impl fmt::Display for Details {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Details {}

/// One of the certificate chains that end in the trust anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateChain {
    /// Of the TCB info's signer.
    TcbInfo,
    /// Of the QE identity's signer.
    QeIdentity,
    /// Of the platform's PCK certificate.
    Pck,
    /// Of the PCK CRL's issuer; looked at only where collateral is verified without a quote.
    PckCrl,
}

impl fmt::Display for CertificateChain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TcbInfo => "TCB info signer",
            Self::QeIdentity => "QE identity signer",
            Self::Pck => "PCK certificate",
            Self::PckCrl => "PCK CRL issuer",
        })
    }
}

/// What is wrong with a certificate chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainFault {
    /// It does not lead to the trust anchor, or not in a permitted way.
    Untrusted,
    /// A certificate is past its end.
    Expired,
    /// A certificate is not valid yet.
    NotYetValid,
    /// A certificate is revoked.
    Revoked,
    /// No CRL says anything of a certificate, or its signature does not verify.
    RevocationUnknown,
    /// A CRL is past its next update.
    CrlExpired,
}

impl fmt::Display for ChainFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Untrusted => "does not lead to the trust anchor",
            Self::Expired => "has expired",
            Self::NotYetValid => "is not valid yet",
            Self::Revoked => "is revoked",
            Self::RevocationUnknown => "has no valid revocation list",
            Self::CrlExpired => "has an expired revocation list",
        })
    }
}

/// Why a quote does not verify. Variants stand in the order in which they are looked at, as far as there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The collateral is for SGX and the quote a TD's, or the other way round.
    #[error("the collateral is for another kind of TEE than the quote")]
    CollateralKind,
    /// A part of the collateral is issued in the future.
    #[error("the {part} is issued at {}, after {}", rfc_3339(*issued_s), rfc_3339(*now_s))]
    NotYetValid {
        /// Which part.
        part: CollateralPart,
        /// Its issue date, in seconds since the Unix epoch.
        issued_s: u64,
        /// The time of verification.
        now_s: u64,
    },
    /// A part of the collateral is past its next update.
    #[error("the {part} was due for an update at {}, before {}", rfc_3339(*next_update_s), rfc_3339(*now_s))]
    Expired {
        /// Which part.
        part: CollateralPart,
        /// Its next update, in seconds since the Unix epoch.
        next_update_s: u64,
        /// The time of verification.
        now_s: u64,
    },
    /// The quote does not carry its PCK certificate chain, and the collateral has none either.
    #[error("certification data of type {0} is not the PCK certificate chain (5)")]
    CertificationData(u16),
    /// Collateral for a whole family brings one platform's PCK certificate chain.
    #[error("the collateral has a PCK certificate chain of its own, which no family has in common")]
    ForeignPckChain,
    /// The PCK certificate or its SGX extension does not parse.
    #[error("the PCK certificate does not parse")]
    PckCertificate(#[source] Details),
    /// The trust anchor is no usable certificate, or is on its own CRL.
    #[error("the trust anchor is unusable")]
    TrustAnchor(#[source] Details),
    /// A CRL does not parse, or the root did not sign its own.
    #[error("the {part} is not valid")]
    Crl {
        /// Which one.
        part: CollateralPart,
        /// What the library said.
        source: Details,
    },
    /// The quote does not parse after all. [`crate::Quote::parse`] lets nothing through that ends here.
    #[error("the quote does not parse")]
    Quote(#[source] Details),
    /// A statement of the collateral does not parse after all.
    #[error("the {part} does not parse")]
    Statement {
        /// Which one.
        part: CollateralPart,
        /// What the library said.
        source: Details,
    },
    /// A certificate chain does not hold.
    #[error("the chain of the {chain} {fault}")]
    Chain {
        /// Which one.
        chain: CertificateChain,
        /// What is wrong with it.
        fault: ChainFault,
        /// What the library said.
        source: Details,
    },
    /// The TCB info's signature does not verify.
    #[error("the TCB info is not signed by its signer")]
    TcbInfoSignature(#[source] Details),
    /// The QE identity's signature does not verify.
    #[error("the QE identity is not signed by its signer")]
    QeIdentitySignature(#[source] Details),
    /// The QE identity is for another kind of quoting enclave, or of an unknown version.
    #[error("the QE identity is for another quoting enclave")]
    QeIdentityKind(#[source] Details),
    /// The PCK did not sign the quoting enclave's report.
    #[error("the quoting enclave's report is not signed by the PCK")]
    QeReportSignature(#[source] Details),
    /// The quoting enclave's report does not vouch for the attestation key.
    #[error("the quoting enclave's report does not vouch for the attestation key")]
    AttestationKey(#[source] Details),
    /// The quoting enclave has another signer.
    #[error("the quoting enclave's signer is not the expected one")]
    QeSigner(#[source] Details),
    /// The quoting enclave can be debugged.
    #[error("the quoting enclave is debuggable")]
    QeDebug(#[source] Details),
    /// The quoting enclave is another product.
    #[error("the quoting enclave's product id is not the expected one")]
    QeProduct(#[source] Details),
    /// The quoting enclave's MISCSELECT differs.
    #[error("the quoting enclave's MISCSELECT is not the expected one")]
    QeMiscSelect(#[source] Details),
    /// The quoting enclave's attributes differ.
    #[error("the quoting enclave's attributes are not the expected ones")]
    QeAttributes(#[source] Details),
    /// The quoting enclave is older than every level.
    #[error("no TCB level fits the quoting enclave")]
    QeTcbLevel(#[source] Details),
    /// The attestation key did not sign the quote.
    #[error("the quote is not signed by its attestation key")]
    QuoteSignature(#[source] Details),
    /// The TCB info is for another platform family.
    #[error("the TCB info is for another platform family (FMSPC)")]
    Fmspc(#[source] Details),
    /// The TCB info is for another TEE.
    #[error("the TCB info is for another kind of TEE")]
    TcbInfoKind(#[source] Details),
    /// The platform is older than every level.
    #[error("no TCB level fits the platform")]
    TcbLevel(#[source] Details),
    /// A TCB level has another number of components than the platform.
    #[error("the TCB levels have another number of components")]
    TcbComponents(#[source] Details),
    /// The TDX module is none that the TCB info describes.
    #[error("the TDX module is not one that the TCB info describes")]
    TdxModule(#[source] Details),
    /// A level has a status that does not exist there.
    #[error("a TCB level has a status that is not defined for it")]
    TcbStatus(#[source] Details),
    /// The platform's or the quoting enclave's TCB is revoked.
    #[error("the TCB is revoked")]
    Revoked(#[source] Details),
    /// Reserved TD attributes are set.
    #[error("reserved TD attributes are set")]
    TdReserved(#[source] Details),
    /// The TD is migratable.
    #[error("the TD is migratable")]
    TdMigratable(#[source] Details),
    /// A TD 1.0 quote claims an attribute that only TD 1.5 has.
    #[error("the TD has service TDs that its quote cannot show")]
    TdServiceTd(#[source] Details),
    /// `SEPT_VE_DISABLE` is clear.
    #[error("the TD lacks SEPT_VE_DISABLE")]
    TdSeptVe(#[source] Details),
    /// PCK certificate and TCB info name different provisioning certification enclaves.
    #[error(
        "the TCB info is for PCE {tcb_info:02x?}, the PCK certificate for PCE {certificate:02x?}"
    )]
    PceId {
        /// From the PCK certificate.
        certificate: [u8; 2],
        /// From the TCB info.
        tcb_info: [u8; 2],
    },
    /// The library refused for a reason that has no name here. Refused all the same.
    #[error("verification failed for a reason without a name")]
    Unclassified(#[source] Details),
}

impl VerifyError {
    /// The refusal's stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::CollateralKind | Self::QeIdentityKind(_) | Self::TcbInfoKind(_) => {
                ErrorCode::CollateralWrongKind
            }
            Self::NotYetValid { .. } => ErrorCode::CollateralNotYetValid,
            Self::Expired {
                part: CollateralPart::RootCrl | CollateralPart::PckCrl,
                ..
            } => ErrorCode::CrlExpired,
            Self::Expired { .. } => ErrorCode::CollateralExpired,
            Self::ForeignPckChain => ErrorCode::CollateralChainInvalid,
            Self::CertificationData(_) => ErrorCode::CertificationDataUnsupported,
            Self::PckCertificate(_) => ErrorCode::PckCertificateMalformed,
            Self::TrustAnchor(_) => ErrorCode::TrustAnchorInvalid,
            Self::Crl { .. } => ErrorCode::CrlInvalid,
            Self::Quote(_) => ErrorCode::QuoteMalformed,
            Self::Statement { .. } | Self::TcbComponents(_) | Self::TcbStatus(_) => {
                ErrorCode::CollateralMalformed
            }
            Self::Chain { chain, fault, .. } => chain_code(*chain, *fault),
            Self::TcbInfoSignature(_) | Self::QeIdentitySignature(_) => {
                ErrorCode::CollateralSignatureInvalid
            }
            Self::QeReportSignature(_) => ErrorCode::QeReportSignatureInvalid,
            Self::AttestationKey(_) => ErrorCode::AttestationKeyUnbound,
            Self::QeSigner(_)
            | Self::QeDebug(_)
            | Self::QeProduct(_)
            | Self::QeMiscSelect(_)
            | Self::QeAttributes(_) => ErrorCode::QeIdentityMismatch,
            Self::QeTcbLevel(_) => ErrorCode::QeTcbLevelNotFound,
            Self::QuoteSignature(_) => ErrorCode::QuoteSignatureInvalid,
            Self::Fmspc(_) => ErrorCode::TcbInfoMismatch,
            Self::TcbLevel(_) => ErrorCode::TcbLevelNotFound,
            Self::TdxModule(_) => ErrorCode::TdxModuleUnknown,
            Self::Revoked(_) => ErrorCode::TcbRevoked,
            Self::TdReserved(_) => ErrorCode::TdAttributesReserved,
            Self::TdMigratable(_) => ErrorCode::TdMigratable,
            Self::TdServiceTd(_) => ErrorCode::ServiceTdPresent,
            Self::TdSeptVe(_) => ErrorCode::SeptVeDisableClear,
            Self::PceId { .. } => ErrorCode::PceIdMismatch,
            Self::Unclassified(_) => ErrorCode::VerifierUnclassified,
        }
    }
}

const fn chain_code(chain: CertificateChain, fault: ChainFault) -> ErrorCode {
    match (fault, chain) {
        (ChainFault::CrlExpired, _) => ErrorCode::CrlExpired,
        (ChainFault::RevocationUnknown, _) => ErrorCode::CrlInvalid,
        (ChainFault::Revoked, CertificateChain::Pck) => ErrorCode::PckRevoked,
        (ChainFault::Expired | ChainFault::NotYetValid, CertificateChain::Pck) => {
            ErrorCode::PckChainExpired
        }
        (ChainFault::Untrusted, CertificateChain::Pck) => ErrorCode::PckChainInvalid,
        (
            _,
            CertificateChain::TcbInfo | CertificateChain::QeIdentity | CertificateChain::PckCrl,
        ) => ErrorCode::CollateralChainInvalid,
    }
}

impl QuoteError {
    /// The refusal's stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Vendor => ErrorCode::QuotingEnclaveUnknown,
            Self::KeyType(_) => ErrorCode::QuoteKeyUnsupported,
            Self::PckCertificate(_) => ErrorCode::PckCertificateMalformed,
            _ => ErrorCode::QuoteMalformed,
        }
    }
}
