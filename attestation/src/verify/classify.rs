//! Names for the texts that `dcap-qvl` 0.7.1 refuses with: the only place that reads them.
//!
//! The version is pinned, and every text below is produced by a mutated input in this crate's tests. A text that is
//! not here is [`VerifyError::Unclassified`]: still a refusal, only a nameless one.

use super::error::{CertificateChain, ChainFault, Details, VerifyError};
use crate::{collateral::CollateralPart, rfc_3339};

/// The two signatures that [`super::failing_chain`] spoils.
const TCB_INFO_SIGNATURE: &str = "Signature is invalid for tcb_info";
const QE_IDENTITY_SIGNATURE: &str = "Signature is invalid for qe_identity";
/// Opens the text of every chain error; the chain's own error follows.
const CHAIN: &str = "Failed to verify certificate chain: ";

/// Makes the variant that a text means.
type Name = fn(Details) -> VerifyError;

/// How each text begins, and what it means. The first match counts.
const TEXTS: &[(&str, Name)] = &[
    ("Failed to load root ca", VerifyError::TrustAnchor),
    ("Failed to parse root CA CRL", |source| VerifyError::Crl {
        part: CollateralPart::RootCrl,
        source,
    }),
    ("Failed to parse PCK CRL", |source| VerifyError::Crl {
        part: CollateralPart::PckCrl,
        source,
    }),
    // The root on its own CRL: the one chain error without a context.
    ("CertRevoked", VerifyError::TrustAnchor),
    ("CrlExpired", |source| VerifyError::Crl {
        part: CollateralPart::RootCrl,
        source,
    }),
    ("UnknownRevocationStatus", |source| VerifyError::Crl {
        part: CollateralPart::RootCrl,
        source,
    }),
    ("Failed to decode quote", VerifyError::Quote),
    ("Failed to decode TcbInfo", |source| {
        VerifyError::Statement {
            part: CollateralPart::TcbInfo,
            source,
        }
    }),
    ("Failed to decode QeIdentity", |source| {
        VerifyError::Statement {
            part: CollateralPart::QeIdentity,
            source,
        }
    }),
    ("TCB Info signer must be issued directly", |source| {
        chain(CertificateChain::TcbInfo, source)
    }),
    ("Failed to parse TCB Info leaf certificate", |source| {
        chain(CertificateChain::TcbInfo, source)
    }),
    (TCB_INFO_SIGNATURE, VerifyError::TcbInfoSignature),
    ("QE Identity signer must be issued directly", |source| {
        chain(CertificateChain::QeIdentity, source)
    }),
    ("Failed to parse QE Identity leaf certificate", |source| {
        chain(CertificateChain::QeIdentity, source)
    }),
    (QE_IDENTITY_SIGNATURE, VerifyError::QeIdentitySignature),
    (
        "Unsupported QE Identity id/version",
        VerifyError::QeIdentityKind,
    ),
    (
        "Failed to parse PCK certificate",
        VerifyError::PckCertificate,
    ),
    (
        "Failed to extract PCK certificates",
        VerifyError::PckCertificate,
    ),
    (
        "Signature is invalid for qe_report",
        VerifyError::QeReportSignature,
    ),
    ("Invalid QE auth data length", VerifyError::AttestationKey),
    ("QE report hash mismatch", VerifyError::AttestationKey),
    ("QE MRSIGNER mismatch", VerifyError::QeSigner),
    ("QE report validation failed", VerifyError::QeDebug),
    ("QE ISVPRODID mismatch", VerifyError::QeProduct),
    ("QE MISCSELECT mismatch", VerifyError::QeMiscSelect),
    ("QE ATTRIBUTES mismatch", VerifyError::QeAttributes),
    ("QE ISVSVN", VerifyError::QeTcbLevel),
    (
        "No TCB levels found in QE Identity",
        VerifyError::QeTcbLevel,
    ),
    (
        "ISV enclave report signature is invalid",
        VerifyError::QuoteSignature,
    ),
    ("Fmspc mismatch", VerifyError::Fmspc),
    ("TDX quote with non-TDX TCB info", VerifyError::TcbInfoKind),
    ("SGX quote with non-SGX TCB info", VerifyError::TcbInfoKind),
    ("No matching TCB level found", VerifyError::TcbLevel),
    ("SGX component count mismatch", VerifyError::TcbComponents),
    ("TDX component count mismatch", VerifyError::TcbComponents),
    (
        "TDX module identity check: Unrecognized TCB status",
        VerifyError::TcbStatus,
    ),
    (
        "TDX module TCB level check: Unrecognized TCB status",
        VerifyError::TcbStatus,
    ),
    ("TDX module identity check", VerifyError::TdxModule),
    ("TDX module TCB level check", VerifyError::TdxModule),
    ("Unrecognized TCB status", VerifyError::TcbStatus),
    ("TCB status is invalid: Revoked", VerifyError::Revoked),
    ("Reserved bits in TD attributes", VerifyError::TdReserved),
    ("TD migration is enabled", VerifyError::TdMigratable),
    ("SERVTD_EXT is enabled", VerifyError::TdServiceTd),
    ("SEPT_VE_DISABLE is not enabled", VerifyError::TdSeptVe),
];

/// A context that the library puts before the texts of TCB matching when it matches a TD 1.5's current TCB.
const CURRENT_TCB: &str = "Failed to evaluate the current TDX TCB (TEE_TCB_SVN2): ";

/// What each chain error means; any other is [`ChainFault::Untrusted`].
const FAULTS: &[(&str, ChainFault)] = &[
    ("CertExpired", ChainFault::Expired),
    ("CertNotValidYet", ChainFault::NotYetValid),
    ("CertRevoked", ChainFault::Revoked),
    ("UnknownRevocationStatus", ChainFault::RevocationUnknown),
    (
        "InvalidCrlSignatureForPublicKey",
        ChainFault::RevocationUnknown,
    ),
    ("IssuerNotCrlSigner", ChainFault::RevocationUnknown),
    ("CrlExpired", ChainFault::CrlExpired),
];

/// Name a refusal. `failing_chain` is asked only where the text alone does not say which chain it is about.
pub(super) fn classify(
    text: &str,
    failing_chain: impl FnOnce() -> CertificateChain,
) -> VerifyError {
    if let Some(error) = text.strip_prefix(CHAIN) {
        return VerifyError::Chain {
            chain: failing_chain(),
            fault: fault(error),
            source: Details(dated(error).unwrap_or_else(|| text.to_owned())),
        };
    }
    let details = Details(text.to_owned());
    if text.starts_with("Too many intermediate certificates") {
        return chain(failing_chain(), details);
    }
    let text = text.strip_prefix(CURRENT_TCB).unwrap_or(text);
    match TEXTS
        .iter()
        .find(|(beginning, _)| text.starts_with(beginning))
    {
        Some((_, name)) => name(details),
        None => VerifyError::Unclassified(details),
    }
}

/// Whether verification stopped at a signature of the collateral, not before.
pub(super) fn is_signature(text: &str) -> bool {
    [TCB_INFO_SIGNATURE, QE_IDENTITY_SIGNATURE]
        .iter()
        .any(|beginning| text.starts_with(beginning))
}

fn chain(chain: CertificateChain, source: Details) -> VerifyError {
    VerifyError::Chain {
        chain,
        fault: ChainFault::Untrusted,
        source,
    }
}

fn fault(error: &str) -> ChainFault {
    let known = FAULTS
        .iter()
        .find(|(beginning, _)| error.starts_with(beginning));
    known.map_or(ChainFault::Untrusted, |(_, fault)| *fault)
}

/// In words what reads `CertExpired { time: UnixTime(2), not_after: UnixTime(1) }`.
fn dated(error: &str) -> Option<String> {
    let (_, fields) = error.split_once("{ time: UnixTime(")?;
    let (now, bound) = fields.split_once("), ")?;
    let (name, bound) = bound.split_once(": UnixTime(")?;
    let (bound, _) = bound.split_once(')')?;
    let [now, bound] = [now.parse().ok()?, bound.parse().ok()?].map(rfc_3339);
    Some(format!("{} {bound}, at {now}", name.replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::ErrorCode;

    fn named(text: &str) -> VerifyError {
        classify(text, || CertificateChain::Pck)
    }

    #[test]
    fn an_unknown_text_is_refused_without_a_name() {
        for text in ["", "Everything is fine", "the quote: Fmspc mismatch"] {
            let error = named(text);
            assert_eq!(error, VerifyError::Unclassified(Details(text.to_owned())));
            assert_eq!(error.code(), ErrorCode::VerifierUnclassified);
        }
    }

    #[test]
    fn no_known_text_hides_behind_an_earlier_one() {
        for (at, (text, name)) in TEXTS.iter().enumerate() {
            let hidden = TEXTS[..at]
                .iter()
                .any(|(earlier, _)| text.starts_with(earlier));
            assert!(!hidden, "{text}");
            assert_eq!(named(text), name(Details((*text).to_owned())));
        }
    }

    #[test]
    fn chain_errors_name_chain_and_fault() {
        let fault_of = |error: &str| match named(&format!("{CHAIN}{error}")) {
            VerifyError::Chain {
                chain: CertificateChain::Pck,
                fault,
                ..
            } => fault,
            other => panic!("{other:?}"),
        };
        for (error, fault) in FAULTS {
            assert_eq!(fault_of(error), *fault);
        }
        assert_eq!(
            fault_of("CertExpired { time: 2, not_after: 1 }"),
            ChainFault::Expired
        );
        assert_eq!(fault_of("UnknownIssuer"), ChainFault::Untrusted);
        let error = "CertExpired { time: UnixTime(1769860801), not_after: UnixTime(1769860800) }";
        let words = "not after 2026-01-31T12:00:00Z, at 2026-01-31T12:00:01Z";
        assert_eq!(dated(error).as_deref(), Some(words));
        let many = named("Too many intermediate certificates: 9");
        assert!(matches!(
            many,
            VerifyError::Chain {
                fault: ChainFault::Untrusted,
                ..
            }
        ));
    }

    #[test]
    fn the_current_tcb_of_td_15_is_named_like_the_launch_tcb() {
        let error = named(&format!("{CURRENT_TCB}No matching TCB level found"));
        assert!(matches!(error, VerifyError::TcbLevel(_)), "{error:?}");
    }
}
