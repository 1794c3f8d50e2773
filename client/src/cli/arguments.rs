//! The command line of `cocoon`: what may be asked.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use protocol::limits::{ATTEMPTS_MAX, DEADLINE_S_MAX, GPU_MEMORY_GIB_MAX, PRIORITY_MAX};
use protocol::requirements::{GpuArchitecture, Requirements};
use protocol::task::TaskState;
use protocol::{IdempotencyKey, Sha256Digest, TaskId};

use crate::config::{Flags, SETTINGS};
use crate::exit::EXIT_CODES;
use crate::program::StyleFlags;

/// Submit tasks to a confidential GPU pool, fetch outputs, verify receipts.
#[derive(Debug, Parser)]
#[command(name = "cocoon", version, after_help = EXIT_CODES, after_long_help = format!("{SETTINGS}\n\n{EXIT_CODES}"))]
pub struct Arguments {
    #[command(flatten)]
    pub connection: Flags,
    #[command(flatten)]
    pub style: StyleFlags,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Submit a task; print its id, or wait and print what it gives.
    #[command(after_help = EXIT_CODES)]
    Submit(Submit),
    /// Show tasks; exit code 2 when one of them failed.
    #[command(after_help = EXIT_CODES)]
    Status(Status),
    /// Say why a task is where it is: what it waits for, or how it ended.
    #[command(after_help = EXIT_CODES)]
    Explain(Explain),
    /// List your tasks, newest first.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Fetch a task's output, compared with its digest before it is handed on.
    #[command(after_help = EXIT_CODES)]
    Output(Output),
    /// Cancel a task; a running one is stopped.
    #[command(after_help = EXIT_CODES)]
    Cancel(Cancel),
    /// Fetch a task's receipt, and verify it.
    #[command(after_help = EXIT_CODES)]
    Receipt(Receipt),
    /// Fetch the attestation record that a task's receipt points at, for cocoon-attest.
    #[command(after_help = EXIT_CODES)]
    Attestation(Attestation),
    /// List the operations that the pool offers.
    #[command(after_help = EXIT_CODES)]
    Operations(Operations),
    /// Print a completion script for a shell.
    Completions(Completions),
}

#[derive(Debug, Args)]
pub struct Submit {
    /// A name of the catalogue, as `cocoon operations` lists it.
    pub operation: String,
    /// The inputs, in the operation's order; `-` reads standard input, once.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// A parameter of the operation, typed as the catalogue says; may be repeated.
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
    /// The operation's version; by default the newest.
    #[arg(long = "operation-version", value_name = "NUMBER")]
    pub version: Option<u32>,
    /// Wait until it has finished, fetch the output and verify the receipt. `sha256_batch` prints what sha256sum prints.
    #[arg(long, short)]
    pub wait: bool,
    /// Write the output here (`-`: standard output); waits.
    #[arg(long, short, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Among your tasks of the operation: 0 (last) to 9 (first).
    #[arg(long, value_name = "0-9", value_parser = clap::value_parser!(u8).range(0..=i64::from(PRIORITY_MAX)))]
    pub priority: Option<u8>,
    /// Expire the task when no worker has taken it in this time: `90s`, `10m`, `2h`; a number alone is seconds.
    #[arg(long, value_name = "DURATION", value_parser = deadline_s)]
    pub deadline: Option<u32>,
    /// Deliveries before the task is set aside.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(ATTEMPTS_MAX)))]
    pub max_attempts: Option<u32>,
    /// Submitting again with the same key and the same task gives the same task; by default a random key.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<IdempotencyKey>,
    #[command(flatten)]
    pub requires: Requires,
}

/// What the task demands of the worker that runs it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Demands on the worker")]
pub struct Requires {
    /// A GPU of this architecture, as NVIDIA-signed evidence says; may be given twice.
    #[arg(long, value_name = "hopper|blackwell")]
    pub gpu_architecture: Vec<GpuArchitecture>,
    /// GiB of GPU memory at least.
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(u32).range(1..=i64::from(GPU_MEMORY_GIB_MAX)))]
    pub gpu_memory: Option<u32>,
    /// A GPU in confidential mode, whose evidence NVIDIA signed and the pool accepted.
    #[arg(long)]
    pub gpu_attested: bool,
    /// SHA-256 of the appraisal policy under which the worker was accepted.
    #[arg(long, value_name = "SHA256")]
    pub appraisal_policy: Option<Sha256Digest>,
}

impl Requires {
    pub(super) fn requirements(&self) -> Requirements {
        Requirements {
            gpu_architectures: self.gpu_architecture.iter().copied().collect(),
            gpu_memory_gib_min: self.gpu_memory,
            gpu_attested: self.gpu_attested,
            appraisal_policy: self.appraisal_policy,
        }
    }
}

#[derive(Debug, Args)]
pub struct Status {
    /// The tasks' ids, as `cocoon submit` printed them.
    #[arg(value_name = "TASK", required = true)]
    pub tasks: Vec<TaskId>,
    /// Wait until all have finished.
    #[arg(long, short)]
    pub wait: bool,
}

#[derive(Debug, Args)]
pub struct List {
    /// Only tasks in this state: queued, running, succeeded, dead-letter, cancelled or expired.
    #[arg(long)]
    pub state: Option<TaskState>,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Go on where the last page ended.
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

#[derive(Debug, Args)]
pub struct Output {
    /// The task's id, as `cocoon submit` printed it.
    #[arg(value_name = "TASK")]
    pub task: TaskId,
    /// Write it here instead of standard output.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Explain {
    /// The task's id, as `cocoon submit` printed it.
    #[arg(value_name = "TASK")]
    pub task: TaskId,
}

#[derive(Debug, Args)]
pub struct Cancel {
    /// The task's id, as `cocoon submit` printed it.
    #[arg(value_name = "TASK")]
    pub task: TaskId,
}

#[derive(Debug, Args)]
pub struct Receipt {
    /// The task's id, as `cocoon submit` printed it.
    #[arg(value_name = "TASK")]
    pub task: TaskId,
    /// Write the receipt here instead of standard output.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Verify signature and inclusion, and compare task digest, inputs and output with what this machine submitted and
    /// downloaded.
    #[arg(long)]
    pub verify: bool,
    /// The task digest that was computed elsewhere before the task was submitted.
    #[arg(long, value_name = "SHA256", requires = "verify")]
    pub task_digest: Option<Sha256Digest>,
    /// A file with the output that was downloaded elsewhere.
    #[arg(long, value_name = "FILE", requires = "verify", value_hint = ValueHint::FilePath)]
    pub output_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Attestation {
    /// The task's id, as `cocoon submit` printed it.
    #[arg(value_name = "TASK")]
    pub task: TaskId,
    /// Write the record here instead of standard output.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Operations {
    /// List what this program knows, without asking a gateway.
    #[arg(long)]
    pub offline: bool,
}

#[derive(Debug, Args)]
pub struct Completions {
    pub shell: Shell,
}

/// A number of seconds, or a duration with units.
fn deadline_s(text: &str) -> Result<u32, String> {
    let seconds = match text.parse::<i64>() {
        Ok(seconds) => seconds,
        Err(_) => text
            .parse::<jiff::SignedDuration>()
            .map_err(|_| "expected a duration such as 90s, 10m or 2h".to_owned())?
            .as_secs(),
    };
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=DEADLINE_S_MAX).contains(seconds))
        .ok_or_else(|| {
            format!(
                "expected 1 s to {} days (DEADLINE_S_MAX)",
                DEADLINE_S_MAX / 86_400
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn deadlines_have_units_and_bounds() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("10m", 600),
            ("2h", 7_200),
            ("1h 30m", 5_400),
        ] {
            assert_eq!(deadline_s(text), Ok(seconds), "{text}");
        }
        for text in ["", "soon", "0", "-5s", "8d", "200h"] {
            assert!(deadline_s(text).is_err(), "{text}");
        }
    }

    fn demands(flags: &[&str]) -> Result<Requirements, clap::Error> {
        let words = ["cocoon", "submit", "embed", "text"];
        let parsed = Arguments::try_parse_from(words.iter().chain(flags))?;
        match parsed.command {
            Command::Submit(submit) => Ok(submit.requires.requirements()),
            _ => unreachable!("`submit` was asked for"),
        }
    }

    #[test]
    fn what_a_task_demands_is_said_in_flags() {
        assert!(demands(&[]).unwrap().is_none());
        let flags = ["--gpu-architecture", "hopper", "--gpu-memory", "80"];
        let words = "an attested GPU of hopper and 80 GiB of GPU memory";
        assert_eq!(demands(&flags).unwrap().to_string(), words);
        let attested = demands(&["--gpu-attested"]).unwrap();
        assert_eq!(attested.to_string(), "an attested GPU");
        demands(&["--gpu-architecture", "ampere"]).unwrap_err();
        demands(&["--gpu-memory", "0"]).unwrap_err();
        demands(&["--appraisal-policy", "abc"]).unwrap_err();
    }
}
