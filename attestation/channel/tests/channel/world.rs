//! The harness: a pool with its CA, a gateway and a worker; honest and dishonest attesters; a client built by hand.

use std::{error::Error, sync::Arc};

use attestation::{Binding, ErrorCode};
use channel::{
    Admission, Admitted, AttestedGateway, AttestedWorker, Attester, AttesterError, CertificateDer,
    ChannelError, GateError, GatewayIdentity, GatewaySide, GatewayTls, Identity, OpaqueEvidence,
    PROFILE, Presented, Refusal, Unattested, Verdict, WorkerSide, WorkerTls,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    client::ResolvesClientCert,
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::PrivateKeyDer,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use tokio::io::DuplexStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) const GATEWAY_NAME: &str = "gateway.pool.test";
pub(crate) const CLAIMS: &[u8] = b"claims";
const REPORT_DATA_BYTES: usize = 64;

/// What a pipe holds: smaller than an authenticator, so that both sides must keep reading.
const PIPE_BYTES: usize = 16 * 1024;

/// A certificate authority of a pool.
pub(crate) struct PoolCa(CertifiedIssuer<'static, KeyPair>);

impl PoolCa {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A gateway's chain and key in PEM.
    pub(crate) fn issue_pem(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.0)
            .unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn issue(&self, name: &str) -> GatewayIdentity {
        let (chain, key) = self.issue_pem(name);
        GatewayIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }
}

/// A pool of one gateway and one worker.
pub(crate) struct World {
    pub(crate) ca: PoolCa,
    pub(crate) gateway: GatewayTls,
    pub(crate) worker: WorkerTls,
}

impl World {
    pub(crate) fn new() -> Self {
        let ca = PoolCa::new();
        let gateway = GatewayTls::new(ca.issue(GATEWAY_NAME)).unwrap();
        let worker = worker(&ca, GATEWAY_NAME);
        Self {
            ca,
            gateway,
            worker,
        }
    }

    /// Both ends of a fresh connection of this worker to this gateway.
    pub(crate) async fn connect(&self) -> (Unattested<WorkerSide>, Unattested<GatewaySide>) {
        let (worker, gateway) = connect(&self.worker, &self.gateway).await;
        (worker.unwrap(), gateway.unwrap())
    }

    /// Both ends of a fresh connection that has passed the gate.
    pub(crate) async fn attested(&self) -> (AttestedWorker, AttestedGateway<String>) {
        let (worker, gateway) = self.connect().await;
        let honest = Honest::default();
        let (worker, gateway) = tokio::join!(worker.attest(&honest), gateway.attest(&Strict));
        (worker.unwrap(), gateway.unwrap())
    }

    /// The refusals on both sides when a worker attests with `attester`.
    pub(crate) async fn refused(&self, attester: &impl Attester) -> (GateError, GateError) {
        let (worker, gateway) = self.connect().await;
        let (worker, gateway) = tokio::join!(worker.attest(attester), gateway.attest(&Strict));
        (worker.unwrap_err(), gateway.unwrap_err())
    }

    /// What the gateway says to a client with this TLS configuration, and the client's own end.
    pub(crate) async fn accept(
        &self,
        config: ClientConfig,
    ) -> (
        std::io::Result<TlsStream<DuplexStream>>,
        Result<Unattested<GatewaySide>, ChannelError>,
    ) {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let connector = TlsConnector::from(Arc::new(config));
        tokio::join!(
            connector.connect(GATEWAY_NAME.try_into().unwrap(), near),
            self.gateway.accept(far)
        )
    }

    /// A client built by hand that passes the handshake and then says what it likes.
    pub(crate) async fn intruder(&self) -> (TlsStream<DuplexStream>, Unattested<GatewaySide>) {
        let (key, certificate) = p256();
        let config = client_config(
            &self.ca,
            Some(certified(vec![certificate], &key)),
            &[PROFILE.alpn],
        );
        let (client, gateway) = self.accept(config).await;
        (client.unwrap(), gateway.unwrap())
    }
}

pub(crate) fn worker(ca: &PoolCa, gateway_name: &str) -> WorkerTls {
    WorkerTls::new(
        Identity::generate().unwrap(),
        &[ca.certificate()],
        gateway_name,
    )
    .unwrap()
}

pub(crate) async fn connect(
    worker: &WorkerTls,
    gateway: &GatewayTls,
) -> (
    Result<Unattested<WorkerSide>, ChannelError>,
    Result<Unattested<GatewaySide>, ChannelError>,
) {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    tokio::join!(worker.connect(near), gateway.accept(far))
}

pub(crate) fn p256() -> (KeyPair, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    (key, certificate.der().clone())
}

pub(crate) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
) -> Arc<dyn ResolvesClientCert> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)))
}

/// A TLS 1.3 client that trusts `ca`, with any certificate and any application protocols.
pub(crate) fn client_config(
    ca: &PoolCa,
    certificate: Option<Arc<dyn ResolvesClientCert>>,
    alpn: &[&[u8]],
) -> ClientConfig {
    client_config_with(Arc::new(default_provider()), ca, certificate, alpn)
}

/// The same with another provider, whose suites decide the version too.
pub(crate) fn client_config_with(
    provider: Arc<CryptoProvider>,
    ca: &PoolCa,
    certificate: Option<Arc<dyn ResolvesClientCert>>,
    alpn: &[&[u8]],
) -> ClientConfig {
    let version = if provider
        .cipher_suites
        .iter()
        .any(|suite| suite.tls13().is_some())
    {
        &TLS13
    } else {
        &TLS12
    };
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match certificate {
        Some(certificate) => builder.with_client_cert_resolver(certificate),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// Evidence that carries the report data of its binding, as a quote does.
pub(crate) fn evidence(binding: &Binding, device_evidence: Option<Vec<u8>>) -> OpaqueEvidence {
    let preimage = binding.preimage(device_evidence.as_deref().unwrap_or_default(), CLAIMS);
    let cmw = [preimage.report_data().bytes().as_slice(), CLAIMS].concat();
    OpaqueEvidence {
        cmw: cmw.into(),
        device_evidence: device_evidence.map(Into::into),
    }
}

/// A worker that tells the truth.
#[derive(Default)]
pub(crate) struct Honest {
    pub(crate) device_evidence: Option<Vec<u8>>,
}

impl Attester for Honest {
    async fn evidence(&self, binding: Binding) -> Result<OpaqueEvidence, AttesterError> {
        Ok(evidence(&binding, self.device_evidence.clone()))
    }
}

/// A worker that binds its evidence to something else.
pub(crate) struct Bound<F>(pub(crate) F);

impl<F: Fn(Binding) -> Binding + Send + Sync> Attester for Bound<F> {
    async fn evidence(&self, binding: Binding) -> Result<OpaqueEvidence, AttesterError> {
        Ok(evidence(&(self.0)(binding), None))
    }
}

/// A worker whose quote never comes.
pub(crate) struct Silent;

impl Attester for Silent {
    async fn evidence(&self, _: Binding) -> Result<OpaqueEvidence, AttesterError> {
        std::future::pending().await
    }
}

/// A worker whose quote broker fails.
pub(crate) struct Broken;

impl Attester for Broken {
    async fn evidence(&self, _: Binding) -> Result<OpaqueEvidence, AttesterError> {
        Err(AttesterError::new("the broker is gone"))
    }
}

/// Admission that recomputes the report data from the gateway's own view and compares.
pub(crate) struct Strict;

impl Admission for Strict {
    type Session = String;

    async fn admit(&self, presented: Presented) -> Result<Admitted<String>, Refusal> {
        let mismatch = Refusal {
            code: ErrorCode::ReportDataMismatch,
        };
        let (report_data, claims) = presented
            .evidence
            .cmw
            .split_at_checked(REPORT_DATA_BYTES)
            .ok_or(mismatch)?;
        let device_evidence = presented
            .evidence
            .device_evidence
            .as_deref()
            .unwrap_or_default();
        if presented
            .binding
            .preimage(device_evidence, claims)
            .report_data()
            .bytes()
            != report_data
        {
            return Err(mismatch);
        }
        Ok(Admitted {
            session: "the session".to_owned(),
            verdict: verdict(),
        })
    }
}

pub(crate) fn verdict() -> Verdict {
    Verdict {
        session_id: "01JD0000000000000000000000".to_owned(),
        reattest_by_s: 600,
        max_age_s: 86_400,
    }
}

/// An error and its sources, as a log shows them.
pub(crate) fn chain(error: &dyn Error) -> String {
    let sources = std::iter::successors(error.source(), |&error| error.source());
    sources.fold(error.to_string(), |text, source| {
        format!("{text}: {source}")
    })
}
