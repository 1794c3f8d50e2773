//! TLS 1.3 mutual authentication: which *keys* speak. What speaks is the gate's to find out.
//!
//! Both sides: ring, TLS 1.3 only, no tickets, no resumption, no early data, one ALPN value. The verifiers here do no I/O
//! and take no trust decision beyond the worker's pin of the pool's own CA.

mod certificate;
mod error;
mod gateway;
mod identity;
mod provider;
mod stream;
mod worker;
mod worker_certificate;

pub(crate) use certificate::subject_public_key_info;
pub use error::{ChannelError, TlsConfigError};
pub use gateway::GatewayTls;
pub use identity::{GatewayIdentity, Identity, IdentityError};
pub use stream::Transport;
pub(crate) use stream::{BoxedTransport, LiveTls, TlsIo};
pub use worker::{WorkerTls, pool_ca_from_pem};
pub use worker_certificate::WorkerCertificateError;

use std::time::Duration;

/// How long a peer may take, on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The TLS handshake: two round trips and two signatures. Ten seconds serve the slowest line and free the socket of
    /// a peer that says nothing.
    pub handshake: Duration,
    /// The gate: four frames, one quote (up to a second on a stock kernel, more where many workers of one machine start at
    /// once) and one admission.
    pub gate: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            gate: Duration::from_secs(30),
        }
    }
}
