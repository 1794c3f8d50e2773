//! The gate: four frames on a finished TLS connection, before any task byte, that establish *what* speaks.
//!
//! ```text
//! gateway → worker  AUTH_REQUEST     profile id, RFC 9261 CertificateRequest with 32 random bytes of context
//! worker → gateway  DEVICE_EVIDENCE  only where the device evidence does not fit the authenticator
//! worker → gateway  AUTHENTICATOR    Certificate ‖ CertificateVerify ‖ Finished, the evidence in the certificate's entry
//! gateway → worker  OUTCOME          the session, or a stable error code and then close
//! ```
//!
//! An [`Unattested`] connection can do nothing but pass the gate: no method of it carries anything else.

mod error;
mod gateway;
mod outcome;
mod worker;

use std::{fmt, time::Duration};

pub use error::GateError;
pub use gateway::{AttestedGateway, GatewaySide};
pub use outcome::{Outcome, OutcomeError};
pub use worker::{AttestedWorker, WorkerSide};

use crate::{
    frame::{Frame, FrameKind, read_frame},
    tls::TlsIo,
};

/// A connection whose keys are established and whose worker is not: all it can do is [`attest`](Unattested::attest).
///
/// `Side` is [`WorkerSide`] or [`GatewaySide`].
pub struct Unattested<Side> {
    io: TlsIo,
    limit: Duration,
    side: Side,
}

impl<Side> fmt::Debug for Unattested<Side> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unattested").finish_non_exhaustive()
    }
}

impl<Side> Unattested<Side> {
    pub(crate) fn new(io: TlsIo, limit: Duration, side: Side) -> Self {
        Self { io, limit, side }
    }
}

/// Bounds the gate in time.
async fn within<T>(
    limit: Duration,
    exchange: impl Future<Output = Result<T, GateError>>,
) -> Result<T, GateError> {
    tokio::time::timeout(limit, exchange)
        .await
        .unwrap_or(Err(GateError::Deadline { after: limit }))
}

/// Reads a frame that must be of one kind.
async fn read_only(io: &mut TlsIo, wanted: FrameKind) -> Result<Frame, GateError> {
    let frame = read_frame(io).await.map_err(GateError::Frame)?;
    if frame.kind() == wanted {
        Ok(frame)
    } else {
        Err(GateError::UnexpectedFrame {
            wanted,
            seen: frame.kind(),
        })
    }
}
