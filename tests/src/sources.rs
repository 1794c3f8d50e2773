//! Reads the workspace's own sources, for tests that hold them to the rules of the house.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of the workspace's manifest.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let crate_folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    crate_folder
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or(crate_folder)
}

/// Every Rust file below a folder, with its text, in a stable order; build outputs, hidden folders and links are left
/// out. A folder without any is an error: a rule that looks at nothing holds for nothing.
pub fn rust_files(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    anyhow::ensure!(!files.is_empty(), "no Rust file in {}", folder.display());
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, String)>) -> Result<()> {
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry
            .file_type()
            .with_context(|| format!("cannot read {}", path.display()))?;
        let is_source = name != "target" && !name.to_string_lossy().starts_with('.');
        if kind.is_dir() && is_source {
            collect(&path, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            files.push((path, text));
        }
    }
    Ok(())
}
