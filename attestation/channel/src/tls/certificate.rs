//! The one field of a certificate that this crate reads.

use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The DER of a certificate's `SubjectPublicKeyInfo`, exactly as it stands there; nothing where the certificate does not
/// parse or bytes follow it.
pub(crate) fn subject_public_key_info(certificate: &[u8]) -> Option<Vec<u8>> {
    match X509Certificate::from_der(certificate) {
        Ok(([], certificate)) => Some(certificate.public_key().raw.to_vec()),
        _ => None,
    }
}
