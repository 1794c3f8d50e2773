//! `OUTCOME`: how an attestation ended.
//!
//! ```text
//! admitted  0x00 ‖ u32 re-attest within, seconds ‖ u32 maximum age, seconds ‖ u8 length ‖ session id (ASCII)
//! refused   0x01 ‖ u8 length ‖ error code (ASCII, such as "E301")
//! ```

use attestation::{ErrorCode, UnknownErrorCode};
use bytes::Bytes;

use crate::{
    cursor::{Cursor, Truncated, put_vector},
    evidence::Verdict,
    frame::{Frame, FrameKind},
};

const ADMITTED: u8 = 0;
const REFUSED: u8 = 1;

/// A ULID has 26 characters; the rest is room for another scheme.
const SESSION_ID_BYTES_MAX: usize = 64;

/// How an attestation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The connection is a session, or stays one.
    Admitted(Verdict),
    /// The connection is refused; the gateway closes it next.
    Refused(ErrorCode),
}

/// Why an outcome cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    /// The bytes end inside a field.
    #[error("the outcome ends too soon")]
    Truncated(#[source] Truncated),
    /// Bytes follow the outcome.
    #[error("bytes follow the outcome")]
    TrailingBytes,
    /// It says neither admitted nor refused.
    #[error("outcome {0} is neither admitted nor refused")]
    UnknownStatus(u8),
    /// The session id is empty, too long or not visible ASCII.
    #[error("the session id is not 1 to {SESSION_ID_BYTES_MAX} visible ASCII characters")]
    SessionId,
    /// The error code is not one that this build knows.
    #[error("the gateway refused with a code that this release does not know")]
    UnknownCode(#[source] UnknownErrorCode),
    /// The error code is not text.
    #[error("the error code is not text")]
    CodeText,
}

impl OutcomeError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::SessionId => ErrorCode::Internal,
            // The frame is sound; its sender is of another release.
            Self::UnknownCode(_) => ErrorCode::ProfileUnsupported,
            _ => ErrorCode::FrameMalformed,
        }
    }
}

impl Outcome {
    /// The body of an `OUTCOME` frame.
    pub fn encode(&self) -> Result<Bytes, OutcomeError> {
        let mut body = Vec::new();
        match self {
            Self::Admitted(verdict) => {
                if !is_session_id(verdict.session_id.as_bytes()) {
                    return Err(OutcomeError::SessionId);
                }
                body.push(ADMITTED);
                body.extend_from_slice(&verdict.reattest_by_s.to_be_bytes());
                body.extend_from_slice(&verdict.max_age_s.to_be_bytes());
                put_vector(&mut body, 1, verdict.session_id.as_bytes())
                    .map_err(|_| OutcomeError::SessionId)?;
            }
            Self::Refused(code) => {
                body.push(REFUSED);
                put_vector(&mut body, 1, code.as_str().as_bytes())
                    .map_err(|_| OutcomeError::CodeText)?;
            }
        }
        Ok(body.into())
    }

    /// Parses the body of an `OUTCOME` frame.
    pub fn parse(body: &[u8]) -> Result<Self, OutcomeError> {
        let mut cursor = Cursor::new(body);
        let outcome = match cursor.u8("status").map_err(OutcomeError::Truncated)? {
            ADMITTED => Self::Admitted(parse_verdict(&mut cursor)?),
            REFUSED => Self::Refused(parse_code(&mut cursor)?),
            other => return Err(OutcomeError::UnknownStatus(other)),
        };
        if cursor.is_empty() {
            Ok(outcome)
        } else {
            Err(OutcomeError::TrailingBytes)
        }
    }

    pub(crate) fn frame(&self) -> Result<Frame, OutcomeError> {
        // An outcome is far below the limit of its frame.
        Frame::new(FrameKind::Outcome, self.encode()?).map_err(|_| OutcomeError::SessionId)
    }
}

fn parse_verdict(cursor: &mut Cursor<'_>) -> Result<Verdict, OutcomeError> {
    let reattest_by_s = cursor
        .u32("re-attestation")
        .map_err(OutcomeError::Truncated)?;
    let max_age_s = cursor.u32("maximum age").map_err(OutcomeError::Truncated)?;
    let session_id = cursor
        .vector(1, "session id")
        .map_err(OutcomeError::Truncated)?;
    if !is_session_id(session_id) {
        return Err(OutcomeError::SessionId);
    }
    Ok(Verdict {
        session_id: String::from_utf8_lossy(session_id).into_owned(),
        reattest_by_s,
        max_age_s,
    })
}

fn parse_code(cursor: &mut Cursor<'_>) -> Result<ErrorCode, OutcomeError> {
    let code = cursor
        .vector(1, "error code")
        .map_err(OutcomeError::Truncated)?;
    let code = std::str::from_utf8(code).map_err(|_| OutcomeError::CodeText)?;
    code.parse().map_err(OutcomeError::UnknownCode)
}

fn is_session_id(bytes: &[u8]) -> bool {
    (1..=SESSION_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}
