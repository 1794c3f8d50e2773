//! The worker's side of TLS: the client, which pins the pool's CA.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    client::{Resumption, WebPkiServerVerifier},
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use tokio_rustls::{TlsConnector, TlsStream};

use super::{
    BoxedTransport, ChannelError, Identity, Limits, TlsConfigError, Transport,
    error::{Peer, within},
    provider::provider,
    stream::split,
    subject_public_key_info,
};
use crate::{
    connection::{Connection, Ends},
    gate::{Unattested, WorkerSide},
    profile::PROFILE,
    rebind::WorkerRebinder,
};

/// Dials gateways. Cheap to clone; the identity lives as long as the last clone and the last connection.
#[derive(Clone)]
pub struct WorkerTls {
    config: Arc<ClientConfig>,
    identity: Arc<Identity>,
    server_name: ServerName<'static>,
    limits: Limits,
}

impl fmt::Debug for WorkerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerTls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Reads the pool's CA certificates from PEM text.
pub fn pool_ca_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(TlsConfigError::PoolCaPem)
}

impl WorkerTls {
    /// A dialler that speaks as `identity` and accepts only a gateway whose certificate for `server_name` comes from one of
    /// `pool_ca`. No other root counts. Dates are held against the system's clock.
    pub fn new(
        identity: Identity,
        pool_ca: &[CertificateDer<'static>],
        server_name: &str,
    ) -> Result<Self, TlsConfigError> {
        let server_name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| TlsConfigError::ServerName(server_name.to_owned()))?;
        let config = client_config(&identity, pool_ca)?;
        Ok(Self {
            config: Arc::new(config),
            identity: Arc::new(identity),
            server_name,
            limits: Limits::default(),
        })
    }

    /// The same with other time limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The DER of the worker's `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        self.identity.spki()
    }

    /// Does the TLS handshake over `transport` (a TCP stream should have `TCP_NODELAY` set).
    pub async fn connect(
        &self,
        transport: impl Transport,
    ) -> Result<Unattested<WorkerSide>, ChannelError> {
        let transport: BoxedTransport = Box::new(transport);
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = within(
            self.limits.handshake,
            Peer::Gateway,
            connector.connect(self.server_name.clone(), transport),
        )
        .await?;

        let (_, tls) = stream.get_ref();
        if tls.alpn_protocol() != Some(PROFILE.alpn) {
            return Err(ChannelError::AlpnMissing);
        }
        let gateway_leaf = tls
            .peer_certificates()
            .and_then(<[_]>::first)
            .ok_or(ChannelError::Unfinished)?;
        let ends = Ends {
            hash: Ends::suite_hash(tls.negotiated_cipher_suite())?,
            worker_leaf: self.identity.certificate().clone(),
            worker_spki: self.identity.spki().to_vec(),
            gateway_spki: subject_public_key_info(gateway_leaf).ok_or(ChannelError::Unfinished)?,
        };
        let (io, live) = split(TlsStream::Client(stream));
        let connection = Connection::new(live, ends)?;
        let rebinder = WorkerRebinder::new(connection, Arc::clone(&self.identity));
        Ok(Unattested::new(
            io,
            self.limits.gate,
            WorkerSide::new(rebinder, &self.server_name),
        ))
    }
}

fn client_config(
    identity: &Identity,
    pool_ca: &[CertificateDer<'static>],
) -> Result<ClientConfig, TlsConfigError> {
    let provider = provider();
    let mut roots = RootCertStore::empty();
    for certificate in pool_ca {
        roots
            .add(certificate.clone())
            .map_err(TlsConfigError::PoolCa)?;
    }
    if roots.is_empty() {
        return Err(TlsConfigError::NoPoolCa);
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(TlsConfigError::Verifier)?;
    let certified = CertifiedKey::new(vec![identity.certificate().clone()], identity.key());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsConfigError::Config)?
        .with_webpki_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![PROFILE.alpn.to_vec()];
    // Attestation is of one connection: nothing may carry over from another, and nothing may be sent before it.
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}
