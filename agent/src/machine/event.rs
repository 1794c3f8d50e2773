//! What the machine is told and what it asks for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kernels::executor::Work;
use protocol::control::RenewedLease;
use protocol::lease::{AckOutcome, LeaseRef, Nack};
use protocol::limits::INLINE_BYTES_MAX;
use protocol::telemetry::Telemetry;
use protocol::{SessionId, Sha256Digest};

use crate::session::Offer;

/// What a decision may depend on beside the state: the time since the agent's start, and one random number.
#[derive(Debug, Clone, Copy)]
pub struct Tick {
    pub now: Duration,
    pub random: u64,
}

/// An admitted connection, as receipts name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    /// Report data of the attestation in force, lower-case hexadecimal.
    pub attestation: String,
}

/// A request that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Overloaded, stale, or the answer was lost: the same request may succeed later.
    Retry,
    /// It would be refused again; the sentence says why.
    Permanent(String),
}

/// A task that ran: everything its receipt and its ack need.
#[derive(Debug)]
pub struct Finished {
    pub offer: Arc<Offer>,
    pub output: Bytes,
    pub sha256: Sha256Digest,
    /// By the worker's clock, Unix milliseconds.
    pub started_ms: u64,
    pub finished_ms: u64,
}

/// What became of one work.
#[derive(Debug)]
pub enum Answer {
    Done {
        output: Bytes,
        sha256: Sha256Digest,
        started_ms: u64,
        finished_ms: u64,
        /// What the executor spent on it: the time since the answer before, or since the run began.
        busy_ms: u64,
    },
    /// The task's own fault: it would fail the same way again.
    TaskFault(String),
    /// This machine could not, as it is now: another may.
    NotHere(String),
    /// The executor failed or died under it.
    Lost(String),
    /// The executor failed or died under it or under one that ran beside it.
    Suspect(String),
    /// Never begun.
    NotRun,
}

/// Something happened.
#[derive(Debug)]
pub enum Event {
    Connected(Session),
    /// `slow`: refused with a code after which a quick retry is no use.
    ConnectFailed {
        slow: bool,
    },
    Disconnected {
        slow: bool,
    },
    /// The gateway asked for another attestation, and the answer is at hand.
    EvidenceReady,
    /// The gateway accepted it.
    Readmitted {
        attestation: String,
    },
    /// The GPUs or their driver are others than the attestation in force says: what is finished is reported under it, then
    /// the worker connects anew, with new evidence.
    DevicesChanged,
    /// The gateway said to take no new work.
    Drained,
    Renewed(Vec<RenewedLease>),
    Cancelled(Vec<LeaseRef>),
    /// What came of a lease request; `refused` are those that this worker cannot even begin.
    Leased {
        offers: Vec<Offer>,
        refused: Vec<Nack>,
        /// More may come of it.
        more: bool,
    },
    LeaseFailed,
    Fetched {
        lease: LeaseRef,
        result: Result<Work, FetchFailure>,
    },
    Uploaded {
        lease: LeaseRef,
        result: Result<(), Failure>,
    },
    Acked(Result<Vec<AckOutcome>, Failure>),
    Nacked(Result<(), Failure>),
    RunnerStarted {
        in_order: bool,
    },
    RunnerStartFailed,
    /// Whether the child gave every known output; it is gone if not.
    CanaryEnded {
        passed: bool,
    },
    Answered {
        lease: LeaseRef,
        answer: Answer,
    },
    RunEnded {
        child_lost: bool,
    },
    RunnerClosed,
    StopRequested,
}

/// Why inputs could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchFailure {
    Retry,
    /// Give the task back with this fault.
    Fault(protocol::lease::Fault),
    /// The gateway says that the lease is not ours any more.
    LeaseLost,
}

/// Something to do.
#[derive(Debug)]
pub enum Action {
    Connect,
    /// End the connection; [`Event::Disconnected`] follows.
    Disconnect,
    Heartbeat(Telemetry),
    Renew(Vec<LeaseRef>),
    /// Send the evidence that [`Event::EvidenceReady`] announced.
    SendEvidence,
    Lease {
        tasks_max: u16,
    },
    /// Give up a lease request that waits.
    AbandonLease,
    Fetch(Arc<Offer>),
    Upload(Arc<Finished>),
    Ack {
        session: Session,
        finished: Vec<Arc<Finished>>,
    },
    Nack(Vec<Nack>),
    StartRunner,
    /// Have the child that just started compute what is known.
    Canary,
    Run(Vec<(LeaseRef, Work)>),
    KillRunner,
    CloseRunner,
    /// Everything is said, or the deadline has passed with `abandoned` tasks held: end the process.
    Leave {
        abandoned: usize,
    },
}

impl Finished {
    /// Whether the output travels inside the ack.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        u64::try_from(self.output.len()).is_ok_and(|bytes| bytes <= INLINE_BYTES_MAX)
    }

    /// About what this task takes of an ack message: its inline output, a digest for each input, and the rest of the leaf.
    #[must_use]
    pub fn ack_bytes(&self) -> usize {
        const LEAF_BYTES: usize = 1_024;
        const DIGEST_BYTES: usize = 40;
        let inputs = self.offer.task.inputs.len().saturating_mul(DIGEST_BYTES);
        let inline = if self.is_inline() {
            self.output.len()
        } else {
            0
        };
        LEAF_BYTES.saturating_add(inputs).saturating_add(inline)
    }
}
