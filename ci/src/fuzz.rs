//! `cargo ci fuzz`: libFuzzer over every target of `attestation/fuzz`, a line for each.

mod log;
mod statistics;

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::command::step;
use crate::instrumented::{ASAN_OPTIONS, binary, folder, instrumented};
use statistics::Statistics;

/// How `cargo ci fuzz` runs.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this target.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// How many targets run at a time; one a processor where it is not said.
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// Appends the outcome to this file, as a table in Markdown.
    #[arg(long)]
    log: Option<PathBuf>,
}

/// One input may take this long, in seconds: the dearest verification takes milliseconds, also under the sanitizer.
const INPUT_S_MAX: u32 = 10;
/// One process may hold this much: hundreds of times what the largest accepted input needs.
const PROCESS_MIB_MAX: u32 = 2048;
/// One allocation may ask for this much: no parser may believe a length that it has not seen the bytes for.
const ALLOCATION_MIB_MAX: u32 = 64;
/// Lines of libFuzzer's output that are shown of a finding: the panic and its trace.
const LINES_SHOWN_MAX: usize = 60;

/// How one target ended.
struct Outcome {
    target: String,
    statistics: Statistics,
    /// What libFuzzer said, where it found something.
    finding: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut build = instrumented("build")?;
    build.args(["--quiet", "--package", "fuzz", "--bins"]);
    build.args(["--features", "libfuzzer"]);
    step(
        "build with AddressSanitizer and coverage (the first one takes some minutes)",
        &mut build,
    )?;
    let folder = folder()?.join("fuzz");
    let mut seeds = Command::new(binary("fuzz-seeds")?);
    step(
        "seeds",
        seeds.arg(&folder).env(ASAN_OPTIONS.0, ASAN_OPTIONS.1),
    )?;
    let targets = targets(&folder, options.target.as_deref())?;
    let outcomes = run_all(&folder, targets, options)?;
    if let Some(path) = &options.log {
        log::append(path, options.seconds, &outcomes)?;
    }
    let findings = outcomes
        .iter()
        .filter(|outcome| outcome.finding.is_some())
        .count();
    ensure!(findings == 0, "{findings} targets have findings");
    Ok(())
}

/// The targets are the folders that their seeds were written to.
fn targets(folder: &Path, only: Option<&str>) -> Result<Vec<String>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names
        .filter(|name| only.is_none_or(|only| only == name))
        .collect();
    names.sort();
    match only {
        Some(only) if names.is_empty() => bail!("there is no target `{only}`"),
        _ => Ok(names),
    }
}

/// Runs the targets in turn, or a few at a time, and prints a line as each ends.
fn run_all(folder: &Path, targets: Vec<String>, options: &Options) -> Result<Vec<Outcome>> {
    let waiting = Mutex::new(targets.into_iter());
    let next = || {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
    };
    let work = || -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        while let Some(target) = next() {
            let outcome = run_one(&folder.join(&target), target, options.seconds)?;
            outcome.print();
            outcomes.push(outcome);
        }
        Ok(outcomes)
    };
    let processors = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let jobs = options.jobs.unwrap_or(processors);
    let outcomes = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.get()).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|ended| ended.unwrap_or_else(|_| bail!("a thread failed")))
            .collect::<Result<Vec<_>>>()
    })?;
    let mut outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
    outcomes.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(outcomes)
}

fn run_one(folder: &Path, target: String, seconds: u32) -> Result<Outcome> {
    let [corpus, artifacts] = ["corpus", "artifacts"].map(|name| folder.join(name));
    for made in [&corpus, &artifacts] {
        fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
    }
    let output = Command::new(binary("fuzz")?)
        .args([&corpus, &folder.join("seeds")])
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-dict={}", folder.join("dictionary").display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_S_MAX}"))
        .arg(format!("-rss_limit_mb={PROCESS_MIB_MAX}"))
        .arg(format!("-malloc_limit_mb={ALLOCATION_MIB_MAX}"))
        .arg("-print_final_stats=1")
        .env("FUZZ_TARGET", &target)
        .env(ASAN_OPTIONS.0, ASAN_OPTIONS.1)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start libFuzzer for {target}"))?;
    Ok(Outcome::new(target, &output))
}

impl Outcome {
    fn new(target: String, output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stderr);
        let statistics = Statistics::read(&text);
        // A run that tried nothing has shown nothing.
        let is_clean = output.status.success() && statistics.executions > 0;
        Self {
            target,
            statistics,
            finding: (!is_clean).then(|| shown(&text)),
        }
    }

    fn print(&self) {
        let verdict = if self.finding.is_some() {
            "FINDING"
        } else {
            "clean"
        };
        eprintln!("   {:16} {}  {verdict}", self.target, self.statistics);
        if let Some(finding) = &self.finding {
            eprintln!("{finding}");
        }
    }
}

/// The last lines of libFuzzer's output without its running statistics.
fn shown(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let first = lines.len().saturating_sub(LINES_SHOWN_MAX);
    lines.get(first..).unwrap_or_default().join("\n")
}
