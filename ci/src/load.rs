//! `cargo ci load`: builds what is measured, optimised, then becomes the load generator.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{cargo, step, target};

/// Returns only where the load generator cannot be started: as this very process it gets every signal, and its exit code
/// counts.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    build()?;
    let error = Command::new(target()?.join("release/load"))
        .args(arguments)
        .exec();
    Err(error).context("cannot start the load generator")
}

/// The gateway, its development twin and the load generator.
pub(crate) fn build() -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--quiet"]);
    build.args(["--package", "gateway", "--package", "tests"]);
    for program in ["cocoon-gateway", "devnet-gateway", "load"] {
        build.args(["--bin", program]);
    }
    step("build (the first one takes some minutes)", &mut build)
}
