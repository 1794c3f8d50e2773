//! `cargo ci test` and `cargo ci bench`.

use std::io::IsTerminal;

use anyhow::Result;

use crate::command::{cargo, has_subcommand, step};

pub(crate) fn run() -> Result<()> {
    // The end-to-end tests start the binaries of other crates, which cargo does not build for them.
    build_binaries()?;
    if has_subcommand("nextest") {
        step(
            "documentation tests",
            cargo().args(["test", "--workspace", "--doc", "--quiet"]),
        )?;
        step(
            "tests",
            cargo().args(["nextest", "run", "--workspace", "--no-fail-fast"]),
        )
    } else {
        step(
            "tests",
            cargo().args(["test", "--workspace", "--no-fail-fast"]),
        )
    }
}

pub(crate) fn bench(filter: Option<&str>) -> Result<()> {
    // As for the tests, but optimised: what is measured is what ships.
    let build = ["build", "--release", "--workspace", "--bins", "--quiet"];
    step("build", cargo().args(build))?;
    step(
        "benchmarks",
        cargo()
            .args(["bench", "--workspace", "--bench", "*", "--"])
            .args(filter),
    )
}

/// Builds every binary and the stand-in libraries with the features of the whole workspace, so that no later build
/// differs. The first time this takes minutes, and a person sees cargo's own progress meanwhile.
pub(crate) fn build_binaries() -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--workspace", "--bins", "--lib"]);
    if !std::io::stderr().is_terminal() {
        build.arg("--quiet");
    }
    step("build (the first one takes some minutes)", &mut build)
}
