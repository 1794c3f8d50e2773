//! `cargo ci gpu`: what only a GPU can show. Builds two binaries, and runs them where there is a driver: the conformance tests
//! of the fake driver, against the real one, and parity, faults and benchmark.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::command::{cargo, step, target};

/// How `cargo ci gpu` runs.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only build, and say where the binaries are: they are to be carried to another machine.
    #[arg(long)]
    build: bool,
    /// Of the second binary; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Makes the conformance tests ask the machine's own driver.
const REAL_DRIVER: (&str, &str) = ("COCOON_CUDA_DRIVER", "real");

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "gpu"]);
    step("build (the first one takes some minutes)", &mut build)?;
    let folder = target()?.join("gpu");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let conformance = placed(&conformance()?, &folder.join("conformance"))?;
    let gpu = placed(&target()?.join("release/gpu"), &folder.join("gpu"))?;
    if options.build {
        let [name, value] = [REAL_DRIVER.0, REAL_DRIVER.1];
        eprintln!(
            "carry {} to a machine with an NVIDIA GPU, its driver and cuBLAS; there run\n  {name}={value} ./conformance\n  ./gpu",
            folder.display()
        );
        return Ok(());
    }
    let mut tests = Command::new(conformance);
    step("conformance", tests.env(REAL_DRIVER.0, REAL_DRIVER.1))?;
    step("run", Command::new(gpu).args(&options.arguments))
}

/// The test program, whose file's name only cargo knows.
fn conformance() -> Result<PathBuf> {
    eprintln!("── build of the conformance tests");
    let mut build = cargo();
    build.args(["test", "--release", "--package", "fake-cuda"]);
    build.args(["--test", "conformance", "--no-run", "--message-format=json"]);
    let output = build
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {build:?}"))?;
    ensure!(
        output.status.success(),
        "the conformance tests do not build"
    );
    let said = String::from_utf8_lossy(&output.stdout);
    let mut executables = said.lines().filter_map(executable);
    executables
        .next_back()
        .context("cargo names no conformance test")
}

/// The program in one of cargo's messages.
fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    message.get("executable")?.as_str().map(PathBuf::from)
}

fn placed(from: &Path, to: &Path) -> Result<PathBuf> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(to.to_owned())
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn the_program_is_found_among_cargos_messages() {
        let built = r#"{"reason":"compiler-artifact","executable":"/target/conformance-1"}"#;
        assert_eq!(
            executable(built).unwrap().to_str(),
            Some("/target/conformance-1")
        );
        let library = r#"{"reason":"compiler-artifact","executable":null}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable("   Compiling"), None);
    }
}
