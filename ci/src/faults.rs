//! `cargo ci faults`: builds every binary, then becomes the run of faults over real processes.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{date, revision};
use crate::test::build_binaries;

/// Returns only where the run cannot be started: as this very process it gets every signal, and its exit code counts.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    build_binaries()?;
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let title = format!("{}, revision {}", date()?, revision()?);
    let error = Command::new(own.with_file_name("faults"))
        .args(["--title", &title])
        .args(arguments)
        .exec();
    Err(error).context("cannot start the run of faults")
}
