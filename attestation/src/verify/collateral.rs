//! Verifying collateral alone: what may enter a store before any quote asks for it.
//!
//! `dcap-qvl` verifies collateral together with a quote only, and the PCK CRL only by way of the quote's own certificates.
//! So the few steps stand here: root CRL, the three issuers that the root certified, and what each of them signed. It keeps
//! forged, mixed and outdated parts out of a store; whether a quote is believed stays [`Verifier::verify`]'s to say.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::{
    der_parser::asn1_rs::BitString,
    oid_registry::OID_SIG_ECDSA_WITH_SHA256,
    pem::Pem,
    prelude::{AlgorithmIdentifier, CertificateRevocationList, FromDer, X509Certificate},
};

use super::{
    Verifier, VerifyError,
    error::{CertificateChain, ChainFault, Details},
    in_date,
};
use crate::{Collateral, collateral::CollateralPart};

/// Collateral of which every part leads to the trust anchor and was in date. Only [`Verifier::verify_collateral`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCollateral(Collateral);

impl VerifiedCollateral {
    /// What was verified.
    #[must_use]
    pub const fn collateral(&self) -> &Collateral {
        &self.0
    }

    /// The same, to keep.
    #[must_use]
    pub fn into_collateral(self) -> Collateral {
        self.0
    }
}

impl Verifier {
    /// Verify every part of the collateral at `now_s` (seconds since the Unix epoch), without a quote.
    pub fn verify_collateral(
        &self,
        collateral: Collateral,
        now_s: u64,
    ) -> Result<VerifiedCollateral, VerifyError> {
        in_date(&collateral, now_s)?;
        let parts = collateral.parts();
        let root = Root::new(self.anchor.public_key(), &parts.root_ca_crl, now_s)?;

        let signer = root.issued(CertificateChain::TcbInfo, &parts.tcb_info_issuer_chain)?;
        signer
            .signed(&parts.tcb_info, &parts.tcb_info_signature)
            .map_err(VerifyError::TcbInfoSignature)?;
        let signer = root.issued(
            CertificateChain::QeIdentity,
            &parts.qe_identity_issuer_chain,
        )?;
        signer
            .signed(&parts.qe_identity, &parts.qe_identity_signature)
            .map_err(VerifyError::QeIdentitySignature)?;
        let issuer = root.issued(CertificateChain::PckCrl, &parts.pck_crl_issuer_chain)?;
        issuer.signed_list(&parts.pck_crl)?;
        Ok(VerifiedCollateral(collateral))
    }
}

/// The trust anchor's key, with what it revoked.
struct Root<'a> {
    key: Vec<u8>,
    list: CertificateRevocationList<'a>,
    now_s: u64,
}

/// A certificate that the root issued itself, for the use that it was asked for.
struct Issued {
    key: Vec<u8>,
    subject: Vec<u8>,
}

impl<'a> Root<'a> {
    fn new(key: Vec<u8>, list: &'a [u8], now_s: u64) -> Result<Self, VerifyError> {
        let list = parse_list(CollateralPart::RootCrl, list)?;
        is_signed_list(&key, &list).map_err(|source| crl_error(CollateralPart::RootCrl, source))?;
        Ok(Self { key, list, now_s })
    }

    /// The first certificate of a chain, which the root must have issued directly: Intel's chains have one link.
    fn issued(&self, chain: CertificateChain, pem: &str) -> Result<Issued, VerifyError> {
        let refused = |fault, text: &str| VerifyError::Chain {
            chain,
            fault,
            source: details(text),
        };
        let untrusted = |text: &str| refused(ChainFault::Untrusted, text);
        let block = Pem::iter_from_buffer(pem.as_bytes()).next();
        let block = block
            .and_then(Result::ok)
            .ok_or_else(|| untrusted("the chain is empty"))?;
        let (_, certificate) = X509Certificate::from_der(&block.contents)
            .map_err(|_| untrusted("its first certificate does not parse"))?;

        is_signed(
            &self.key,
            certificate.tbs_certificate.as_ref(),
            &certificate.signature_algorithm,
            &certificate.signature_value,
        )
        .map_err(|_| untrusted("the root did not sign its first certificate"))?;
        if certificate.issuer().as_raw() != self.list.issuer().as_raw() {
            return Err(untrusted("its issuer is not the root CRL's"));
        }
        if !is_for(chain, &certificate) {
            return Err(untrusted("its first certificate is for another use"));
        }
        let now = i64::try_from(self.now_s).unwrap_or(i64::MAX);
        if now < certificate.validity().not_before.timestamp() {
            return Err(refused(
                ChainFault::NotYetValid,
                "its first certificate is not valid yet",
            ));
        }
        if now > certificate.validity().not_after.timestamp() {
            return Err(refused(
                ChainFault::Expired,
                "its first certificate has ended",
            ));
        }
        let mut revoked = self.list.iter_revoked_certificates();
        if revoked.any(|revoked| revoked.raw_serial() == certificate.raw_serial()) {
            return Err(refused(
                ChainFault::Revoked,
                "its first certificate is on the root CRL",
            ));
        }
        Ok(Issued {
            key: certificate.public_key().subject_public_key.data.to_vec(),
            subject: certificate.subject().as_raw().to_vec(),
        })
    }
}

impl Issued {
    /// A statement, signed in the form `r ‖ s`.
    fn signed(&self, statement: &str, signature: &[u8]) -> Result<(), Details> {
        verify_signature(
            &ECDSA_P256_SHA256_FIXED,
            &self.key,
            statement.as_bytes(),
            signature,
        )
    }

    /// The PCK CRL.
    fn signed_list(&self, der: &[u8]) -> Result<(), VerifyError> {
        let part = CollateralPart::PckCrl;
        let list = parse_list(part, der)?;
        if list.issuer().as_raw() != self.subject {
            return Err(crl_error(part, details("its issuer chain is another CA's")));
        }
        is_signed_list(&self.key, &list).map_err(|source| crl_error(part, source))
    }
}

/// A CA for the PCK CRL; for the statements, a signer that is no CA.
fn is_for(chain: CertificateChain, certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    let may_sign_lists = usage.is_some_and(|usage| usage.value.crl_sign());
    match chain {
        CertificateChain::Pck | CertificateChain::PckCrl => certificate.is_ca() && may_sign_lists,
        CertificateChain::TcbInfo | CertificateChain::QeIdentity => !certificate.is_ca(),
    }
}

fn parse_list(
    part: CollateralPart,
    der: &[u8],
) -> Result<CertificateRevocationList<'_>, VerifyError> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => Ok(list),
        _ => Err(crl_error(part, details("it does not parse"))),
    }
}

fn is_signed_list(key: &[u8], list: &CertificateRevocationList<'_>) -> Result<(), Details> {
    is_signed(
        key,
        list.tbs_cert_list.as_ref(),
        &list.signature_algorithm,
        &list.signature_value,
    )
}

/// ECDSA P-256 with SHA-256 alone, as `dcap-qvl` accepts it.
fn is_signed(
    key: &[u8],
    message: &[u8],
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
) -> Result<(), Details> {
    if algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256 {
        return Err(details("it is signed by another algorithm"));
    }
    verify_signature(&ECDSA_P256_SHA256_ASN1, key, message, &signature.data)
}

fn verify_signature(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), Details> {
    UnparsedPublicKey::new(algorithm, key)
        .verify(message, signature)
        .map_err(|_| details("its signature does not verify"))
}

fn crl_error(part: CollateralPart, source: Details) -> VerifyError {
    VerifyError::Crl { part, source }
}

fn details(text: &str) -> Details {
    Details(text.to_owned())
}
