//! The gateway's side of TLS: the server, which asks every client for a worker certificate.

use std::{fmt, sync::Arc};

use rustls::{ServerConfig, server::NoServerSessionStorage, version::TLS13};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{
    BoxedTransport, ChannelError, GatewayIdentity, Limits, TlsConfigError, Transport,
    error::{Peer, within},
    provider::provider,
    stream::split,
    subject_public_key_info,
    worker_certificate::WorkerCertificateVerifier,
};
use crate::{
    connection::{Connection, Ends},
    gate::{GatewaySide, Unattested},
    profile::PROFILE,
    rebind::GatewayRebinder,
};

/// Accepts workers. Cheap to clone.
#[derive(Clone)]
pub struct GatewayTls {
    config: Arc<ServerConfig>,
    spki: Arc<[u8]>,
    limits: Limits,
}

impl fmt::Debug for GatewayTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayTls").finish_non_exhaustive()
    }
}

impl GatewayTls {
    /// An acceptor that speaks as `identity`. TLS must end here: behind a balancer that ends it the gate fails closed.
    pub fn new(identity: GatewayIdentity) -> Result<Self, TlsConfigError> {
        let (chain, key, spki) = identity.into_parts();
        let provider = provider();
        let verifier = WorkerCertificateVerifier::new(Arc::clone(&provider));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsConfigError::Config)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(chain, key)
            .map_err(TlsConfigError::Config)?;
        config.alpn_protocols = vec![PROFILE.alpn.to_vec()];
        // Attestation is of one connection: nothing may carry over to another, and nothing may arrive before it.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(Self {
            config: Arc::new(config),
            spki: spki.into(),
            limits: Limits::default(),
        })
    }

    /// The same with other time limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The DER of the gateway's `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Does the TLS handshake over `transport` (a TCP stream should have `TCP_NODELAY` set).
    pub async fn accept(
        &self,
        transport: impl Transport,
    ) -> Result<Unattested<GatewaySide>, ChannelError> {
        let transport: BoxedTransport = Box::new(transport);
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        let stream = within(
            self.limits.handshake,
            Peer::Worker,
            acceptor.accept(transport),
        )
        .await?;

        let (_, tls) = stream.get_ref();
        if tls.alpn_protocol() != Some(PROFILE.alpn) {
            return Err(ChannelError::AlpnMissing);
        }
        let worker_leaf = tls
            .peer_certificates()
            .and_then(<[_]>::first)
            .ok_or(ChannelError::Unfinished)?;
        let ends = Ends {
            hash: Ends::suite_hash(tls.negotiated_cipher_suite())?,
            worker_leaf: worker_leaf.clone().into_owned(),
            worker_spki: subject_public_key_info(worker_leaf).ok_or(ChannelError::Unfinished)?,
            gateway_spki: self.spki.to_vec(),
        };
        let (io, live) = split(TlsStream::Server(stream));
        let rebinder = GatewayRebinder::new(Connection::new(live, ends)?);
        Ok(Unattested::new(
            io,
            self.limits.gate,
            GatewaySide::new(rebinder),
        ))
    }
}
