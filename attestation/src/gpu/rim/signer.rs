//! Who signed a manifest: the chain from the file's certificates to NVIDIA's RIM root.

use der::asn1::ObjectIdentifier;

use super::RimError;
use crate::gpu::{
    certificate::{Certificate, CertificateError},
    memo::SignatureMemo,
    p384::{self, SIGNATURE_BYTES},
};

/// Real files carry four: signer, two authorities and the root.
const CERTIFICATES_MAX: usize = 6;

/// NVIDIA's signers name no extended key usage. One that does must name this.
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

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
    pub(super) fn verify(
        &self,
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), RimError> {
        p384::verify(&self.key, message, signature).map_err(|_| RimError::SignatureInvalid)
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

/// The signer whose chain leads to `rim_root`, dates aside: those [`Signer::in_date`] holds against a time.
///
/// The certificates are the path and nothing else, in order, save a copy of the root at the end: what is not verified is not
/// there to be believed.
pub(super) fn follow(certificates: &[Vec<u8>], rim_root: &[u8]) -> Result<Signer, RimError> {
    let path = match certificates.split_last() {
        Some((last, path)) if last == rim_root => path,
        _ => certificates,
    };
    let mut path = parse(path)?;
    let signer = signer(&path)?;
    path.push(Certificate::parse(rim_root).map_err(at(path.len()))?);
    for (position, certificate) in path.iter().enumerate() {
        may_stand_at(position, certificate).map_err(at(position))?;
    }
    // A manifest is kept once it is verified, so there is nothing to remember from one to the next.
    let memo = SignatureMemo::default();
    for (position, (certificate, issuer)) in path.iter().zip(path.iter().skip(1)).enumerate() {
        certificate.issued_by(issuer, &memo).map_err(at(position))?;
    }
    let purposes = path.first().map(Certificate::purposes).transpose();
    match purposes.map_err(at(0))?.flatten() {
        Some(purposes) if !purposes.contains(&CODE_SIGNING) => Err(RimError::SignerPurpose),
        _ => Ok(signer),
    }
}

fn may_stand_at(position: usize, certificate: &Certificate) -> Result<(), CertificateError> {
    match position.checked_sub(1) {
        None => certificate.is_signer(),
        Some(below) => certificate.is_authority(below),
    }
}

fn at(position: usize) -> impl Fn(CertificateError) -> RimError {
    move |source| RimError::Certificate { position, source }
}

/// What the certificates say, unverified.
pub(super) fn inspect(certificates: &[Vec<u8>]) -> Result<Signer, RimError> {
    signer(&parse(certificates)?)
}

fn parse(certificates: &[Vec<u8>]) -> Result<Vec<Certificate>, RimError> {
    if certificates.len() > CERTIFICATES_MAX {
        return Err(RimError::CertificateCount(certificates.len()));
    }
    let certificates = certificates.iter().enumerate();
    certificates
        .map(|(position, der)| Certificate::parse(der).map_err(at(position)))
        .collect()
}

fn signer(certificates: &[Certificate]) -> Result<Signer, RimError> {
    let signer = certificates.first().ok_or(RimError::CertificateCount(0))?;
    let validities = || certificates.iter().map(Certificate::validity_s);
    let (own_start_s, own_end_s) = signer.validity_s();
    Ok(Signer {
        key: signer.point().to_vec(),
        subject: signer.subject().to_string(),
        not_before_s: validities().fold(own_start_s, |start_s, (other_s, _)| start_s.max(other_s)),
        not_after_s: validities().fold(own_end_s, |end_s, (_, other_s)| end_s.min(other_s)),
    })
}
