//! `cargo devnet`: builds every binary, then becomes the devnet.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::test::build_binaries;

/// Returns only where the devnet cannot be started: as this very process it gets every signal, and its exit code counts.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    build_binaries()?;
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let error = Command::new(own.with_file_name("devnet"))
        .args(arguments)
        .exec();
    Err(error).context("cannot start the devnet")
}
