//! `cargo ci peers`: builds the gateway, its load generator and the clients of the others, optimised, then measures.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{cargo, step, target};
use crate::load;

/// Returns only where the measurement cannot be started.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    load::build()?;
    let target = target()?;
    let mut build = cargo();
    build.args(["build", "--release", "--quiet", "--locked"]);
    build.args(["--manifest-path", "tests/peers/Cargo.toml", "--target-dir"]);
    step("build of the others' clients", build.arg(&target))?;
    let error = Command::new(target.join("release/peers"))
        .arg("--load")
        .arg(target.join("release/load"))
        .args(arguments)
        .exec();
    Err(error).context("cannot start the measurement")
}
