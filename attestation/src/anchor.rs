//! The root that verification ends in: Intel's, unless a test says otherwise.

use std::fmt;

use x509_parser::prelude::{FromDer, X509Certificate};

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
