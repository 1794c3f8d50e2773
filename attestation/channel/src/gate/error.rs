//! Why a connection does not pass the gate.

use std::time::Duration;

use attestation::ErrorCode;

use super::OutcomeError;
use crate::{
    authenticator::AuthenticatorError,
    evidence::AttesterError,
    frame::{FrameError, FrameKind},
};

/// Why a connection does not pass the gate, or a later attestation of it fails. The connection is closed either way.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The peer's bytes are no frame, or the connection failed.
    #[error("the gate's frames could not be exchanged")]
    Frame(#[source] FrameError),
    /// A frame of another kind was due.
    #[error("a {seen:?} frame where {wanted:?} was due")]
    UnexpectedFrame {
        /// The kind that was due.
        wanted: FrameKind,
        /// The kind that came.
        seen: FrameKind,
    },
    /// More frames came than the gate has.
    #[error("more frames than the gate has")]
    TooManyFrames,
    /// The gate was not passed in time.
    #[error("the gate was not passed within {after:?}")]
    Deadline {
        /// The time it was given.
        after: Duration,
    },
    /// The request or the authenticator is refused.
    #[error("the authenticator is refused")]
    Authenticator(#[source] AuthenticatorError),
    /// The worker could not make evidence.
    #[error("the attester failed")]
    Attester(#[source] AttesterError),
    /// The outcome cannot be sent or read.
    #[error("the outcome is malformed")]
    Outcome(#[source] OutcomeError),
    /// Admission refused the worker.
    #[error("admission was refused with {code}")]
    Refused {
        /// The stable code that the worker is told.
        code: ErrorCode,
    },
}

impl GateError {
    /// The stable code: what the gateway tells the worker, and what either side logs.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Frame(error) => error.code(),
            Self::UnexpectedFrame { .. } => ErrorCode::FrameUnexpected,
            Self::TooManyFrames => ErrorCode::FramesTooMany,
            Self::Deadline { .. } => ErrorCode::GateTimeout,
            Self::Authenticator(error) => error.code(),
            Self::Attester(_) => ErrorCode::EvidenceUnavailable,
            Self::Outcome(error) => error.code(),
            Self::Refused { code } => *code,
        }
    }
}
