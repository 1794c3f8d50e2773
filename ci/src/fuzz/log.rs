//! The log of long runs: one section a run, one row a target.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::Outcome;
use crate::command::{date, revision};

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
