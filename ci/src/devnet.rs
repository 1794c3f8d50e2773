//! `cargo devnet`: builds every binary, then becomes the devnet.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::command::workspace_root;
use crate::test::build_binaries;

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    build_binaries()?;
    let mut devnet = Command::new(binary_folder()?.join("devnet"));
    let status = devnet
        .args(arguments)
        .status()
        .context("cannot start the devnet")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Where cargo put this program, and so the others.
fn binary_folder() -> Result<std::path::PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let folder = own.parent().map(std::path::Path::to_path_buf);
    Ok(folder.unwrap_or_else(workspace_root))
}
