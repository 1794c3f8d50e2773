//! The keys that speak TLS: the worker's, made in memory, and the gateway's, from the pool's CA.

use std::{fmt, sync::Arc};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData as _,
};
use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_ecdsa_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
    sign::{Signer, SigningKey},
};
use zeroize::Zeroize as _;

use super::certificate::subject_public_key_info;

/// Why an identity cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No key could be generated.
    #[error("a key could not be generated")]
    Generate(#[source] rcgen::Error),
    /// The minimal certificate could not be signed.
    #[error("the worker's certificate could not be made")]
    Certificate(#[source] rcgen::Error),
    /// The key is of a kind that the provider does not sign with.
    #[error("the key is not usable for TLS")]
    Key(#[source] rustls::Error),
    /// The PEM text does not parse.
    #[error("the {0} is not PEM")]
    Pem(&'static str, #[source] rustls::pki_types::pem::Error),
    /// There is no certificate in the chain.
    #[error("the certificate chain is empty")]
    EmptyChain,
    /// The leaf does not parse.
    #[error("the leaf certificate does not parse")]
    Leaf,
}

/// A worker's TLS identity: a P-256 key made in memory, never written, and a minimal certificate signed by itself.
///
/// Make a new one at each start and each rotation. Nothing in the certificate is evidence, its dates included; the gate
/// vouches for the key.
pub struct Identity {
    certificate: CertificateDer<'static>,
    spki: Vec<u8>,
    key: Arc<dyn SigningKey>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes a fresh key and its certificate.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut pair =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Generate)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "cocoon worker");
        let certificate = params
            .self_signed(&pair)
            .map_err(IdentityError::Certificate)?;
        let spki = pair.subject_public_key_info();
        let mut private = PrivatePkcs8KeyDer::from(pair.serialize_der());
        let key = any_ecdsa_type(&PrivateKeyDer::Pkcs8(private.clone_key()));
        pair.zeroize();
        private.zeroize();
        Ok(Self {
            certificate: certificate.der().clone(),
            spki,
            key: key.map_err(IdentityError::Key)?,
        })
    }

    /// The DER of the key's `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(super) fn key(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.key)
    }

    /// Signs with the only scheme of the profile; a P-256 key always offers it.
    pub(crate) fn signer(&self) -> Option<Box<dyn Signer>> {
        self.key
            .choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])
    }
}

/// The gateway's TLS identity on its worker listener: a chain from the pool's own CA and the leaf's key, used nowhere else.
pub struct GatewayIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    spki: Vec<u8>,
}

impl fmt::Debug for GatewayIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayIdentity")
            .field("certificate_count", &self.chain.len())
            .finish_non_exhaustive()
    }
}

impl GatewayIdentity {
    /// Reads a chain (leaf first) and the leaf's private key from PEM text.
    pub fn from_pem(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(chain_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| IdentityError::Pem("certificate chain", error))?;
        let key = PrivateKeyDer::from_pem_slice(key_pem)
            .map_err(|error| IdentityError::Pem("private key", error))?;
        let leaf = chain.first().ok_or(IdentityError::EmptyChain)?;
        let spki = subject_public_key_info(leaf).ok_or(IdentityError::Leaf)?;
        Ok(Self { chain, key, spki })
    }

    /// The DER of the leaf's `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(super) fn into_parts(
        self,
    ) -> (
        Vec<CertificateDer<'static>>,
        PrivateKeyDer<'static>,
        Vec<u8>,
    ) {
        (self.chain, self.key, self.spki)
    }
}
