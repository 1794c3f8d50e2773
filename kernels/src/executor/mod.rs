//! Where operations run: in a child process, one per device, that the agent starts, feeds and may kill at any moment.
//!
//! After an illegal address or a hung kernel a CUDA process is lost, and no call cancels a running kernel; so the agent
//! never computes. It speaks to the child over a Unix socket that is the child's standard input, with payloads in an
//! arena, a memfd that both hold:
//!
//! ```text
//! agent: ExecutorChild ── Connection ══ socket: frames of CBOR ══ serve ── Executor (CpuExecutor, CudaExecutor)
//!                              └── arena: inputs and outputs ──────┘
//! ```
//!
//! | agent → child | child → agent |
//! |---|---|
//! | `Hello { version, arena_bytes }` and the arena's descriptor | `Ready { version, identity }` |
//! | `Run { request, works: [{ body, inputs, output }] }`, inputs and output as ranges of the arena | `Answered { request, index, fault }` for each work |
//! | `Shutdown` | end of stream |
//!
//! The child reads nothing else, and once its executor has started it is confined: no network, no other program, no
//! signal to another process, see `sandbox`. A panic in it is not caught: the process ends, the agent sees the end of the stream,
//! reports the work as [lost](Outcome::Lost) and starts another child. If the agent ends, the child kills itself.

mod arena;
mod child;
mod cpu;
pub mod cuda;
mod descriptor;
mod frame;
mod message;
mod parent;
mod process;
mod run;
mod sandbox;
mod work;

use std::fmt;
use std::str::FromStr;

use protocol::Sha256Digest;
use protocol::catalogue::Call;
use serde::{Deserialize, Serialize};

use crate::operations::OperationError;

pub use arena::{ARENA_BYTES, ArenaError, ArenaRange};
pub use child::{ServeError, serve, serve_stdin};
pub use cpu::{CpuExecutor, CpuStartError};
pub use frame::FrameError;
pub use parent::{Clock, Connection, ConnectionError, Outcome};
pub use process::{ExecutorChild, Exit, Killer, Program, SpawnError, StartedProcess};
pub use run::{BATCH_WORKS_MAX, RUN_BYTES_MAX};
pub use sandbox::ConfineError;
pub use work::{Work, WorkError};

/// A fault's sentence is cut to this: it is shown to the submitter.
pub const FAULT_BYTES_MAX: usize = protocol::limits::FAULT_MESSAGE_BYTES_MAX;

/// Runs operations on one device. The seam between the child's loop and what computes.
pub trait Executor {
    fn identity(&self) -> Identity;

    /// Runs the works and calls `answer` once for each, with its index, as soon as its output is complete. An executor
    /// that says [`Identity::in_order`] answers works without a model in order. After a [`Fault::Executor`] the process is not used again, so
    /// the rest needs no answer.
    fn run(&mut self, works: &mut [PlacedWork<'_>], answer: Answer<'_>);
}

/// Takes the outcome of the work with this index.
pub type Answer<'a> = &'a mut dyn FnMut(usize, Result<(), Fault>);

/// A work whose inputs and output lie in the arena. Sizes are those of the call.
#[derive(Debug)]
pub struct PlacedWork<'a> {
    pub call: Call,
    pub inputs: Vec<&'a [u8]>,
    /// Zero before the work runs. No other work of the batch reads or writes it.
    pub output: &'a mut [u8],
}

/// Why a work has no output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// The task's own: it would fail the same way again. The child stays.
    #[error("{0}")]
    Task(String),
    /// This machine's, as it is now: the task may succeed on another one, or here later. The child stays.
    #[error("{0}")]
    Here(String),
    /// The executor's: whatever the device holds now is not to be relied on. The child is replaced.
    #[error("{0}")]
    Executor(String),
}

impl Fault {
    /// The task's own, with its causes in one sentence: it is all that the submitter reads.
    fn of_task(error: &OperationError) -> Self {
        Self::Task(chain(error))
    }

    /// The same fault with at most [`FAULT_BYTES_MAX`] bytes of text and no control characters.
    #[must_use]
    fn clipped(self) -> Self {
        match self {
            Self::Task(text) => Self::Task(clip(&text)),
            Self::Executor(text) => Self::Executor(clip(&text)),
            Self::Here(text) => Self::Here(clip(&text)),
        }
    }
}

/// An error and what it came of.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn clip(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut clipped: String = text.chars().take(FAULT_BYTES_MAX).map(printable).collect();
    clipped.truncate(clipped.floor_char_boundary(FAULT_BYTES_MAX));
    clipped
}

/// What an executor says of itself when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub kind: ExecutorKind,
    /// SHA-256 of the code that computes; see [`crate::module`].
    pub module_digest: Sha256Digest,
    /// Of the model that `embed` computes with, if the executor has one; see [`crate::embed`].
    pub model_digest: Option<Sha256Digest>,
    /// Works run one after another in the order given: when the child dies, the first without an answer was running and
    /// those behind it were never begun. But for works with a model, which are computed together with their neighbours;
    /// see [`Identity::runs_in_order`].
    pub in_order: bool,
    /// UUID of the device that computes (`GPU-…`); nothing on the CPU.
    pub device: Option<String>,
    /// Libraries that compute beside the module, as they were loaded.
    pub libraries: Vec<Library>,
}

impl Identity {
    /// Whether these works, as one batch, run one after another.
    #[must_use]
    pub fn runs_in_order(&self, works: &[Work]) -> bool {
        self.in_order && !works.iter().any(Work::has_model)
    }
}

/// A library that was loaded: the file that is mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    pub name: String,
    /// What the library says of itself.
    pub version: String,
    pub digest: Sha256Digest,
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutorKind {
    Cpu,
    Cuda,
}

impl ExecutorKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

impl fmt::Display for ExecutorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Why a text names no executor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no executor: expected cpu or cuda")]
pub struct ExecutorKindError(String);

impl FromStr for ExecutorKind {
    type Err = ExecutorKindError;

    fn from_str(text: &str) -> Result<Self, ExecutorKindError> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(ExecutorKindError(text.chars().take(80).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_cut_at_a_character_and_shown_without_controls() {
        let fault = Fault::Task("ä".repeat(FAULT_BYTES_MAX)).clipped();
        assert_eq!(fault.to_string(), "ä".repeat(FAULT_BYTES_MAX / 2));
        let fault = Fault::Executor("a\u{1b}[2Jb\n".to_owned()).clipped();
        assert_eq!(fault.to_string(), "a [2Jb ");
        assert_eq!(
            Fault::Here("\0".to_owned()).clipped(),
            Fault::Here(" ".to_owned())
        );
    }

    #[test]
    fn kinds_survive_text() {
        for kind in [ExecutorKind::Cpu, ExecutorKind::Cuda] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert!("gpu".parse::<ExecutorKind>().is_err());
    }
}
