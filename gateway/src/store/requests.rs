//! What workers, submitters and operators ask of the queue, and what it answers beside the types of `protocol`.

use bytes::Bytes;
use protocol::api::{OutputView, TaskCounts, TaskView};
use protocol::lease::{LeaseRef, OperationId};
use protocol::requirements::{Requirements, WorkerTraits};
use protocol::task::{InputDescriptor, TaskState};
use protocol::{SessionId, TaskId, UserName, WorkerId};

use serde::{Deserialize, Serialize};

use super::StoreError;

/// Tasks that the same workers may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Class {
    pub operation: OperationId,
    pub requirements: Requirements,
}

/// A worker's wish for work.
#[derive(Debug, Clone)]
pub struct LeaseQuery {
    pub worker: WorkerId,
    pub session: SessionId,
    /// Nothing else is handed out.
    pub operations: Vec<OperationId>,
    /// What the worker is: tasks may demand it.
    pub traits: WorkerTraits,
    pub tasks_max: usize,
    /// Bodies and inline inputs of all leases together. The first task is leased whatever it weighs; its inputs beyond
    /// this are to be fetched.
    pub payload_bytes_max: u64,
    pub lease_duration_ms: u64,
    pub now_ms: u64,
}

/// Why a worker gets no lease at all. An empty queue is no error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LeaseError {
    #[error("the queue could not be read")]
    Store(#[source] StoreError),
    #[error("the worker is not enrolled")]
    UnknownWorker,
    #[error("the worker is draining")]
    Draining,
}

/// A worker's wish to keep what it holds.
#[derive(Debug, Clone)]
pub struct RenewQuery {
    pub worker: WorkerId,
    pub leases: Vec<LeaseRef>,
    pub lease_duration_ms: u64,
    pub now_ms: u64,
}

/// Where bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    Inline(Bytes),
    Blob(InputDescriptor),
}

/// Why a worker gets no input.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LeaseInputError {
    #[error("the input could not be read")]
    Store(#[source] StoreError),
    #[error("there is no such task")]
    UnknownTask,
    #[error("the lease is not this worker's, or no longer in force")]
    Superseded,
    #[error("the task has no such input")]
    NoSuchInput,
}

/// Whose tasks a caller may see. Another user's task is as unknown as none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskScope {
    User(UserName),
    /// An operator.
    All,
}

/// One page of tasks, newest first.
#[derive(Debug, Clone)]
pub struct ListQuery {
    pub scope: TaskScope,
    pub state: Option<TaskState>,
    pub limit: usize,
    /// The last task of the page before.
    pub cursor: Option<TaskId>,
}

/// A task and what is around it in the queue. Counts end at [`TaskStanding::COUNT_MAX`].
#[derive(Debug, Clone)]
pub struct TaskStanding {
    pub task: TaskView,
    /// Of the same user and operation, to be leased before it.
    pub ahead: u64,
    /// Other users with tasks of its operation.
    pub flows: u64,
    /// Until when the worker that had it last does not get it again.
    pub avoided_until_ms: Option<u64>,
    pub lease_expires_ms: Option<u64>,
}

impl TaskStanding {
    /// Counting further would tell nobody more.
    pub const COUNT_MAX: u64 = 100_000;
}

/// A lease that a worker may still be working on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningLease {
    pub worker: WorkerId,
    pub session: SessionId,
    pub lease: LeaseRef,
}

/// What a task came to that succeeded, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    pub attempts: u32,
    pub worker: WorkerId,
    /// A redrive takes it away.
    pub deadline_ms: Option<u64>,
    pub leased_ms: Option<u64>,
    pub finished_ms: u64,
    pub output: OutputView,
}

/// What became of one cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    Cancelled {
        /// Whom to tell.
        running: Option<RunningLease>,
    },
    AlreadyCancelled,
    Finished(TaskState),
    UnknownTask,
}

/// What became of one redrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedriveOutcome {
    Queued,
    WrongState(TaskState),
    UnknownTask,
}

/// What one pass over leases and deadlines did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// Leases that ran out, attempts left.
    pub requeued: u64,
    /// Leases that ran out, attempts used up.
    pub dead_lettered: u64,
    pub deadlines_passed: u64,
    /// The pass was bounded; another one has work to do.
    pub more: bool,
}

/// What an upload of a blob would find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobStanding {
    /// The blob is its user's already: it costs nothing more.
    pub is_owned: bool,
    /// Bytes of all blobs that are the user's.
    pub used: u64,
}

/// A blob that would take its user's beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its user's blobs have {used} bytes; {bytes} more would be beyond the limit of {bytes_max}"
)]
pub struct BlobExcess {
    pub used: u64,
    /// Of this one.
    pub bytes: u64,
    pub bytes_max: u64,
}

/// Why a blob does not become its user's.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordBlobError {
    #[error("the blob could not be recorded")]
    Store(#[source] StoreError),
    #[error("the quota is used up")]
    Excess(#[source] BlobExcess),
}

/// Up to when claims on blobs are old.
#[derive(Debug, Clone, Copy)]
pub struct ClaimsBefore {
    pub users_ms: u64,
    pub workers_ms: u64,
}

/// What is old: whatever ended before a time in the past.
#[derive(Debug, Clone, Copy)]
pub struct Age {
    pub before_ms: u64,
    pub now_ms: u64,
}

impl Age {
    /// Whether what was made then cannot have ended before. A clock that was ahead once says nothing of that, or for as long
    /// nothing that was made later would be old.
    #[must_use]
    pub fn is_too_young(self, made_ms: u64) -> bool {
        (self.before_ms..=self.now_ms).contains(&made_ms)
    }
}

/// Where a pass over what is old goes on: behind the one with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrunePlace {
    Tasks {
        behind: i64,
    },
    /// Of receipts.
    Batches {
        behind: i64,
    },
}

impl PrunePlace {
    pub const START: Self = Self::Tasks { behind: 0 };
}

/// What one step of a pass over old tasks did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    pub tasks: u64,
    /// Where to go on, until the pass is over.
    pub next: Option<PrunePlace>,
}

/// An output: what it is, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutput {
    pub descriptor: InputDescriptor,
    pub payload: Payload,
}

/// Why there is no output, receipt or attestation to show.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LookupError {
    #[error("the task could not be read")]
    Store(#[source] StoreError),
    #[error("there is no such task")]
    UnknownTask,
    /// Queued, running, or finished without an output.
    #[error("the task is {0}: it has no output")]
    NotSucceeded(TaskState),
}

/// How many there are of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub tasks: TaskCounts,
    pub workers_enrolled: u64,
    pub workers_draining: u64,
}

/// What the writer did since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteStatistics {
    /// Transactions that ended on disk, with one flush each.
    pub commits: u64,
    pub operations: u64,
    /// Submissions turned away with [`StoreError::Overloaded`].
    pub refused: u64,
}

impl TaskScope {
    /// The user to whom it is confined.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::User(user) => Some(user.as_str()),
            Self::All => None,
        }
    }
}
