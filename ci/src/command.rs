//! Runs a step and says which one it was.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The cargo that built this program, so that a pinned toolchain stays pinned, in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root());
    command
}

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder of build outputs that this program lies in.
pub(crate) fn target() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let target = own.ancestors().nth(2);
    target
        .map(Path::to_owned)
        .context("this program is in no target folder")
}

/// Runs one step to its end; a failure names the step and the command that repeats it.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("── {name}");
    let status = command
        .status()
        .with_context(|| format!("{name}: cannot start {command:?}"))?;
    ensure!(
        status.success(),
        "{name} failed ({status}); to repeat it alone: {command:?}"
    );
    Ok(())
}

/// Whether a cargo subcommand is installed.
pub(crate) fn has_subcommand(name: &str) -> bool {
    cargo()
        .args([name, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Today's, in UTC.
pub(crate) fn date() -> Result<String> {
    said_by(Command::new("date").args(["--utc", "+%Y-%m-%d"]))
}

/// Of what is checked out.
pub(crate) fn revision() -> Result<String> {
    let git = ["rev-parse", "--short", "HEAD"];
    said_by(Command::new("git").args(git).current_dir(root()))
}

fn said_by(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
