//! HTTPS: TLS 1.3 or 1.2, then HTTP/2 or HTTP/1.1 as the client asks.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::router;
use crate::gateway::Gateway;
use crate::limits::{API_CONNECTIONS_MAX, API_HANDSHAKE};
use crate::listener::accept;
use crate::serving::{Protocol, serve_connection};

/// The API listener's side of TLS.
#[derive(Clone)]
pub(crate) struct ApiTls(TlsAcceptor);

/// Why the API listener has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum ApiTlsError {
    #[error("the certificate chain is not PEM")]
    Chain(#[source] pem::Error),
    #[error("the certificate file holds no certificate")]
    NoCertificate,
    #[error("the key is not PEM")]
    Key(#[source] pem::Error),
    #[error("certificate and key cannot be used")]
    Config(#[source] rustls::Error),
}

impl ApiTls {
    pub(crate) fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, ApiTlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(ApiTlsError::Chain)?;
        if chain.is_empty() {
            return Err(ApiTlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(ApiTlsError::Key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(ApiTlsError::Config)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(ApiTlsError::Config)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

/// Serves the API until the gateway stops; requests in progress are answered.
pub(crate) async fn serve(gateway: Arc<Gateway>, listener: TcpListener, tls: ApiTls) {
    let router = router(Arc::clone(&gateway));
    let places = Arc::new(Semaphore::new(API_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    while let Some((stream, peer)) = accept(&listener, &gateway.stopping).await {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            gateway.metrics.connection_refused("api", "connections");
            continue;
        };
        let (gateway, tls, router) = (Arc::clone(&gateway), tls.clone(), router.clone());
        connections.spawn(async move {
            connection(&gateway, &tls, router, stream, peer).await;
            drop(place);
        });
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(
    gateway: &Gateway,
    tls: &ApiTls,
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
) {
    // Answers are small; without it each waits for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let handshake = tokio::time::timeout(API_HANDSHAKE, tls.0.accept(stream));
    let stream = tokio::select! {
        () = gateway.stopping.cancelled() => return,
        handshake = handshake => match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                gateway.metrics.connection_refused("api", "tls");
                tracing::debug!(%peer, %error, "no TLS");
                return;
            }
            Err(_) => {
                gateway.metrics.connection_refused("api", "tls-timeout");
                return;
            }
        },
    };
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    if let Err(error) = serve_connection(stream, protocol, router, &gateway.stopping).await {
        tracing::debug!(%peer, error = crate::problem::chain(&error), "an API connection failed");
    }
}
