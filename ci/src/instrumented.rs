//! Builds with AddressSanitizer and libFuzzer's coverage counters. `RUSTC_BOOTSTRAP` opens both to the pinned stable
//! toolchain, so that no nightly and no cargo-fuzz is needed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, target};

/// Named, so that build scripts and procedural macros, which run on the same machine, stay as they are.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Fast enough to try many inputs, with overflow checks and debug assertions on; stands in Cargo.toml.
const PROFILE: &str = "hardened";

/// The sanitizer, and the counters and comparisons that guide libFuzzer. The tests are built with the same flags, so that
/// dependencies are built once.
pub(crate) const FLAGS: &[&str] = &[
    "-Zsanitizer=address",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Leaks are no matter of memory safety, and looking for them needs ptrace, which containers deny.
pub(crate) const ASAN_OPTIONS: (&str, &str) = ("ASAN_OPTIONS", "detect_leaks=0");

/// A cargo subcommand that builds instrumented, with outputs of its own.
pub(crate) fn instrumented(subcommand: &str) -> Result<Command> {
    let mut command = cargo();
    command
        .args([subcommand, "--profile", PROFILE, "--target", TRIPLE])
        .arg("--target-dir")
        .arg(folder()?)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS.join(" "))
        .env(ASAN_OPTIONS.0, ASAN_OPTIONS.1);
    Ok(command)
}

/// Where the instrumented outputs go: beside this program's own profile.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(target()?.join("instrumented"))
}

/// A binary that [`instrumented`] has built.
pub(crate) fn binary(name: &str) -> Result<PathBuf> {
    Ok(folder()?.join(TRIPLE).join(PROFILE).join(name))
}
