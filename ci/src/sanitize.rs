//! `cargo ci sanitize`: the parsers' tests under AddressSanitizer, and the kernels on the CPU under every sanitizer that
//! the C++ compiler has; each after a proof that it would see an error.

mod kernels;

use std::fs;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::command::step;
use crate::instrumented::{ASAN_OPTIONS, FLAGS, folder, instrumented};

/// The crates that read untrusted bytes.
const PACKAGES: &[&str] = &["attestation", "channel", "fuzz", "protocol"];

/// Reads one byte behind the end of an allocation. Not part of any crate: it is compiled here, with the flags of the
/// tests, and must be caught.
const OUT_OF_BOUNDS: &str = "fn main() {
    let bytes = std::hint::black_box(vec![0_u8; 8]);
    let length = std::hint::black_box(bytes.len());
    println!(\"{}\", unsafe { *bytes.as_ptr().add(length) });
}
";

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    Parsers,
    Kernels,
}

/// Both, unless one is named.
pub(crate) fn run(only: Option<Subject>) -> Result<()> {
    if only != Some(Subject::Parsers) {
        kernels::run()?;
    }
    if only != Some(Subject::Kernels) {
        parsers()?;
    }
    Ok(())
}

fn parsers() -> Result<()> {
    planted_error_is_caught()?;
    sanitizer_is_in_every_test()?;
    step("tests under AddressSanitizer", &mut tests()?)
}

fn tests() -> Result<Command> {
    let mut tests = instrumented("test")?;
    for package in PACKAGES {
        tests.args(["--package", package]);
    }
    tests.args(["--lib", "--tests", "--no-fail-fast"]);
    Ok(tests)
}

/// A job that silently sanitizes nothing would be worse than none.
fn planted_error_is_caught() -> Result<()> {
    let folder = folder()?.join("planted");
    let (source, binary) = (
        folder.join("out_of_bounds.rs"),
        folder.join("out_of_bounds"),
    );
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&source, OUT_OF_BOUNDS))
        .with_context(|| format!("cannot write {}", source.display()))?;
    let mut compile = Command::new("rustc");
    compile
        .args(["--edition=2024", "-Copt-level=2", "-o"])
        .arg(&binary)
        .arg(&source)
        .args(FLAGS);
    step("a planted error", compile.env("RUSTC_BOOTSTRAP", "1"))?;
    let output = run_quietly(Command::new(&binary).env(ASAN_OPTIONS.0, ASAN_OPTIONS.1))?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && text.contains("AddressSanitizer: heap-buffer-overflow"),
        "AddressSanitizer did not see an access out of bounds ({}):\n{text}",
        output.status
    );
    Ok(())
}

/// Asked for its flags, the sanitizer prints them as a process starts. `--list` starts every test binary and no test.
fn sanitizer_is_in_every_test() -> Result<()> {
    let mut list = tests()?;
    list.args(["--", "--list"]).env(ASAN_OPTIONS.0, "help=1");
    let output = run_quietly(&mut list)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the tests do not build:\n{errors}");
    let count = |phrase: &str| errors.matches(phrase).count();
    let binaries = count("     Running ");
    let sanitized = count("Available flags for AddressSanitizer");
    ensure!(
        binaries > 0 && sanitized == binaries,
        "{sanitized} of {binaries} test binaries contain AddressSanitizer"
    );
    eprintln!("── AddressSanitizer is in each of {binaries} test binaries");
    Ok(())
}

fn run_quietly(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("cannot start {command:?}"))
}
