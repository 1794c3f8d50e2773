//! A CA of this run alone, a server's certificate for 127.0.0.1 and a client's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Whom the client's certificate names; PostgreSQL takes it for a user's name.
pub const CLIENT: &str = "cocoon";

/// Files in PEM.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    pub fn make(folder: &Path) -> Result<Self> {
        std::fs::create_dir(folder).context("no folder for certificates")?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "cocoon peers");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let certificates = Self {
            folder: folder.to_owned(),
        };
        std::fs::write(certificates.ca(), ca.pem())?;
        for name in ["server", "client"] {
            let key = KeyPair::generate()?;
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let mut params = CertificateParams::new(names)?;
            let subject = if name == "client" {
                CLIENT
            } else {
                "localhost"
            };
            params.distinguished_name.push(DnType::CommonName, subject);
            let certificate = params.signed_by(&key, &ca)?;
            std::fs::write(certificates.path(&format!("{name}.pem")), certificate.pem())?;
            std::fs::write(
                certificates.path(&format!("{name}.key")),
                key.serialize_pem(),
            )?;
        }
        Ok(certificates)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.path("server.pem"), self.path("server.key"))
    }

    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.path("client.pem"), self.path("client.key"))
    }

    /// What a client of ours connects with.
    pub fn client_config(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca())?)?;
        let (certificate, key) = self.client();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(certificate)?],
                PrivateKeyDer::from_pem_file(key)?,
            )?;
        Ok(config)
    }
}
