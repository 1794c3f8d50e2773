//! The command line of `cocoon-admin`: nouns, then verbs.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use client::config::{Flags, SETTINGS};
use client::exit::EXIT_CODES;
use client::program::StyleFlags;
use protocol::task::TaskState;
use protocol::{TaskId, WorkerId};

/// Operate a confidential GPU pool. Needs an operator's access token.
#[derive(Debug, Parser)]
#[command(name = "cocoon-admin", version, after_help = EXIT_CODES, after_long_help = format!("{SETTINGS}\n\n{EXIT_CODES}"))]
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
    /// Show the pool's state: trust anchor, collateral, tasks, workers.
    #[command(after_help = EXIT_CODES)]
    Status,
    /// Enrol, watch, drain and remove workers.
    #[command(subcommand, after_help = EXIT_CODES)]
    Worker(WorkerCommand),
    /// Put another appraisal policy in force.
    #[command(subcommand, after_help = EXIT_CODES)]
    Policy(PolicyCommand),
    /// Look at everybody's tasks; cancel and redrive them.
    #[command(subcommand, after_help = EXIT_CODES)]
    Task(TaskCommand),
    /// Print a completion script for a shell.
    Completions(Completions),
}

#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// Enrol a worker; its secret is shown once.
    #[command(after_help = EXIT_CODES)]
    Create(Create),
    /// List all workers.
    #[command(after_help = EXIT_CODES)]
    List,
    /// Show one worker: session, attestation, GPUs, latest refusal.
    #[command(after_help = EXIT_CODES)]
    Status(Worker),
    /// Give it no new work; what it runs, it finishes or releases.
    #[command(after_help = EXIT_CODES)]
    Drain(Drain),
    /// Give it work again.
    #[command(after_help = EXIT_CODES)]
    Undrain(Worker),
    /// Say why it gets no tasks, or that it does.
    #[command(after_help = EXIT_CODES)]
    Explain(Worker),
    /// Remove it: its secret admits nobody any more.
    #[command(after_help = EXIT_CODES)]
    Delete(Delete),
    /// Fetch the attestation record of its session, for cocoon-attest.
    #[command(after_help = EXIT_CODES)]
    Attestation(Attestation),
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Have the gateway read its appraisal policy's file again: every live session is appraised under it at once.
    #[command(after_help = EXIT_CODES)]
    Reload,
}

#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// List tasks, newest first.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Show one task.
    #[command(after_help = EXIT_CODES)]
    Show(Task),
    /// Say why a task is where it is.
    #[command(after_help = EXIT_CODES)]
    Explain(Task),
    /// Cancel a task; a running one is stopped.
    #[command(after_help = EXIT_CODES)]
    Cancel(Cancel),
    /// Return a dead letter to the queue.
    #[command(after_help = EXIT_CODES)]
    Redrive(Task),
}

#[derive(Debug, Args)]
pub struct Worker {
    /// The worker's id.
    #[arg(long, value_name = "WORKER")]
    pub id: WorkerId,
}

#[derive(Debug, Args)]
pub struct Create {
    /// The worker's id: 1 to 64 of a-z, 0-9, `_`, `-` and `.`.
    #[arg(long, value_name = "WORKER")]
    pub id: WorkerId,
    /// Write the enrolment secret to this new file (mode 0600) instead of showing it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub secret_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Drain {
    /// The worker's id.
    #[arg(long, value_name = "WORKER")]
    pub id: WorkerId,
    /// Wait until it runs nothing any more.
    #[arg(long)]
    pub wait: bool,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// The worker's id.
    #[arg(long, value_name = "WORKER")]
    pub id: WorkerId,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Attestation {
    /// The worker's id.
    #[arg(long, value_name = "WORKER")]
    pub id: WorkerId,
    /// Write the record here instead of standard output.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct List {
    /// Only tasks in this state: queued, running, succeeded, dead-letter, cancelled or expired.
    #[arg(long)]
    pub state: Option<TaskState>,
    /// Everybody's tasks, not the operator's own alone.
    #[arg(long)]
    pub all: bool,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Go on where the last page ended.
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

#[derive(Debug, Args)]
pub struct Task {
    /// The task's id, as `cocoon-admin task list --all` shows it.
    #[arg(value_name = "TASK")]
    pub task: TaskId,
}

#[derive(Debug, Args)]
pub struct Cancel {
    /// The task's id, as `cocoon-admin task list --all` shows it.
    #[arg(value_name = "TASK")]
    pub task: TaskId,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Completions {
    pub shell: Shell,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
