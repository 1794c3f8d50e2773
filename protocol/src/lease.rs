//! Leasing, acknowledging and giving back tasks: what a worker asks of the gateway over the attested channel.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::digest::Sha256Digest;
use crate::ids::{FencingToken, TaskId};

/// `POST /v1/leases`: up to `tasks_max` tasks in all, as they come within `wait_ms`. They are answered as [`crate::frames`] of
/// [`LeaseResponse`], the first when there is something to lease; the body ends when the worker has all or the wait is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    pub tasks_max: u16,
    pub wait_ms: u32,
    /// What this worker can run; nothing else is handed to it.
    pub operations: Vec<OperationId>,
}

/// An operation of the catalogue, by name and version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OperationId {
    pub name: String,
    pub version: u32,
}

/// What was leased together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseResponse {
    pub leases: Vec<Lease>,
}

/// The exclusive, time-limited right to execute one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub task: TaskId,
    /// 1 for the first delivery.
    pub attempt: u32,
    pub fencing_token: FencingToken,
    /// Counts from the moment the gateway granted it; the worker subtracts what the answer took to arrive.
    pub lease_duration_ms: u64,
    /// The canonical bytes of the [`crate::task::TaskBody`], verbatim.
    pub body: ByteBuf,
    /// One entry for each input of the body, in its order.
    pub inputs: Vec<LeaseInput>,
}

/// Where the bytes of one input are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseInput {
    /// Here.
    Inline(ByteBuf),
    /// To be had with `GET /v1/tasks/{task}/inputs/{index}` and the header `fencing-token`.
    Fetch,
}

/// One lease, as a renewal, a nack or a cancellation names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseRef {
    pub task: TaskId,
    pub fencing_token: FencingToken,
}

/// `POST /v1/ack`: outputs and receipts of a batch of finished tasks under one signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckRequest {
    /// Signed statement over the Merkle tree of the leaves, in the order of `acks` (compact JWS).
    pub statement: String,
    pub acks: Vec<Ack>,
}

/// One finished task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub lease: LeaseRef,
    /// The receipt leaf, opaque and stored verbatim.
    pub leaf: ByteBuf,
    pub output: Output,
}

/// Where an output's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    Inline(ByteBuf),
    /// Uploaded before with `PUT /v1/outputs/{sha256}`.
    Uploaded {
        sha256: Sha256Digest,
        bytes: u64,
    },
}

/// One outcome for each ack, in order. What is accepted is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckResponse {
    pub outcomes: Vec<AckOutcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AckOutcome {
    Accepted,
    /// This very ack was accepted before; the answer was lost.
    AlreadyAccepted,
    /// A newer lease exists, or the lease expired and the task went elsewhere: the output is dropped.
    Superseded,
    /// The submitter cancelled the task.
    Cancelled,
    UnknownTask,
    /// The ack does not fit its lease (receipt, inputs or output).
    Refused {
        reason: String,
    },
}

/// `POST /v1/nack`: tasks given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NackRequest {
    pub nacks: Vec<Nack>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nack {
    pub lease: LeaseRef,
    pub fault: Fault,
}

/// Why a task was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub kind: FaultKind,
    /// One sentence for the submitter.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// The worker is stopping or lost its executor before the task began: the attempt does not count.
    Released,
    /// The attempt failed; another worker may succeed.
    Failed,
    /// The task can never succeed: it becomes a dead letter at once.
    Invalid,
}

/// One outcome for each nack, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NackResponse {
    pub outcomes: Vec<NackOutcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NackOutcome {
    Returned,
    Superseded,
    UnknownTask,
}
