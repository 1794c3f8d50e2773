//! TLS towards the gateway: rustls with ring, and the roots that the user chose.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

/// Which certificates the gateway's own may end in.
#[derive(Debug, Clone, Default)]
pub enum Roots {
    /// Those that the operating system trusts.
    #[default]
    Platform,
    /// Only those of this PEM file; the platform's count for nothing then.
    Only { pem: Vec<u8> },
}

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the platform has no trusted root certificates; name the pool's CA file instead")]
    NoPlatformRoots,
    #[error("the CA file is not PEM")]
    Pem(#[source] pem::Error),
    #[error("the CA file holds no certificate")]
    NoCertificate,
    #[error("certificate {index} of the CA file cannot be a root")]
    Root {
        /// From 1.
        index: usize,
        #[source]
        source: rustls::Error,
    },
    #[error("TLS could not be set up")]
    Rustls(#[source] rustls::Error),
}

/// A configuration that speaks TLS 1.3 alone: every gateway does.
pub fn client_config(roots: &Roots) -> Result<ClientConfig, TlsError> {
    let store = match roots {
        Roots::Platform => platform_roots()?,
        Roots::Only { pem } => named_roots(pem)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Rustls)?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}

/// A root that cannot be read is left out, as every platform's own tools do; none at all is an error.
fn platform_roots() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let (added, _) =
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(TlsError::NoPlatformRoots);
    }
    Ok(store)
}

/// Every certificate of the file must count: the user named it.
fn named_roots(text: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (position, certificate) in CertificateDer::pem_slice_iter(text).enumerate() {
        let certificate = certificate.map_err(TlsError::Pem)?;
        store.add(certificate).map_err(|source| TlsError::Root {
            index: position.saturating_add(1),
            source,
        })?;
    }
    if store.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(pem: &[u8]) -> TlsError {
        client_config(&Roots::Only { pem: pem.to_vec() }).unwrap_err()
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(matches!(refusal(b""), TlsError::NoCertificate));
        assert!(matches!(refusal(b"hello"), TlsError::NoCertificate));
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(matches!(refusal(key.as_bytes()), TlsError::NoCertificate));
    }

    #[test]
    fn a_broken_certificate_is_refused() {
        let not_base64 = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(refusal(not_base64), TlsError::Pem(_)));
        let not_der = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(refusal(not_der), TlsError::Root { index: 1, .. }));
    }

    #[test]
    fn a_named_ca_is_the_only_root() {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let store = named_roots(key.cert.pem().as_bytes()).unwrap();
        assert_eq!(store.len(), 1);
    }
}
