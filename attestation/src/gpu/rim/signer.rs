//! Who signed a manifest: the chain from the file's certificates to NVIDIA's RIM root.

use std::time::Duration;

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};

use super::RimError;
use crate::verify::Details;

/// Real files carry four: signer, two authorities and the root.
const CERTIFICATES_MAX: usize = 6;

/// Every key and every signature from the root down is of this kind.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[webpki::ring::ECDSA_P384_SHA384];

/// NVIDIA's signers name no extended key usage. One that does must name code signing (1.3.6.1.5.5.7.3.3).
const PURPOSE: KeyUsage = KeyUsage::required_if_present(&[0x2b, 6, 1, 5, 5, 7, 3, 3]);

/// The first certificate of a file. Only [`follow`] makes one that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signer {
    /// Uncompressed point.
    key: Vec<u8>,
    pub(super) subject: String,
    /// When the last of the certificates becomes valid, in seconds since the Unix epoch.
    pub(super) not_before_s: u64,
    /// When the first of the certificates ends, in seconds since the Unix epoch.
    pub(super) not_after_s: u64,
}

impl Signer {
    /// `signature` is `r ‖ s`, as XML signatures (RFC 4050 and XML Signature 1.1) and COSE write it.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), RimError> {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &self.key)
            .verify(message, signature)
            .map_err(|_| RimError::SignatureInvalid)
    }

    pub(super) const fn in_date(&self, now_s: u64) -> Result<(), RimError> {
        let (not_before_s, not_after_s) = (self.not_before_s, self.not_after_s);
        if now_s < not_before_s {
            return Err(RimError::SignerNotYetValid {
                not_before_s,
                now_s,
            });
        }
        if now_s > not_after_s {
            return Err(RimError::SignerExpired { not_after_s, now_s });
        }
        Ok(())
    }
}

/// The signer whose chain leads to `root_der`.
///
/// The certificates are the path and nothing else, save a copy of the root at the end: what is not verified is not there to
/// be believed. Dates are kept apart: the path is built for the moment at which the last certificate becomes valid, and what
/// is true then is true as long as all are in date, which [`Signer::in_date`] says.
pub(super) fn follow(certificates: &[Vec<u8>], root_der: &[u8]) -> Result<Signer, RimError> {
    let path = match certificates.split_last() {
        Some((last, path)) if last == root_der && !path.is_empty() => path,
        _ => certificates,
    };
    let signer = inspect(path)?;
    let at_s = signer.not_before_s;
    if verify_path(path, root_der, at_s)? != path.len() {
        return Err(RimError::CertificateUnused);
    }
    Ok(signer)
}

/// How many of the certificates the path from the first one to the root needs.
fn verify_path(certificates: &[Vec<u8>], root_der: &[u8], at_s: u64) -> Result<usize, RimError> {
    let root = CertificateDer::from(root_der);
    let anchors = [webpki::anchor_from_trusted_cert(&root)
        .map_err(|error| RimError::TrustAnchor(Details(error.to_string())))?];
    let certificates: Vec<_> = certificates
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let (leaf, others) = certificates
        .split_first()
        .ok_or(RimError::CertificateCount(0))?;
    let untrusted = |error: webpki::Error| RimError::SignerUntrusted(Details(error.to_string()));
    let leaf = EndEntityCert::try_from(leaf).map_err(untrusted)?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at_s));
    let path = leaf
        .verify_for_usage(ALGORITHMS, &anchors, others, at, PURPOSE, None, None)
        .map_err(untrusted)?;
    Ok(path.intermediate_certificates().count().saturating_add(1))
}

/// What the certificates say, unverified.
pub(super) fn inspect(certificates: &[Vec<u8>]) -> Result<Signer, RimError> {
    if certificates.is_empty() || certificates.len() > CERTIFICATES_MAX {
        return Err(RimError::CertificateCount(certificates.len()));
    }
    let mut parsed = Vec::new();
    for (index, der) in certificates.iter().enumerate() {
        match X509Certificate::from_der(der) {
            Ok(([], certificate)) => parsed.push(certificate),
            _ => return Err(RimError::CertificateMalformed(index)),
        }
    }
    let starts = parsed.iter().map(|one| seconds(one.validity().not_before));
    let ends = parsed.iter().map(|one| seconds(one.validity().not_after));
    let signer = parsed.first().ok_or(RimError::CertificateCount(0))?;
    let signs = signer
        .key_usage()
        .is_ok_and(|usage| usage.is_some_and(|usage| usage.value.digital_signature()));
    if !signs {
        return Err(RimError::SignerUsage);
    }
    Ok(Signer {
        key: signer.public_key().subject_public_key.data.to_vec(),
        subject: signer.subject().to_string(),
        not_before_s: starts.max().unwrap_or(u64::MAX),
        not_after_s: ends.min().unwrap_or(0),
    })
}

/// No moment before 1970 matters to anyone.
fn seconds(time: ASN1Time) -> u64 {
    u64::try_from(time.timestamp()).unwrap_or(0)
}
