//! What an upload may still add to its user's blobs: asked before its first byte is read, so that nobody sends in vain, and
//! so that no number of uploads in progress fills the disk. What counts is the store's own look when it makes the blob its
//! user's, since other gateways take uploads too.

use std::fmt;

use protocol::Sha256Digest;
use protocol::limits::BLOB_BYTES_MAX;
use protocol::problem::{Problem, ProblemCode};

use super::super::access::Client;
use crate::blobs::BlobError;
use crate::gateway::Gateway;
use crate::limits::COLLECT_INTERVAL;
use crate::problem::ApiProblem;
use crate::shares::Uploading;
use crate::store::{BlobExcess, RecordBlobError};

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Room for one upload, until it is dropped.
pub(super) struct Room {
    /// None for a blob that is its user's already: nothing is added, on the disk neither.
    uploading: Option<Uploading>,
    is_announced: bool,
    standing: Standing,
}

/// A user's blobs against their limit.
#[derive(Debug, Clone, Copy)]
struct Standing {
    used: u64,
    bytes_max: u64,
    retention_ms: u64,
}

/// How large an upload is.
#[derive(Debug, Clone, Copy)]
enum Size {
    Bytes(u64),
    /// It was cut off there.
    MoreThan(u64),
}

impl Room {
    pub(super) async fn find(
        gateway: &Gateway,
        client: &Client,
        sha256: Sha256Digest,
        bytes: Option<u64>,
    ) -> Result<Self, ApiProblem> {
        let found = gateway.store.blob_standing(client.user(), sha256).await?;
        let standing = Standing {
            used: found.used,
            bytes_max: gateway.store.blob_bytes_per_user_max(),
            retention_ms: gateway.retention_ms,
        };
        // What no blob may have is refused as that, whatever is left.
        let is_refused_anyway = bytes.is_some_and(|bytes| bytes > BLOB_BYTES_MAX);
        if found.is_owned || is_refused_anyway {
            return Ok(Self {
                uploading: None,
                is_announced: bytes.is_some(),
                standing,
            });
        }
        let left = standing.bytes_max.saturating_sub(standing.used);
        let uploading = client.reserve_upload(bytes, left);
        // One that announced nothing is refused at its first byte too many: it may be empty.
        let size = Size::Bytes(bytes.unwrap_or_default());
        Ok(Self {
            uploading: Some(uploading.map_err(|others| standing.refuse(others, size))?),
            is_announced: bytes.is_some(),
            standing,
        })
    }

    /// What the upload may have. One that is announced keeps to its length.
    pub(super) fn bytes_max(&self) -> u64 {
        match &self.uploading {
            Some(uploading) if !self.is_announced => uploading.bytes,
            _ => BLOB_BYTES_MAX,
        }
    }

    /// An upload that came to nothing. One that announced no length may have met the quota.
    pub(super) fn refuse(&self, error: BlobError) -> ApiProblem {
        match (&error, &self.uploading) {
            (BlobError::TooLarge { max }, Some(uploading)) if *max < BLOB_BYTES_MAX => {
                self.standing.refuse(uploading.others, Size::MoreThan(*max))
            }
            _ => error.into(),
        }
    }

    /// A blob that is on disk and did not become its user's: it is nobody's, and is collected as such.
    pub(super) fn refuse_record(&self, error: RecordBlobError) -> ApiProblem {
        match error {
            RecordBlobError::Store(error) => error.into(),
            RecordBlobError::Excess(BlobExcess {
                used,
                bytes,
                bytes_max,
            }) => {
                let standing = Standing {
                    used,
                    bytes_max,
                    ..self.standing
                };
                standing.refuse(0, Size::Bytes(bytes))
            }
        }
    }
}

impl Size {
    fn least(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::MoreThan(bytes) => bytes.saturating_add(1),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(formatter, "{bytes}"),
            Self::MoreThan(bytes) => write!(formatter, "more than {bytes}"),
        }
    }
}

impl Standing {
    /// `others`: bytes of the user's other uploads in progress.
    fn refuse(self, others: u64, size: Size) -> ApiProblem {
        let Self {
            used,
            bytes_max,
            retention_ms,
        } = self;
        let is_passing = used.saturating_add(size.least()) <= bytes_max;
        let what_to_do = if is_passing {
            "Come back when those in progress are done".to_owned()
        } else {
            let days = retention_ms / DAY_MS;
            format!(
                "Each blob counts for {days} days after you last sent it: wait until older ones count no more, or ask the operator \
                 for a higher limit"
            )
        };
        let detail = format!(
            "your blobs have {used} bytes, your other uploads in progress {others}, and this one {size}; the limit is {bytes_max}. \
             {what_to_do}"
        );
        let problem = Problem::new(ProblemCode::QuotaExceeded, detail);
        let refused = ApiProblem::from(problem.with_limit("blob_bytes_per_user_max"));
        if is_passing {
            refused
        } else {
            // Before the next look for old blobs nothing changes.
            refused.with_retry_after(COLLECT_INTERVAL)
        }
    }
}
