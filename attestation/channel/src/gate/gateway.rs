//! The gateway's side of the gate.

use std::{fmt, time::Duration};

use attestation::{Binding, ErrorCode};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{GateError, Outcome, Unattested, within};
use crate::{
    evidence::{Admission, Admitted, Presented, Refusal, Verdict},
    frame::{FRAME_BYTES_MAX, Frame, FrameError, FrameKind, read_frame, write_frame},
    http2::GatewayHttp,
    rebind::{Answer, GatewayRebinder},
    tls::TlsIo,
};

/// How long a refused connection stays open so that the code reaches the worker before the close does.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// What a refused worker may still be sending: one frame. It is read and dropped, because closing a socket with unread
/// bytes discards what was sent last.
const REFUSAL_LINGER_BYTES_MAX: u64 = 256 * 1024;
const _: () = assert!(FRAME_BYTES_MAX == 256 * 1024);

/// The gateway's end of a connection.
#[derive(Debug)]
pub struct GatewaySide {
    rebinder: GatewayRebinder,
}

impl GatewaySide {
    pub(crate) fn new(rebinder: GatewayRebinder) -> Self {
        Self { rebinder }
    }
}

/// The gateway's end of an admitted connection, with the session that admission opened.
pub struct AttestedGateway<S> {
    session: S,
    verdict: Verdict,
    binding: Binding,
    io: TlsIo,
    rebinder: GatewayRebinder,
}

impl<S> fmt::Debug for AttestedGateway<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttestedGateway")
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}

impl<S> AttestedGateway<S> {
    /// What admission made of the connection.
    pub fn session(&self) -> &S {
        &self.session
    }

    /// What the worker was told.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// What the first evidence was bound to.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The session, the HTTP/2 server of this connection, and what attests the connection again.
    pub fn into_parts(self) -> (S, GatewayHttp, GatewayRebinder) {
        (self.session, GatewayHttp::new(self.io), self.rebinder)
    }
}

impl Unattested<GatewaySide> {
    /// The DER of the worker's `SubjectPublicKeyInfo`: proved to be the peer's key, and nothing more.
    #[must_use]
    pub fn peer_spki(&self) -> &[u8] {
        self.side.rebinder.worker_spki()
    }

    /// Passes the gate: asks for an authenticator under a fresh context, verifies it and has `admission` judge what it
    /// carries. On any error the worker is told the stable code, and nothing else, before the connection is closed.
    pub async fn attest<A: Admission>(
        mut self,
        admission: &A,
    ) -> Result<AttestedGateway<A::Session>, GateError> {
        let passed = within(
            self.limit,
            exchange(&mut self.io, &mut self.side.rebinder, admission),
        )
        .await;
        match passed {
            Ok((Admitted { session, verdict }, binding)) => Ok(AttestedGateway {
                session,
                verdict,
                binding,
                io: self.io,
                rebinder: self.side.rebinder,
            }),
            Err(error) => {
                refuse(&mut self.io, error.code()).await;
                Err(error)
            }
        }
    }
}

async fn exchange<A: Admission>(
    io: &mut TlsIo,
    rebinder: &mut GatewayRebinder,
    admission: &A,
) -> Result<(Admitted<A::Session>, Binding), GateError> {
    let request = rebinder
        .request()?
        .encode()
        .map_err(GateError::Authenticator)?;
    write(io, FrameKind::AuthRequest, request).await?;
    let presented = rebinder.verify(read_answer(io).await?)?;
    let binding = presented.binding.clone();
    let admitted = admit(admission, presented).await?;
    let outcome = Outcome::Admitted(admitted.verdict.clone())
        .frame()
        .map_err(GateError::Outcome)?;
    write_frame(io, &outcome).await.map_err(GateError::Frame)?;
    Ok((admitted, binding))
}

async fn admit<A: Admission>(
    admission: &A,
    presented: Presented,
) -> Result<Admitted<A::Session>, GateError> {
    admission
        .admit(presented)
        .await
        .map_err(|Refusal { code }| GateError::Refused { code })
}

/// One authenticator, with at most one frame of device evidence before it.
async fn read_answer(io: &mut TlsIo) -> Result<Answer, GateError> {
    let mut device_evidence = None;
    loop {
        let frame = read_frame(io).await.map_err(GateError::Frame)?;
        match frame.kind() {
            FrameKind::Authenticator => return Ok(Answer::new(frame.into_body(), device_evidence)),
            FrameKind::DeviceEvidence if device_evidence.is_none() => {
                device_evidence = Some(frame.into_body());
            }
            FrameKind::DeviceEvidence => return Err(GateError::TooManyFrames),
            seen => {
                return Err(GateError::UnexpectedFrame {
                    wanted: FrameKind::Authenticator,
                    seen,
                });
            }
        }
    }
}

async fn write(io: &mut TlsIo, kind: FrameKind, body: Bytes) -> Result<(), GateError> {
    let frame = Frame::new(kind, body).map_err(GateError::Frame)?;
    write_frame(io, &frame).await.map_err(GateError::Frame)
}

/// Best effort: the connection is closed whether or not the worker takes the code.
async fn refuse(io: &mut TlsIo, code: ErrorCode) {
    let farewell = async {
        let frame = Outcome::Refused(code)
            .frame()
            .map_err(|_| FrameError::Closed)?;
        write_frame(io, &frame).await?;
        io.shutdown().await.map_err(FrameError::Io)?;
        tokio::io::copy(
            &mut io.take(REFUSAL_LINGER_BYTES_MAX),
            &mut tokio::io::sink(),
        )
        .await
        .map_err(FrameError::Io)
    };
    if let Ok(Err(error)) = tokio::time::timeout(REFUSAL_LINGER, farewell).await {
        tracing::debug!(%code, %error, "a refused worker did not stay for its code");
    }
}
