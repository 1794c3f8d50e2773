//! The gateway's verifier of worker certificates: size, exactly one, P-256, proof of possession. No trust decision.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::certificate::subject_public_key_info;

/// A worker's certificate has about 330 bytes; what is larger is not one of ours.
const WORKER_CERTIFICATE_BYTES_MAX: usize = 2048;

/// The only DER encoding of a P-256 `SubjectPublicKeyInfo` with an uncompressed point (RFC 5480), up to the point's `0x04`.
const P256_SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const P256_SPKI_BYTES: usize = 91;

/// Why a client certificate is not a worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorkerCertificateError {
    /// More than one certificate was presented.
    #[error("more than one certificate was presented")]
    Count,
    /// The certificate is larger than any worker's.
    #[error("the certificate has {0} bytes, over the limit of {WORKER_CERTIFICATE_BYTES_MAX}")]
    Oversized(usize),
    /// The certificate does not parse.
    #[error("the certificate does not parse")]
    Malformed,
    /// The key is not on the curve P-256.
    #[error("the certificate's key is not P-256")]
    NotP256,
}

#[derive(Debug)]
pub(super) struct WorkerCertificateVerifier {
    provider: Arc<CryptoProvider>,
}

impl WorkerCertificateVerifier {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

impl ClientCertVerifier for WorkerCertificateVerifier {
    /// Worker certificates have no issuer, so there is none to hint at.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match single_p256(leaf, others) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(error) => Err(CertificateError::Other(OtherError(Arc::new(error))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::SupportedVersionsExtensionRequired.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn single_p256(leaf: &[u8], others: &[CertificateDer<'_>]) -> Result<(), WorkerCertificateError> {
    if !others.is_empty() {
        return Err(WorkerCertificateError::Count);
    }
    if leaf.len() > WORKER_CERTIFICATE_BYTES_MAX {
        return Err(WorkerCertificateError::Oversized(leaf.len()));
    }
    let spki = subject_public_key_info(leaf).ok_or(WorkerCertificateError::Malformed)?;
    if spki.len() != P256_SPKI_BYTES || !spki.starts_with(&P256_SPKI_PREFIX) {
        return Err(WorkerCertificateError::NotP256);
    }
    Ok(())
}
