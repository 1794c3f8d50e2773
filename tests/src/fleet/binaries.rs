//! Where the workspace's binaries are: beside the program that asks.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The path of a built binary of the workspace.
pub fn binary(name: &str) -> Result<PathBuf> {
    let path = target_folder()?.join(name);
    ensure!(
        path.is_file(),
        "{} is not built: run `cargo ci test` or `cargo devnet`, which build every binary first",
        path.display()
    );
    Ok(path)
}

/// `target/<profile>`: tests run from its `deps` folder, binaries from itself.
fn target_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let folder = own.parent().context("a program has a folder")?;
    let is_deps = folder.file_name().is_some_and(|name| name == "deps");
    let target = if is_deps {
        folder.parent()
    } else {
        Some(folder)
    };
    Ok(target
        .context("a program has a target folder")?
        .to_path_buf())
}
