//! Workers, sessions, attestations and access tokens as the store keeps them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use protocol::{SessionId, Sha256Digest, UserName, WorkerId};
use zeroize::Zeroizing;

use super::StoreError;

/// What a worker and the gateway share since enrolment; keys the MAC in the worker's claims.
#[derive(Clone)]
pub struct EnrolmentSecret(Zeroizing<[u8; Self::BYTES]>);

impl EnrolmentSecret {
    pub const BYTES: usize = 32;

    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for EnrolmentSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EnrolmentSecret")
    }
}

/// Why a worker is not enrolled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateWorkerError {
    #[error("the worker could not be recorded")]
    Store(#[source] StoreError),
    #[error("there is a worker of that name")]
    Exists,
}

/// One enrolled worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRecord {
    pub id: WorkerId,
    pub created_ms: u64,
    /// Gets no new leases. Drained once `tasks_running` is 0.
    pub draining: bool,
    pub tasks_running: u32,
    pub tasks_succeeded: u64,
    pub refusal: Option<RefusalRecord>,
}

/// Why its latest refused attempt to attest was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalRecord {
    /// A stable error code, as in `E401`.
    pub code: String,
    pub at_ms: u64,
}

/// One admitted connection, for the history.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub id: SessionId,
    pub worker: WorkerId,
    pub peer: String,
    pub admitted_ms: u64,
}

/// The auditor's record of one attestation, to be kept for as long as receipts point at it.
#[derive(Debug, Clone)]
pub struct NewAttestation {
    /// The report data, 128 hexadecimal digits.
    pub id: String,
    pub worker: WorkerId,
    pub session: SessionId,
    /// JSON of the record.
    pub record: Vec<u8>,
    pub recorded_ms: u64,
}

/// Another verdict on evidence that was recorded before.
#[derive(Debug, Clone)]
pub struct NewReappraisal {
    /// Whose evidence it is about: the report data, 128 hexadecimal digits.
    pub attestation: String,
    pub appraised_ms: u64,
    /// Why it refused: a stable error code, as in `E401`. Absent: it accepted.
    pub code: Option<String>,
    pub policy: Document,
    pub collateral: Document,
    /// JSON of NVIDIA's reference manifests that GPUs were compared with; absent where there were none.
    pub references: Option<Document>,
    /// JSON of the transcript.
    pub transcript: Vec<u8>,
}

/// A text that many verdicts share, kept once.
#[derive(Debug, Clone)]
pub struct Document {
    pub sha256: Sha256Digest,
    pub text: Arc<str>,
}

impl Document {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            sha256: Sha256Digest::of(text.as_bytes()),
            text: text.into(),
        }
    }
}

/// A kept record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttestation {
    pub id: String,
    pub worker: WorkerId,
    pub session: SessionId,
    pub record: Vec<u8>,
    pub recorded_ms: u64,
}

/// What the bearer of an access token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessRole {
    /// Submit tasks and see its user's own.
    Client,
    /// Operate the pool.
    Operator,
}

impl AccessRole {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for AccessRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Why a text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: expected client or operator")]
pub struct AccessRoleError(String);

impl FromStr for AccessRole {
    type Err = AccessRoleError;

    fn from_str(text: &str) -> Result<Self, AccessRoleError> {
        match text {
            "client" => Ok(Self::Client),
            "operator" => Ok(Self::Operator),
            other => Err(AccessRoleError(other.chars().take(80).collect())),
        }
    }
}

/// Names an access token without being it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessTokenId(pub(super) i64);

impl fmt::Display for AccessTokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl FromStr for AccessTokenId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// An access token to be recorded, by digest: the text itself is shown once and kept nowhere.
#[derive(Debug, Clone)]
pub struct NewAccessToken {
    /// Of the access token's text. A plain digest suffices, since the text has 256 random bits.
    pub sha256: Sha256Digest,
    pub user: UserName,
    pub role: AccessRole,
    pub created_ms: u64,
}

/// What a presented access token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessGrant {
    pub id: AccessTokenId,
    pub user: UserName,
    pub role: AccessRole,
}

/// One access token, for the operator's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessTokenRecord {
    pub id: AccessTokenId,
    pub user: UserName,
    pub role: AccessRole,
    pub created_ms: u64,
    /// To the minute.
    pub last_used_ms: Option<u64>,
    pub revoked_ms: Option<u64>,
}
