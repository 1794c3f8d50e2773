//! Verifying collateral alone: what may enter a store before any quote asks for it.
//!
//! `dcap-qvl` verifies collateral together with a quote only, and the PCK CRL only by way of the quote's own certificates.
//! So the few steps stand here: root CRL, the three issuers that the root certified, and what each of them signed. It keeps
//! forged, mixed and outdated parts out of a store; whether a quote is believed stays [`Verifier::verify`]'s to say.

use der::{
    Decode, Encode,
    asn1::{AnyRef, BitStringRef},
};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::{
    Verifier, VerifyError,
    error::{CertificateChain, ChainFault, Details},
    in_date,
};
use crate::{Collateral, TrustAnchor, collateral::CollateralPart};

/// The algorithm identifier of `ecdsa-with-SHA256` (RFC 5758, 3.2), which has no parameters.
const ECDSA_WITH_SHA256: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];

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
        // The library would prefer it to the quote's own chain, and nothing ties it to the family.
        if parts.pck_certificate_chain.is_some() {
            return Err(VerifyError::ForeignPckChain);
        }
        let root = Root::new(&self.anchor, &parts.root_ca_crl, now_s)?;

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

/// The trust anchor, with what it revoked.
struct Root<'a> {
    anchor: &'a TrustAnchor,
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
    fn new(anchor: &'a TrustAnchor, list: &'a [u8], now_s: u64) -> Result<Self, VerifyError> {
        let key = anchor.public_key();
        is_signed(&key, list).map_err(|source| crl_error(CollateralPart::RootCrl, source))?;
        let list = parse_list(CollateralPart::RootCrl, list)?;
        Ok(Self {
            anchor,
            key,
            list,
            now_s,
        })
    }

    /// The one certificate of a chain, which the root must have issued directly: Intel's chains have one link.
    fn issued(&self, chain: CertificateChain, pem: &str) -> Result<Issued, VerifyError> {
        let refused = |fault, text: &str| VerifyError::Chain {
            chain,
            fault,
            source: details(text),
        };
        let untrusted = |text: &str| refused(ChainFault::Untrusted, text);
        let first = self.first_certificate(pem).map_err(untrusted)?;
        let Ok(([], certificate)) = X509Certificate::from_der(&first) else {
            return Err(untrusted("its first certificate does not parse"));
        };
        is_signed(&self.key, &first)
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

    /// The first certificate of a chain that is this one alone, or this one and the trust anchor's own.
    ///
    /// `dcap-qvl` refuses long chains, so that anything more would make collateral that no quote verifies with. The text is
    /// read by the parser that it uses: what is one chain here must not be another one there.
    fn first_certificate(&self, pem: &str) -> Result<Vec<u8>, &'static str> {
        let blocks = pem::parse_many(pem).map_err(|_| "it is not PEM")?;
        let mut certificates = blocks.into_iter().map(pem::Pem::into_contents);
        let first = certificates.next().ok_or("the chain is empty")?;
        match (certificates.next(), certificates.next()) {
            (None, _) => Ok(first),
            (Some(root), None) if self.anchor.is_certificate(&root) => Ok(first),
            _ => Err("it is not one certificate, alone or with the trust anchor's"),
        }
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
        is_signed(&self.key, der).map_err(|source| crl_error(part, source))
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

/// A certificate or a list: what is signed, the algorithm, the signature. ECDSA P-256 with SHA-256 alone, as `dcap-qvl` accepts it.
///
/// No signature covers the frame around the three. So it is read strictly here: `x509-parser` skips bytes behind the third,
/// which `dcap-qvl` refuses.
fn is_signed(key: &[u8], der: &[u8]) -> Result<(), Details> {
    let frame = Vec::<AnyRef<'_>>::from_der(der).map_err(|_| details("its frame is malformed"))?;
    let [statement, algorithm, signature] = &*frame else {
        return Err(details("it does not consist of three parts"));
    };
    if algorithm.to_der().ok().as_deref() != Some(&ECDSA_WITH_SHA256) {
        return Err(details("it is signed by another algorithm"));
    }
    let signature = signature.decode_as::<BitStringRef<'_>>();
    match (statement.to_der(), signature.map(|bits| bits.as_bytes())) {
        (Ok(statement), Ok(Some(signature))) => {
            verify_signature(&ECDSA_P256_SHA256_ASN1, key, &statement, signature)
        }
        _ => Err(details("its signature does not parse")),
    }
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
