//! The root that verification ends in: Intel's, unless a test says otherwise.

use std::fmt;

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::digest::sha256;

/// The public key of Intel SGX Root CA (P-256, uncompressed), as its certificate at
/// `certificates.trustedservices.intel.com/IntelSGXRootCA.der` has it. The certificate itself is compiled into
/// `dcap-qvl`, which does not hand it out; a test holds the two against each other by real collateral.
const INTEL_ROOT_KEY: [u8; 65] = [
    0x04, 0x0b, 0xa9, 0xc4, 0xc0, 0xc0, 0xc8, 0x61, 0x93, 0xa3, 0xfe, 0x23, 0xd6, 0xb0, 0x2c, 0xda,
    0x10, 0xa8, 0xbb, 0xd4, 0xe8, 0x8e, 0x48, 0xb4, 0x45, 0x85, 0x61, 0xa3, 0x6e, 0x70, 0x55, 0x25,
    0xf5, 0x67, 0x91, 0x8e, 0x2e, 0xdc, 0x88, 0xe4, 0x0d, 0x86, 0x0b, 0xd0, 0xcc, 0x4e, 0xe2, 0x6a,
    0xac, 0xc9, 0x88, 0xe5, 0x05, 0xa9, 0x53, 0x55, 0x8c, 0x45, 0x3f, 0x6b, 0x09, 0x04, 0xae, 0x73,
    0x94,
];

/// SHA-256 of that certificate. Intel ends every issuer chain with it.
const INTEL_ROOT_SHA256: [u8; 32] = [
    0x44, 0xa0, 0x19, 0x6b, 0x2b, 0x99, 0xf8, 0x89, 0xb8, 0xe1, 0x49, 0xe9, 0x5b, 0x80, 0x7a, 0x35,
    0x0e, 0x74, 0x24, 0x96, 0x43, 0x99, 0xe8, 0x85, 0xa7, 0xcb, 0xb8, 0xcc, 0xfa, 0xb6, 0x74, 0xd3,
];

/// The root key that a verifier starts from.
///
/// A shipped `main` says [`TrustAnchor::intel`]; there is no feature, flag, variable or key that swaps it. The label
/// belongs beside every verdict, so that nobody takes a simulated one for Intel's word.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    root: Root,
    label: String,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Root {
    /// The root compiled into the verification library.
    Intel,
    /// A self-signed certificate (DER) that is not Intel's.
    Other(Vec<u8>),
}

impl TrustAnchor {
    /// Intel SGX Root CA, the root of all DCAP evidence.
    #[must_use]
    pub fn intel() -> Self {
        Self {
            root: Root::Intel,
            label: "Intel SGX Root CA".to_owned(),
        }
    }

    /// Another root, from a self-signed CA certificate. For tests and the simulator only.
    pub fn from_der(der: &[u8]) -> Result<Self, TrustAnchorError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| TrustAnchorError::Malformed)?;
        if !rest.is_empty() {
            return Err(TrustAnchorError::Malformed);
        }
        if !certificate.is_ca() {
            return Err(TrustAnchorError::NotAnAuthority);
        }
        Ok(Self {
            root: Root::Other(der.to_vec()),
            label: format!("NOT INTEL: {}", certificate.subject()),
        })
    }

    /// What to show beside a verdict: `Intel SGX Root CA`, or `NOT INTEL: <subject>`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether a certificate's subject is this root's name. Names prove nothing: for telling a person what is amiss.
    #[must_use]
    pub fn is_named(&self, subject: &str) -> bool {
        match self.root {
            Root::Intel => subject.contains("CN=Intel SGX Root CA"),
            Root::Other(_) => self.label.ends_with(subject),
        }
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// Whether these bytes are the root's certificate, to the last one.
    pub(crate) fn is_certificate(&self, der: &[u8]) -> bool {
        match &self.root {
            Root::Intel => sha256(&[der]) == INTEL_ROOT_SHA256,
            Root::Other(root) => der == root,
        }
    }

    /// The root's public key as an uncompressed point.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        match &self.root {
            Root::Intel => INTEL_ROOT_KEY.to_vec(),
            Root::Other(der) => X509Certificate::from_der(der)
                .map(|(_, certificate)| certificate.public_key().subject_public_key.data.to_vec())
                .unwrap_or_default(),
        }
    }
}

impl fmt::Debug for TrustAnchor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TrustAnchor({})", self.label)
    }
}

/// Why a certificate cannot be a trust anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustAnchorError {
    /// Not one DER certificate.
    #[error("the trust anchor is not one X.509 certificate in DER")]
    Malformed,
    /// The certificate does not say that it is a CA.
    #[error("the trust anchor's certificate is not that of a certification authority")]
    NotAnAuthority,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intel_is_labelled_so() {
        assert_eq!(TrustAnchor::intel().label(), "Intel SGX Root CA");
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the refusals of from_der are what is tested"
    )]
    fn nonsense_is_no_anchor() {
        assert_eq!(
            TrustAnchor::from_der(b"").unwrap_err(),
            TrustAnchorError::Malformed
        );
        assert_eq!(
            TrustAnchor::from_der(&[0x30, 0x00]).unwrap_err(),
            TrustAnchorError::Malformed
        );
    }
}
