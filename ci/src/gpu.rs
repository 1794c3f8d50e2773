//! `cargo ci gpu`: what only a GPU can show. Builds one binary, and runs it where there is a driver.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::command::{cargo, step, target};

/// How `cargo ci gpu` runs.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only build, and say where the binary is: it is to be carried to another machine.
    #[arg(long)]
    build: bool,
    /// The binary's own; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "gpu"]);
    step("build (the first one takes some minutes)", &mut build)?;
    let binary = target()?.join("release/gpu");
    if options.build {
        eprintln!(
            "carry {} to a machine with an NVIDIA GPU, driver 580 or later and cuBLAS, and run it there",
            binary.display()
        );
        return Ok(());
    }
    step("run", Command::new(&binary).args(&options.arguments))
}
