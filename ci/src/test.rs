//! `cargo ci test` and `cargo ci bench`.

use std::io::IsTerminal;

use anyhow::Result;

use crate::command::{cargo, has_subcommand, step};
use crate::postgres;

/// Tests of the store on PostgreSQL, and of several gateways.
const POSTGRES: [&str; 2] = ["postgres", "servers"];

pub(crate) fn run() -> Result<()> {
    // The end-to-end tests start the binaries of other crates, which cargo does not build for them.
    build_binaries()?;
    #[expect(clippy::disallowed_methods, reason = "as the tests themselves do")]
    let named = std::env::var_os(postgres::ADDRESS).is_some();
    let server = if named {
        None
    } else {
        postgres::Server::start()?
    };
    let mut tests = if has_subcommand("nextest") {
        step(
            "documentation tests",
            cargo().args(["test", "--workspace", "--doc", "--quiet"]),
        )?;
        let mut tests = cargo();
        tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        tests
    } else {
        let mut tests = cargo();
        tests.args(["test", "--workspace", "--no-fail-fast"]);
        tests
    };
    if let Some(server) = &server {
        tests.env(postgres::ADDRESS, &server.address);
    } else if !named {
        eprintln!("the tests on PostgreSQL are skipped");
        tests.arg("--");
        for name in POSTGRES {
            tests.args(["--skip", name]);
        }
    }
    step("tests", &mut tests)
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
