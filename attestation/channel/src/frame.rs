//! Frames: `u32 big-endian length of the body ‖ u8 kind ‖ body`, on the bare connection and inside the control stream.

use attestation::ErrorCode;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A whole frame, header included: the largest thing that one side must hold for the other before it is authenticated.
/// GPU evidence of eight devices is about 160 KiB; everything else is smaller.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// Length and kind.
pub const FRAME_HEADER_BYTES: usize = 5;

/// The body of the largest frame.
pub const FRAME_BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - FRAME_HEADER_BYTES;

/// An authentication request is a fixed structure of about 75 bytes.
const AUTH_REQUEST_BODY_BYTES_MAX: usize = 512;

/// A certificate of at most 2 KiB, evidence of at most 64 KiB, a signature and a MAC.
const AUTHENTICATOR_BODY_BYTES_MAX: usize = 72 * 1024;

/// A session identifier and two numbers, or an error code.
const OUTCOME_BODY_BYTES_MAX: usize = 128;

/// How far the buffer of an arriving body grows at a time: one TLS record.
const READ_STEP_BYTES: usize = 16 * 1024;

/// What a frame carries. Kinds up to 15 belong to the gate, those from 16 on to the control stream alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Gateway to worker: an RFC 9261 `CertificateRequest` and the profile's id.
    AuthRequest = 1,
    /// Worker to gateway: `Certificate ‖ CertificateVerify ‖ Finished`.
    Authenticator = 2,
    /// Worker to gateway, before its authenticator: device evidence that does not fit inside.
    DeviceEvidence = 3,
    /// Gateway to worker: the session, or a stable error code.
    Outcome = 4,
    /// Worker to gateway: alive, with telemetry.
    Heartbeat = 16,
    /// Worker to gateway: extend leases.
    Renew = 17,
    /// Gateway to worker: which leases were extended.
    Renewed = 18,
    /// Gateway to worker: stop these tasks.
    Cancel = 19,
    /// Gateway to worker: take no new work.
    Drain = 20,
}

impl FrameKind {
    const ALL: [Self; 9] = [
        Self::AuthRequest,
        Self::Authenticator,
        Self::DeviceEvidence,
        Self::Outcome,
        Self::Heartbeat,
        Self::Renew,
        Self::Renewed,
        Self::Cancel,
        Self::Drain,
    ];

    /// The byte that names this kind on the wire.
    #[expect(
        clippy::as_conversions,
        reason = "the discriminant of a fieldless repr(u8) enum is the wire value"
    )]
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    fn from_code(code: u8) -> Result<Self, FrameError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.code() == code)
            .ok_or(FrameError::UnknownKind(code))
    }

    /// The largest body of this kind, in bytes: refused from the header alone, before anything is stored.
    #[must_use]
    pub fn body_bytes_max(self) -> usize {
        match self {
            Self::AuthRequest => AUTH_REQUEST_BODY_BYTES_MAX,
            Self::Authenticator => AUTHENTICATOR_BODY_BYTES_MAX,
            Self::Outcome => OUTCOME_BODY_BYTES_MAX,
            Self::DeviceEvidence
            | Self::Heartbeat
            | Self::Renew
            | Self::Renewed
            | Self::Cancel
            | Self::Drain => FRAME_BODY_BYTES_MAX,
        }
    }
}

/// One frame; its body is within its kind's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    kind: FrameKind,
    body: Bytes,
}

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length in a header is over the limit of its kind.
    #[error("a {kind:?} frame of {bytes} bytes is over its limit of {bytes_max}")]
    Oversized {
        /// What the frame says it is.
        kind: FrameKind,
        /// The length it claims for its body, in bytes.
        bytes: usize,
        /// What is allowed, in bytes.
        bytes_max: usize,
    },
    /// No frame has this kind.
    #[error("no frame has kind {0}")]
    UnknownKind(u8),
    /// The bytes ended inside a frame.
    #[error("a frame is cut short")]
    Truncated,
    /// The peer closed the connection where a frame was awaited.
    #[error("the connection was closed where a frame was awaited")]
    Closed,
    /// The connection failed.
    #[error("a frame could not be transferred")]
    Io(#[source] std::io::Error),
}

impl FrameError {
    /// The stable code of this refusal.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Oversized { .. } => ErrorCode::FrameTooLarge,
            Self::UnknownKind(_) => ErrorCode::FrameUnexpected,
            Self::Truncated => ErrorCode::FrameMalformed,
            Self::Closed | Self::Io(_) => ErrorCode::ConnectionLost,
        }
    }
}

impl Frame {
    /// A frame, where `body` is within the limit of `kind`.
    pub fn new(kind: FrameKind, body: Bytes) -> Result<Self, FrameError> {
        within_limit(kind, body.len())?;
        Ok(Self { kind, body })
    }

    /// What the frame carries.
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// The frame's body.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// The frame as it stands on the wire.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.body.len().saturating_add(FRAME_HEADER_BYTES));
        // `new` bounds the body far below 4 GiB.
        out.put_u32(u32::try_from(self.body.len()).unwrap_or(u32::MAX));
        out.put_u8(self.kind.code());
        out.extend_from_slice(&self.body);
        out.freeze()
    }
}

/// Cuts frames out of bytes that arrive in arbitrary pieces. Holds at most one frame and the piece that completed it.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffered: BytesMut,
}

impl FrameDecoder {
    /// Adds a piece that arrived.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffered.extend_from_slice(piece);
    }

    /// The next whole frame, if there is one. After an error the stream is of no further use.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = self.buffered.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let (kind, body_bytes) = parse_header(*header)?;
        if self.buffered.len().saturating_sub(FRAME_HEADER_BYTES) < body_bytes {
            return Ok(None);
        }
        self.buffered.advance(FRAME_HEADER_BYTES);
        Ok(Some(Frame {
            kind,
            body: self.buffered.split_to(body_bytes).freeze(),
        }))
    }

    /// Says whether the stream may end here: not inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.buffered.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Truncated)
        }
    }
}

/// Reads exactly one frame and not a byte further: what follows belongs to HTTP/2.
pub async fn read_frame(io: &mut (impl AsyncRead + Unpin)) -> Result<Frame, FrameError> {
    let mut header = [0; FRAME_HEADER_BYTES];
    let (first, others) = header.split_at_mut(1);
    match io.read(first).await {
        Ok(0) => return Err(FrameError::Closed),
        Ok(_) => {}
        Err(error) => return Err(ended_or_failed(error, FrameError::Closed)),
    }
    io.read_exact(others)
        .await
        .map_err(|error| ended_or_failed(error, FrameError::Truncated))?;
    let (kind, body_bytes) = parse_header(header)?;
    let body = read_body(io, body_bytes).await?;
    Ok(Frame { kind, body })
}

/// Writes one frame and flushes it.
pub async fn write_frame(
    io: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> Result<(), FrameError> {
    io.write_all(&frame.encode())
        .await
        .map_err(FrameError::Io)?;
    io.flush().await.map_err(FrameError::Io)
}

/// Memory grows with what has arrived, not with what the header promised.
async fn read_body(
    io: &mut (impl AsyncRead + Unpin),
    body_bytes: usize,
) -> Result<Bytes, FrameError> {
    let mut body = BytesMut::new();
    let mut missing = body_bytes;
    while missing > 0 {
        body.reserve(missing.min(READ_STEP_BYTES));
        let mut limited = (&mut body).limit(missing);
        match io.read_buf(&mut limited).await {
            Ok(0) => return Err(FrameError::Truncated),
            Ok(read) => missing = missing.saturating_sub(read),
            Err(error) => return Err(ended_or_failed(error, FrameError::Truncated)),
        }
    }
    Ok(body.freeze())
}

fn parse_header(header: [u8; FRAME_HEADER_BYTES]) -> Result<(FrameKind, usize), FrameError> {
    let [a, b, c, d, code] = header;
    let kind = FrameKind::from_code(code)?;
    let body_bytes = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    within_limit(kind, body_bytes)?;
    Ok((kind, body_bytes))
}

fn within_limit(kind: FrameKind, bytes: usize) -> Result<(), FrameError> {
    let bytes_max = kind.body_bytes_max();
    if bytes > bytes_max {
        return Err(FrameError::Oversized {
            kind,
            bytes,
            bytes_max,
        });
    }
    Ok(())
}

/// A peer that vanishes without `close_notify` ends the bytes as surely as one that says goodbye.
fn ended_or_failed(error: std::io::Error, ended: FrameError) -> FrameError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        ended
    } else {
        FrameError::Io(error)
    }
}
