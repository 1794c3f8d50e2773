//! TLS towards a source: rustls with ring; the platform's roots, and a mirror's own CA where one is named.
//!
//! Nothing that is believed rests on this: the collateral carries Intel's signatures. TLS keeps bystanders from seeing which
//! platforms a pool has, and from wasting its time.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
};

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM.
    #[error("the CA file is not PEM")]
    Pem(#[source] pem::Error),
    /// PEM without a certificate.
    #[error("the CA file holds no certificate")]
    Empty,
    /// A certificate that rustls does not take for a root.
    #[error("a certificate of the CA file cannot be a root")]
    Root(#[source] rustls::Error),
    /// rustls has no configuration.
    #[error("TLS could not be set up")]
    Rustls(#[source] rustls::Error),
}

/// The platform's roots, with those of the CA file beside them. None at all is no error here: a source on loopback needs none.
pub(crate) fn client_config(ca: Option<&[u8]>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(text) = ca {
        add_named(&mut roots, text)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Rustls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Every certificate of the file counts: the operator named it.
fn add_named(roots: &mut RootCertStore, text: &[u8]) -> Result<(), TlsError> {
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(TlsError::Pem)?;
        roots.add(certificate).map_err(TlsError::Root)?;
    }
    if roots.len() == before {
        return Err(TlsError::Empty);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_is_certificates_in_pem() {
        let refusal = |text: &[u8]| client_config(Some(text)).unwrap_err();
        assert!(matches!(refusal(b"hello"), TlsError::Empty));
        let broken = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(refusal(broken), TlsError::Pem(_)));
        let no_certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(refusal(no_certificate), TlsError::Root(_)));
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        assert!(client_config(Some(made.cert.pem().as_bytes())).is_ok());
    }
}
