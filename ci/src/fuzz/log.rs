//! The log of long runs: one section a run, one row a target.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Outcome;
use crate::command::root;

pub(super) fn append(path: &Path, seconds: u32, outcomes: &[Outcome]) -> Result<()> {
    let section = section(&date()?, &revision()?, seconds, outcomes);
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    file.write_all(section.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

fn section(date: &str, revision: &str, seconds: u32, outcomes: &[Outcome]) -> String {
    let mut section = format!(
        "\n## {date}, revision {revision}, {seconds} s a target\n\n\
         | target | executions | a second | coverage | corpus | findings |\n|---|--:|--:|--:|--:|---|\n"
    );
    for Outcome {
        target,
        statistics,
        finding,
    } in outcomes
    {
        let finding = if finding.is_some() { "YES" } else { "none" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            section,
            "| {target} | {} | {} | {} | {} | {finding} |",
            statistics.executions, statistics.rate, statistics.coverage, statistics.corpus
        );
    }
    section
}

fn date() -> Result<String> {
    said_by(Command::new("date").args(["--utc", "+%Y-%m-%d"]))
}

fn revision() -> Result<String> {
    let git = ["rev-parse", "--short", "HEAD"];
    said_by(Command::new("git").args(git).current_dir(root()))
}

fn said_by(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
