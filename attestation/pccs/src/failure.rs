//! Why a source gave no collateral that may be used, and why none of them did.

use std::{fmt, time::Duration};

use attestation::Family;

use crate::{AnswerError, Rejection, Source, limits::ANSWER_BYTES_MAX};

/// Why one source did not help.
#[derive(Debug, thiserror::Error)]
pub enum SourceFailure {
    /// No answer, or one that broke off.
    #[error("GET {path} failed")]
    Transport {
        /// Path of the request.
        path: String,
        /// What the HTTP library said.
        #[source]
        source: reqwest::Error,
    },
    /// All retries together took too long.
    #[error("it took more than {} s in all", .0.as_secs_f32())]
    Deadline(Duration),
    /// An answer that is none.
    #[error("GET {path} was answered with HTTP status {status}")]
    Status {
        /// Path of the request.
        path: String,
        /// The status.
        status: u16,
        /// After how long it would like to be asked again.
        retry_after: Option<Duration>,
    },
    /// More bytes than any such answer has.
    #[error("the answer to GET {path} has more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge {
        /// Path of the request.
        path: String,
    },
    /// The answers do not parse.
    #[error("its answers do not parse")]
    Answer(#[source] AnswerError),
    /// What it sent may not be used.
    #[error("its collateral is refused")]
    Refused(#[source] Rejection),
}

/// The kind of a failure: a label for metrics, and what decides how a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No answer.
    Unreachable,
    /// The source has no such family.
    NotFound,
    /// Another HTTP status.
    Status,
    /// Too large, or not to be parsed.
    Malformed,
    /// Forged, out of date, or of another family.
    Unverified,
    /// Older than what is held.
    Older,
}

impl FailureKind {
    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NotFound => "not-found",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::Unverified => "unverified",
            Self::Older => "older",
        }
    }

    /// Whether the source was at fault for what it sent, and not merely out of reach.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Malformed | Self::Unverified | Self::Older)
    }
}

impl SourceFailure {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Transport { .. } | Self::Deadline(_) => FailureKind::Unreachable,
            Self::Status { status: 404, .. } => FailureKind::NotFound,
            Self::Status { .. } => FailureKind::Status,
            Self::TooLarge { .. } | Self::Answer(_) => FailureKind::Malformed,
            Self::Refused(rejection) if rejection.is_older() => FailureKind::Older,
            Self::Refused(_) => FailureKind::Unverified,
        }
    }

    /// Whether the same request may fare better in a moment.
    pub(crate) const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Transport { .. }
                | Self::Status {
                    status: 408 | 429 | 500 | 502 | 503 | 504,
                    ..
                }
        )
    }

    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// One source that was asked, and why it did not help.
#[derive(Debug)]
pub struct Attempt {
    /// Which.
    pub source: Source,
    /// Why.
    pub failure: SourceFailure,
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.source, self.failure)?;
        let mut cause = std::error::Error::source(&self.failure);
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// No source had collateral that may be used.
#[derive(Debug, thiserror::Error)]
#[error("no source has collateral for {family} that may be used")]
pub struct FetchError {
    /// For which family.
    pub family: Family,
    /// Every source, in the order in which they were asked.
    pub attempts: Vec<Attempt>,
}

impl FetchError {
    /// The kind of the last attempt: the sources stand in the order of preference, the last one is the widest.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.attempts
            .last()
            .map_or(FailureKind::Unreachable, |attempt| attempt.failure.kind())
    }

    /// Whether a source was reached, and what it sent was refused.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.attempts
            .iter()
            .any(|attempt| attempt.failure.kind().is_refusal())
    }
}
