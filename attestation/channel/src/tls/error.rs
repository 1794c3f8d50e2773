//! Why a connection is refused before the gate.

use std::{io, time::Duration};

use attestation::ErrorCode;
use rustls::{AlertDescription, CertificateError, Error, PeerMisbehaved};

use super::WorkerCertificateError;

/// Why TLS cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// The configuration names no CA of the pool.
    #[error("no certificate of the pool's CA is given")]
    NoPoolCa,
    /// The PEM text of the pool's CA does not parse.
    #[error("the pool's CA is not PEM")]
    PoolCaPem(#[source] rustls::pki_types::pem::Error),
    /// A certificate of the pool's CA cannot be a trust anchor.
    #[error("a certificate of the pool's CA is unusable")]
    PoolCa(#[source] Error),
    /// The pinned CA yields no verifier.
    #[error("the pinned CA cannot be used")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// The gateway's name is neither a DNS name nor an IP address.
    #[error("{0:?} is not a server name")]
    ServerName(String),
    /// The certificate or the key does not fit the rest.
    #[error("the TLS configuration is not consistent")]
    Config(#[source] Error),
}

/// Why a connection never reaches the gate.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The handshake took too long.
    #[error("the TLS handshake was not over after {after:?}")]
    Deadline {
        /// The time it was given.
        after: Duration,
    },
    /// The connection failed or ended during the handshake.
    #[error("the connection failed during the TLS handshake")]
    Io(#[source] io::Error),
    /// What the peer sends is not TLS.
    #[error("the peer does not speak TLS")]
    NotTls(#[source] Error),
    /// The peer offers no version, suite or group that the profile allows.
    #[error("the peer does not speak TLS 1.3 as the profile wants it")]
    Incompatible(#[source] Error),
    /// The peer negotiated no application protocol.
    #[error("the peer names no application protocol")]
    AlpnMissing,
    /// The peer wants another application protocol.
    #[error("the peer wants another application protocol")]
    AlpnOther,
    /// The worker presented no certificate, or none with a P-256 key.
    #[error("the worker presented no certificate")]
    NoWorkerCertificate,
    /// The certificate presented is not a worker's.
    #[error("the client certificate is not a worker's")]
    WorkerCertificate(#[source] WorkerCertificateError),
    /// The worker does not hold the key of the certificate that it presented.
    #[error("the worker does not hold its certificate's key")]
    WorkerKey(#[source] Error),
    /// The gateway's certificate does not come from the pinned CA, or not any more.
    #[error("the gateway's certificate is not from the pool's CA")]
    GatewayCertificate(#[source] Error),
    /// The gateway's certificate is for another name.
    #[error("the gateway's certificate is for another name")]
    GatewayName(#[source] Error),
    /// The peer ended the handshake with an alert.
    #[error("the peer refused the TLS handshake")]
    RefusedByPeer(#[source] Error),
    /// TLS failed otherwise.
    #[error("the TLS handshake failed")]
    Tls(#[source] Error),
    /// The handshake ended without what every finished handshake has.
    #[error("the TLS handshake left no suite, certificate or exporter")]
    Unfinished,
}

/// Who is at the other end of a handshake.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    Worker,
    Gateway,
}

/// Bounds a handshake with `peer` in time and names what went wrong with it.
pub(super) async fn within<T>(
    limit: Duration,
    peer: Peer,
    handshake: impl Future<Output = io::Result<T>>,
) -> Result<T, ChannelError> {
    match tokio::time::timeout(limit, handshake).await {
        Ok(finished) => finished.map_err(|error| ChannelError::from_handshake(error, peer)),
        Err(_) => Err(ChannelError::Deadline { after: limit }),
    }
}

impl ChannelError {
    /// The stable code of this refusal.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Io(_) => ErrorCode::ConnectionLost,
            Self::NotTls(_) => ErrorCode::TlsNotSpoken,
            Self::Incompatible(_) => ErrorCode::TlsIncompatible,
            Self::AlpnMissing | Self::AlpnOther => ErrorCode::AlpnMismatch,
            Self::NoWorkerCertificate => ErrorCode::WorkerCertificateMissing,
            Self::WorkerCertificate(_) | Self::WorkerKey(_) => ErrorCode::WorkerCertificateInvalid,
            Self::GatewayCertificate(_) => ErrorCode::GatewayCertificateUntrusted,
            Self::GatewayName(_) => ErrorCode::GatewayNameMismatch,
            Self::Deadline { .. } | Self::RefusedByPeer(_) | Self::Tls(_) | Self::Unfinished => {
                ErrorCode::TlsFailed
            }
        }
    }

    /// Sorts what the handshake reports into the refusals that have a name.
    fn from_handshake(error: io::Error, peer: Peer) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>())
        {
            Some(tls) => Self::from_tls(tls.clone(), peer),
            None => Self::Io(error),
        }
    }

    fn from_tls(error: Error, peer: Peer) -> Self {
        match error {
            Error::InvalidMessage(_) => Self::NotTls(error),
            Error::PeerIncompatible(_)
            | Error::AlertReceived(AlertDescription::ProtocolVersion) => Self::Incompatible(error),
            Error::NoApplicationProtocol
            | Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
                Self::AlpnOther
            }
            Error::AlertReceived(_) => Self::RefusedByPeer(error),
            Error::NoCertificatesPresented => Self::NoWorkerCertificate,
            Error::InvalidCertificate(why) => Self::from_certificate(why, peer),
            other => Self::Tls(other),
        }
    }

    fn from_certificate(why: CertificateError, peer: Peer) -> Self {
        if let CertificateError::Other(other) = &why
            && let Some(error) = other.0.downcast_ref::<WorkerCertificateError>()
        {
            return Self::WorkerCertificate(*error);
        }
        let is_name = matches!(
            why,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        );
        match peer {
            Peer::Worker => Self::WorkerKey(why.into()),
            Peer::Gateway if is_name => Self::GatewayName(why.into()),
            Peer::Gateway => Self::GatewayCertificate(why.into()),
        }
    }
}
