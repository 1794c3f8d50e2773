//! `cocoon-attest` as a library: everything but the choice of root, clock and streams, which `main` makes.
//!
//! The shipped binary trusts Intel's root and nothing else: there is no flag for another. Tests call [`run`] with the
//! simulator's root, and every verdict then opens with a line that says so.
#![forbid(unsafe_code)]

mod answer;
mod arguments;
mod bundle;
mod checks;
mod collateral;
mod devices;
mod doctor;
mod explain;
mod input;
mod inspect;
mod output;
mod policy;
mod receipt;
mod report_data;
mod schema;
mod shell;
mod verdict;
mod verifiers;
mod verify;
mod verify_gpu;

use std::{
    ffi::OsString,
    fmt,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process::{ExitCode, Termination},
};

use attestation::{TrustAnchor, gpu::GpuTrustAnchor};
use clap::Parser;
use serde_json::json;

use crate::{
    answer::Answer,
    arguments::{Arguments, Bundle, Command, Policy, Receipt, Style},
    output::Paint,
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
    /// The machine, as far as commands look at it.
    pub machine: Machine,
}

/// The machine that this runs on.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Where `/proc`, `/sys`, `/dev` and `/run` are looked for; `/` outside tests.
    pub root: PathBuf,
    /// NVIDIA's management library; the installed one where it is not named.
    pub nvml_library: Option<PathBuf>,
    /// Whether standard output shows colours.
    pub colour: bool,
    /// Whether nothing but answers and errors is wanted; `--quiet` says so too.
    pub quiet: bool,
}

impl Machine {
    /// An absolute path, under this machine's root.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            nvml_library: None,
            colour: false,
            quiet: false,
        }
    }
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("World")
            .field("anchor", &self.anchor)
            .field("machine", &self.machine)
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
    /// 5: nothing was refused, and not all that makes a verdict was there. (4 means "denied" in this project's other programs.)
    Undecided,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        match self {
            Self::Success => ExitCode::SUCCESS,
            Self::Error => ExitCode::from(1),
            Self::Findings => ExitCode::from(2),
            Self::Unreachable => ExitCode::from(3),
            Self::Undecided => ExitCode::from(5),
        }
    }
}

/// Runs one command line, the program's name first.
pub fn run<I>(arguments: I, mut world: World<'_>) -> Exit
where
    I: IntoIterator<Item: Into<OsString> + Clone>,
{
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(message) => return usage(&message, json, &mut world),
    };
    let style = arguments.style;
    world.machine.quiet |= style.quiet;
    match answer(arguments.command, json, &mut world) {
        Ok(answer) => print(&answer, style, &mut world),
        Err(error) => complain(&error, style.json, &mut world),
    }
}

fn answer(command: Command, json: bool, world: &mut World<'_>) -> anyhow::Result<Answer> {
    match command {
        Command::Inspect(arguments) => inspect::run(&arguments, world),
        Command::Verify(arguments) => verify::run(&arguments, world),
        Command::Explain(arguments) => explain::run(&arguments, world),
        Command::Bundle(Bundle::Create(arguments)) => bundle::create(&arguments, world),
        Command::Policy(Policy::Lint(arguments)) => policy::lint(&arguments, world),
        Command::Policy(Policy::Diff(arguments)) => policy::diff(&arguments, world),
        Command::Policy(Policy::Simulate(arguments)) => policy::simulate(&arguments, world),
        Command::ReportData(arguments) => report_data::run(&arguments, world),
        Command::Receipt(Receipt::Verify(arguments)) => receipt::run(&arguments, world),
        Command::Collateral(command) => collateral::run(&command, world),
        Command::Doctor(arguments) => doctor::run(&arguments, world),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions(arguments) => shell::completions(arguments.shell, json),
        Command::Man(arguments) => shell::man(arguments.dir.as_deref(), json),
    }
}

/// Help and version are answers; anything else that clap says is a mistake in the command line.
fn usage(message: &clap::Error, json: bool, world: &mut World<'_>) -> Exit {
    let text = message.render().to_string();
    if !message.use_stderr() {
        return write(world, &text, Exit::Success);
    }
    let _ = world.errors.write_all(text.as_bytes());
    if json {
        // Behind the first paragraph clap explains how the command is used.
        let (mistake, _) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mistake = mistake.strip_prefix("error: ").unwrap_or(mistake);
        let lines = mistake.lines().map(str::trim);
        complain_in_json(&[lines.collect::<Vec<_>>().join(" ")], world);
    }
    Exit::Error
}

fn print(answer: &Answer, style: Style, world: &mut World<'_>) -> Exit {
    let text = if style.json {
        answer.json()
    } else {
        answer.text(Paint(world.machine.colour))
    };
    let exit = write(world, &text, answer.exit());
    if !world.machine.quiet
        && !style.json
        && let Some(note) = answer.note()
    {
        // The answer stands; a note that nobody can be told is not missed.
        let _ = writeln!(world.errors, "{note}");
    }
    exit
}

fn complain(error: &anyhow::Error, json: bool, world: &mut World<'_>) -> Exit {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let _ = writeln!(world.errors, "cocoon-attest: {}", causes.join(": "));
    if json {
        complain_in_json(&causes, world);
    }
    Exit::Error
}

fn complain_in_json(causes: &[String], world: &mut World<'_>) {
    let object = json!({ "schema": "cocoon-attest/error/1", "error": causes });
    let _ = writeln!(world.output, "{object}");
}

/// An answer that could not be written was not given.
fn write(world: &mut World<'_>, text: &str, exit: Exit) -> Exit {
    let written = world.output.write_all(text.as_bytes());
    match written.and_then(|()| world.output.flush()) {
        Ok(()) => exit,
        Err(error) => {
            // Whoever closes a pipe has seen enough.
            if error.kind() != ErrorKind::BrokenPipe {
                let _ = writeln!(
                    world.errors,
                    "cocoon-attest: cannot write the answer: {error}"
                );
            }
            Exit::Error
        }
    }
}
