//! Connecting: TCP, TLS, the gate, HTTP/2. A new TLS key each time, so that none outlives its connection.

use std::sync::Arc;
use std::time::Duration;

use attestation::ErrorCode;
use channel::{
    ChannelError, GateError, HttpError, Identity, IdentityError, TlsConfigError, WorkerDriver,
    WorkerHttp, WorkerTls,
};
use protocol::SessionId;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::GatewayConfig;
use crate::evidence::WorkerEvidence;
use crate::machine::Session;

/// Resolving a name and reaching a machine; handshake and gate have limits of their own.
const TCP_LIMIT: Duration = Duration::from_secs(10);

/// Connects to the gateway.
#[derive(Debug, Clone)]
pub struct Connector {
    pub gateway: GatewayConfig,
    pub evidence: Arc<WorkerEvidence>,
}

/// An admitted connection. Poll the driver, then open the control stream.
#[derive(Debug)]
pub struct Connected {
    pub http: WorkerHttp,
    pub driver: WorkerDriver,
    pub session: Session,
    pub reattest_by_s: u32,
}

/// Why there is no admitted connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot reach the gateway at {address}")]
    Unreachable {
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the gateway at {0} did not take the connection within {TCP_LIMIT:?}")]
    TcpTimeout(String),
    #[error("cannot make a TLS key")]
    Identity(#[source] IdentityError),
    #[error("cannot set TLS up")]
    TlsConfig(#[source] TlsConfigError),
    #[error("no attested channel to the gateway")]
    Channel(#[source] ChannelError),
    #[error("the gate was not passed")]
    Gate(#[source] GateError),
    #[error("no attestation id was recorded")]
    NoAttestation,
    #[error("the gateway's session id `{0}` is not a ULID")]
    SessionId(String),
    #[error("HTTP/2 does not start")]
    Http(#[source] HttpError),
}

impl ConnectError {
    /// The stable code, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Channel(error) => Some(error.code()),
            Self::Gate(error) => Some(error.code()),
            _ => None,
        }
    }

    /// The gateway refused this worker with a code that a quick retry does not change.
    #[must_use]
    pub fn wants_slow_retry(&self) -> bool {
        matches!(self, Self::Gate(GateError::Refused { code }) if code.wants_slow_retry())
    }
}

impl Connector {
    pub async fn connect(&self) -> Result<Connected, ConnectError> {
        let stream = self.tcp().await?;
        let identity = Identity::generate().map_err(ConnectError::Identity)?;
        let tls = WorkerTls::new(identity, &self.gateway.pool_ca, &self.gateway.server_name)
            .map_err(ConnectError::TlsConfig)?;
        let unattested = tls.connect(stream).await.map_err(ConnectError::Channel)?;
        let attester = self.evidence.attester();
        let worker = unattested
            .attest(&attester)
            .await
            .map_err(ConnectError::Gate)?;
        let verdict = worker.verdict();
        let id: SessionId = verdict
            .session_id
            .parse()
            .map_err(|_| ConnectError::SessionId(verdict.session_id.clone()))?;
        let reattest_by_s = verdict.reattest_by_s;
        let attestation = attester.attestation().ok_or(ConnectError::NoAttestation)?;
        let (http, driver) = worker.into_http2().await.map_err(ConnectError::Http)?;
        Ok(Connected {
            http,
            driver,
            session: Session { id, attestation },
            reattest_by_s,
        })
    }

    async fn tcp(&self) -> Result<TcpStream, ConnectError> {
        let address = &self.gateway.address;
        let unreachable = |source| ConnectError::Unreachable {
            address: address.clone(),
            source,
        };
        let stream = timeout(TCP_LIMIT, TcpStream::connect(address))
            .await
            .map_err(|_| ConnectError::TcpTimeout(address.clone()))?
            .map_err(unreachable)?;
        // Acks and leases are single small writes that somebody waits for.
        stream.set_nodelay(true).map_err(unreachable)?;
        Ok(stream)
    }
}
