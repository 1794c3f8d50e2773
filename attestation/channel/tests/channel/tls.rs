//! Clients and gateways that do not speak TLS as the profile wants it.

use std::{sync::Arc, time::Duration};

use attestation::ErrorCode;
use channel::{
    CertificateDer, ChannelError, GatewaySide, Limits, PROFILE, Unattested, WorkerCertificateError,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P384_SHA384};
use rustls::{
    HandshakeKind, ServerConfig, SignatureAlgorithm, SignatureScheme,
    client::ResolvesClientCert,
    crypto::ring::default_provider,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    sign::{CertifiedKey, Signer, SigningKey},
    version::TLS13,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::world::{
    GATEWAY_NAME, World, certified, chain, client_config, client_config_with, p256,
};

#[track_caller]
fn refusal(
    accepted: Result<Unattested<GatewaySide>, ChannelError>,
    code: ErrorCode,
) -> ChannelError {
    let error = accepted.unwrap_err();
    assert_eq!(error.code(), code, "{}", chain(&error));
    error
}

#[tokio::test]
async fn nonsense_before_tls_is_refused() {
    let world = World::new();
    let (mut near, far) = tokio::io::duplex(1024);
    near.write_all(b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n")
        .await
        .unwrap();
    let error = refusal(world.gateway.accept(far).await, ErrorCode::TlsNotSpoken);
    assert!(matches!(error, ChannelError::NotTls(_)), "{error:?}");
}

#[tokio::test]
async fn a_client_that_hangs_up_is_named() {
    let world = World::new();
    let (mut near, far) = tokio::io::duplex(1024);
    near.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    drop(near);
    refusal(world.gateway.accept(far).await, ErrorCode::ConnectionLost);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_dropped() {
    let world = World::new();
    let (_near, far) = tokio::io::duplex(1024);
    let gateway = world.gateway.clone().with_limits(Limits {
        handshake: Duration::from_secs(3),
        ..Limits::default()
    });
    let error = refusal(gateway.accept(far).await, ErrorCode::TlsFailed);
    assert!(matches!(error, ChannelError::Deadline { after } if after.as_secs() == 3));
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let world = World::new();
    let (key, certificate) = p256();
    let mut provider = default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_none());
    let certificate = certified(vec![certificate], &key);
    let config = client_config_with(
        Arc::new(provider),
        &world.ca,
        Some(certificate),
        &[PROFILE.alpn],
    );
    let (_client, gateway) = world.accept(config).await;
    let error = refusal(gateway, ErrorCode::TlsIncompatible);
    assert!(matches!(error, ChannelError::Incompatible(_)), "{error:?}");
}

#[tokio::test]
async fn no_connection_resumes_another() {
    let world = World::new();
    let (key, certificate) = p256();
    // A client that would resume if it could: rustls keeps sessions in memory by default.
    let config = client_config(
        &world.ca,
        Some(certified(vec![certificate], &key)),
        &[PROFILE.alpn],
    );
    for _ in 0..3 {
        let (client, gateway) = world.accept(config.clone()).await;
        let mut client = client.unwrap();
        let _gateway = gateway.unwrap();
        drop(tokio::time::timeout(Duration::from_millis(20), client.read_u8()).await);
        let (_, tls) = client.get_ref();
        assert_eq!(tls.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(tls.tls13_tickets_received(), 0);
    }
}

async fn accept_alpn(alpn: &[&[u8]]) -> ChannelError {
    let world = World::new();
    let (key, certificate) = p256();
    let config = client_config(&world.ca, Some(certified(vec![certificate], &key)), alpn);
    let (_client, gateway) = world.accept(config).await;
    refusal(gateway, ErrorCode::AlpnMismatch)
}

#[tokio::test]
async fn a_worker_without_alpn_is_refused() {
    let error = accept_alpn(&[]).await;
    assert!(matches!(error, ChannelError::AlpnMissing), "{error:?}");
}

#[tokio::test]
async fn a_worker_of_another_alpn_is_refused() {
    let error = accept_alpn(&[b"h2", b"cocoon-attest/2"]).await;
    assert!(matches!(error, ChannelError::AlpnOther), "{error:?}");
}

/// What the worker says to a gateway of the right name and CA with other application protocols.
async fn connect_alpn(alpn: &[&[u8]]) -> ChannelError {
    let world = World::new();
    let (certificate, key) = world.ca.issue_pem(GATEWAY_NAME);
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let (near, far) = tokio::io::duplex(16 * 1024);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (worker, _gateway) = tokio::join!(world.worker.connect(near), acceptor.accept(far));
    let error = worker.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AlpnMismatch, "{}", chain(&error));
    error
}

#[tokio::test]
async fn a_gateway_without_alpn_is_refused() {
    let error = connect_alpn(&[]).await;
    assert!(matches!(error, ChannelError::AlpnMissing), "{error:?}");
}

#[tokio::test]
async fn a_gateway_of_another_alpn_is_refused() {
    let error = connect_alpn(&[b"h2"]).await;
    assert!(matches!(error, ChannelError::AlpnOther), "{error:?}");
}

async fn accept_certificate(
    certificate: Option<Arc<dyn ResolvesClientCert>>,
    code: ErrorCode,
) -> ChannelError {
    let world = World::new();
    let (_client, gateway) = world
        .accept(client_config(&world.ca, certificate, &[PROFILE.alpn]))
        .await;
    refusal(gateway, code)
}

#[track_caller]
fn assert_certificate(error: &ChannelError, wanted: WorkerCertificateError) {
    assert!(
        matches!(error, ChannelError::WorkerCertificate(seen) if *seen == wanted),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let error = accept_certificate(None, ErrorCode::WorkerCertificateMissing).await;
    assert!(
        matches!(error, ChannelError::NoWorkerCertificate),
        "{error:?}"
    );
}

/// Offers a signature scheme that its key does not have: only so does a certificate of another kind reach the gateway.
#[derive(Debug)]
struct Pretender;

impl SigningKey for Pretender {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Self))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Pretender {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(vec![0; 70])
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

fn pretend(chain: Vec<CertificateDer<'static>>) -> Arc<dyn ResolvesClientCert> {
    let certified = CertifiedKey::new(chain, Arc::new(Pretender));
    Arc::new(rustls::sign::SingleCertAndKey::from(certified))
}

#[tokio::test]
async fn an_rsa_certificate_is_refused() {
    let rsa = CertificateDer::from_pem_slice(include_bytes!("rsa.pem")).unwrap();
    let error = accept_certificate(
        Some(pretend(vec![rsa])),
        ErrorCode::WorkerCertificateInvalid,
    )
    .await;
    assert_certificate(&error, WorkerCertificateError::NotP256);
}

#[tokio::test]
async fn a_p384_certificate_is_refused() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    let error = accept_certificate(
        Some(pretend(vec![certificate.der().clone()])),
        ErrorCode::WorkerCertificateInvalid,
    )
    .await;
    assert_certificate(&error, WorkerCertificateError::NotP256);
}

#[tokio::test]
async fn two_certificates_are_refused() {
    let (key, certificate) = p256();
    let chain = certified(vec![certificate.clone(), certificate], &key);
    let error = accept_certificate(Some(chain), ErrorCode::WorkerCertificateInvalid).await;
    assert_certificate(&error, WorkerCertificateError::Count);
}

#[tokio::test]
async fn a_large_certificate_is_refused() {
    let mut params = CertificateParams::default();
    params.custom_extensions = vec![CustomExtension::from_oid_content(
        &[1, 3, 9999],
        vec![0; 4096],
    )];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let bytes = certificate.len();
    let error = accept_certificate(
        Some(certified(vec![certificate], &key)),
        ErrorCode::WorkerCertificateInvalid,
    )
    .await;
    assert_certificate(&error, WorkerCertificateError::Oversized(bytes));
}

#[tokio::test]
async fn a_malformed_certificate_is_refused() {
    let certificate = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    let error = accept_certificate(
        Some(pretend(vec![certificate])),
        ErrorCode::WorkerCertificateInvalid,
    )
    .await;
    assert_certificate(&error, WorkerCertificateError::Malformed);
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_is_refused() {
    let (_key, certificate) = p256();
    let error = accept_certificate(
        Some(pretend(vec![certificate])),
        ErrorCode::WorkerCertificateInvalid,
    )
    .await;
    assert!(matches!(error, ChannelError::WorkerKey(_)), "{error:?}");
}
