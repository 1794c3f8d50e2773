//! What the two sides say on the control stream, as types: each side can send only its own.

use bytes::Bytes;

use super::ControlError;
use crate::{
    authenticator::AuthRequest,
    frame::{Frame, FrameKind},
    gate::Outcome,
    rebind::Answer,
};

/// What a worker says. Bodies that are bytes belong to the protocol above and are opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerMessage {
    /// The answer to an [`AuthRequest`].
    Answer(Answer),
    /// Alive, with telemetry.
    Heartbeat(Bytes),
    /// Extend leases.
    Renew(Bytes),
}

/// What a gateway says. Bodies that are bytes belong to the protocol above and are opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayMessage {
    /// Attest this connection again.
    AuthRequest(AuthRequest),
    /// How that ended.
    Outcome(Outcome),
    /// Which leases were extended.
    Renewed(Bytes),
    /// Stop these tasks.
    Cancel(Bytes),
    /// Take no new work.
    Drain(Bytes),
}

/// One side's messages on the control stream; implemented by [`WorkerMessage`] and [`GatewayMessage`] alone.
pub trait Message: sealed::Wire + Send + 'static {}

impl<M: sealed::Wire + Send + 'static> Message for M {}

pub(super) mod sealed {
    use super::{Bytes, ControlError, Frame};

    /// To and from frames. Public in name only.
    pub trait Wire: Sized {
        /// The frames of this message, in their order.
        fn into_frames(self) -> Result<Vec<Frame>, ControlError>;

        /// The message that `frame` completes, if it completes one; `device_evidence` holds what an earlier frame brought.
        fn complete(
            device_evidence: &mut Option<Bytes>,
            frame: Frame,
        ) -> Result<Option<Self>, ControlError>;
    }
}

impl sealed::Wire for WorkerMessage {
    fn into_frames(self) -> Result<Vec<Frame>, ControlError> {
        let (kind, body) = match self {
            Self::Answer(Answer {
                authenticator,
                device_evidence,
            }) => {
                let beside = device_evidence.map(|body| frame(FrameKind::DeviceEvidence, body));
                return beside
                    .into_iter()
                    .chain([frame(FrameKind::Authenticator, authenticator)])
                    .collect();
            }
            Self::Heartbeat(body) => (FrameKind::Heartbeat, body),
            Self::Renew(body) => (FrameKind::Renew, body),
        };
        Ok(vec![frame(kind, body)?])
    }

    fn complete(
        device_evidence: &mut Option<Bytes>,
        frame: Frame,
    ) -> Result<Option<Self>, ControlError> {
        let kind = frame.kind();
        let body = frame.into_body();
        Ok(Some(match kind {
            FrameKind::DeviceEvidence if device_evidence.is_none() => {
                *device_evidence = Some(body);
                return Ok(None);
            }
            FrameKind::Authenticator => Self::Answer(Answer::new(body, device_evidence.take())),
            // Device evidence is half an answer, and its other half comes next.
            other if device_evidence.is_some() => {
                return Err(ControlError::UnexpectedFrame(other));
            }
            FrameKind::Heartbeat => Self::Heartbeat(body),
            FrameKind::Renew => Self::Renew(body),
            other => return Err(ControlError::UnexpectedFrame(other)),
        }))
    }
}

impl sealed::Wire for GatewayMessage {
    fn into_frames(self) -> Result<Vec<Frame>, ControlError> {
        let (kind, body) = match self {
            Self::AuthRequest(request) => (
                FrameKind::AuthRequest,
                request.encode().map_err(ControlError::AuthRequest)?,
            ),
            Self::Outcome(outcome) => (
                FrameKind::Outcome,
                outcome.encode().map_err(ControlError::Outcome)?,
            ),
            Self::Renewed(body) => (FrameKind::Renewed, body),
            Self::Cancel(body) => (FrameKind::Cancel, body),
            Self::Drain(body) => (FrameKind::Drain, body),
        };
        Ok(vec![frame(kind, body)?])
    }

    fn complete(_: &mut Option<Bytes>, frame: Frame) -> Result<Option<Self>, ControlError> {
        let kind = frame.kind();
        let body = frame.into_body();
        Ok(Some(match kind {
            FrameKind::AuthRequest => {
                Self::AuthRequest(AuthRequest::parse(&body).map_err(ControlError::AuthRequest)?)
            }
            FrameKind::Outcome => {
                Self::Outcome(Outcome::parse(&body).map_err(ControlError::Outcome)?)
            }
            FrameKind::Renewed => Self::Renewed(body),
            FrameKind::Cancel => Self::Cancel(body),
            FrameKind::Drain => Self::Drain(body),
            other => return Err(ControlError::UnexpectedFrame(other)),
        }))
    }
}

fn frame(kind: FrameKind, body: Bytes) -> Result<Frame, ControlError> {
    Frame::new(kind, body).map_err(ControlError::Frame)
}
