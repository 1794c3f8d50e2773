//! `cocoon-attest` as a library: everything but the choice of root, clock and streams, which `main` makes.
//!
//! The shipped binary trusts Intel's root and nothing else: there is no flag for another. Tests call [`run`] with the
//! simulator's root, and every verdict then opens with a line that says so.
#![forbid(unsafe_code)]

mod answer;
mod arguments;
mod checks;
mod collateral;
mod explain;
mod input;
mod inspect;
mod output;
mod receipt;
mod report_data;
mod verdict;
mod verify;

use std::{
    ffi::OsString,
    fmt,
    io::{Read, Write},
    process::{ExitCode, Termination},
};

use attestation::{TrustAnchor, gpu::GpuTrustAnchor};
use clap::Parser;
use serde_json::json;

use crate::{
    answer::Answer,
    arguments::{Arguments, Command, Receipt},
};

/// Everything outside the process that a command may touch, files apart.
pub struct World<'a> {
    /// The root that verdicts end in.
    pub anchor: TrustAnchor,
    /// The roots that GPU evidence ends in.
    pub gpu_anchor: GpuTrustAnchor,
    /// What `--time now` means, in seconds since the epoch.
    pub now_s: &'a dyn Fn() -> u64,
    /// Standard input, for `-`.
    pub input: &'a mut dyn Read,
    /// Standard output: answers.
    pub output: &'a mut dyn Write,
    /// Standard error: what kept the command from answering.
    pub errors: &'a mut dyn Write,
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("World")
            .field("anchor", &self.anchor)
            .finish_non_exhaustive()
    }
}

/// How the process ends; the numbers are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: the answer is yes, or the information asked for was printed.
    Success,
    /// 1: bad usage, or a file that cannot be read or parsed.
    Error,
    /// 2: the evidence was refused, or a step failed.
    Findings,
    /// 3: no source of collateral had what was asked for.
    Unreachable,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        match self {
            Self::Success => ExitCode::SUCCESS,
            Self::Error => ExitCode::from(1),
            Self::Findings => ExitCode::from(2),
            Self::Unreachable => ExitCode::from(3),
        }
    }
}

/// Runs one command line, the program's name first.
pub fn run<I>(arguments: I, mut world: World<'_>) -> Exit
where
    I: IntoIterator<Item: Into<OsString> + Clone>,
{
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(message) => return usage(&message, &mut world),
    };
    let json = arguments.json;
    match answer(arguments.command, &mut world) {
        Ok(answer) => print(&answer, json, &mut world),
        Err(error) => complain(&error, json, &mut world),
    }
}

fn answer(command: Command, world: &mut World<'_>) -> anyhow::Result<Answer> {
    match command {
        Command::Inspect(arguments) => inspect::run(&arguments, world),
        Command::Explain(arguments) => explain::run(&arguments, world),
        Command::ReportData(arguments) => report_data::run(&arguments, world),
        Command::Verify(arguments) => verify::run(&arguments, world),
        Command::Receipt(Receipt::Verify(arguments)) => receipt::run(&arguments, world),
        Command::Collateral(command) => collateral::run(&command, world),
    }
}

/// Help and version are answers; anything else that clap says is a mistake in the command line.
fn usage(message: &clap::Error, world: &mut World<'_>) -> Exit {
    let (stream, exit): (&mut dyn Write, _) = if message.use_stderr() {
        (&mut *world.errors, Exit::Error)
    } else {
        (&mut *world.output, Exit::Success)
    };
    write(stream, &message.render().to_string(), exit)
}

fn print(answer: &Answer, json: bool, world: &mut World<'_>) -> Exit {
    let text = if json {
        format!("{}\n", answer.json())
    } else {
        answer.text()
    };
    write(world.output, &text, answer.exit())
}

fn complain(error: &anyhow::Error, json: bool, world: &mut World<'_>) -> Exit {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let _ = writeln!(world.errors, "cocoon-attest: {}", causes.join(": "));
    if json {
        let object = json!({ "schema": "cocoon-attest/error/1", "error": causes });
        let _ = writeln!(world.output, "{object}");
    }
    Exit::Error
}

/// An answer that could not be written was not given.
fn write(stream: &mut dyn Write, text: &str, exit: Exit) -> Exit {
    let written = stream
        .write_all(text.as_bytes())
        .and_then(|()| stream.flush());
    if written.is_ok() { exit } else { Exit::Error }
}
