//! What can go wrong on the control stream.

use std::error::Error;

use attestation::ErrorCode;
use http::StatusCode;

use crate::{
    authenticator::AuthenticatorError,
    frame::{FrameError, FrameKind},
    gate::OutcomeError,
    http2::HttpError,
};

/// The control stream failed, or a message does not belong on it. The session cannot go on without the stream.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The stream could not be opened.
    #[error("the control stream could not be opened")]
    Open(#[source] HttpError),
    /// The gateway answered the opening request with something else.
    #[error("the gateway answered the control stream with {0}")]
    Refused(StatusCode),
    /// The media type is not that of a control stream.
    #[error("the request or response is not a control stream")]
    MediaType,
    /// The peer has ended the stream.
    #[error("the control stream is closed")]
    Closed,
    /// The queue towards the peer is full.
    #[error("the queue of the control stream is full")]
    Full,
    /// The stream broke.
    #[error("the control stream failed")]
    Body(#[source] Box<dyn Error + Send + Sync>),
    /// The peer's bytes are no frame, or a message does not fit one.
    #[error("a frame of the control stream is refused")]
    Frame(#[source] FrameError),
    /// A frame that this peer does not send.
    #[error("a {0:?} frame does not belong here")]
    UnexpectedFrame(FrameKind),
    /// A request for attestation does not parse.
    #[error("the request for attestation is refused")]
    AuthRequest(#[source] AuthenticatorError),
    /// The outcome of an attestation cannot be written or read.
    #[error("the outcome is malformed")]
    Outcome(#[source] OutcomeError),
}

impl ControlError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Open(_) | Self::Refused(_) | Self::Closed | Self::Body(_) => {
                ErrorCode::ConnectionLost
            }
            Self::MediaType => ErrorCode::ProfileUnsupported,
            Self::Full => ErrorCode::Overloaded,
            Self::Frame(error) => error.code(),
            Self::UnexpectedFrame(_) => ErrorCode::FrameUnexpected,
            Self::AuthRequest(error) => error.code(),
            Self::Outcome(error) => error.code(),
        }
    }
}
