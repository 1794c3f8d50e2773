//! The devnet's folder: emptied at the start, but only when it is one, and held as long as the devnet runs.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Says that a folder is a devnet's and may be emptied. Locked while one runs there.
const MARK: &str = ".cocoon-devnet";

/// An empty folder that no other devnet uses before this value is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// `target/devnet`, beside the binaries.
pub(super) fn default_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let target = own
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("target"));
    target.join("devnet")
}

impl Folder {
    /// Creates the folder, or empties it where an earlier devnet left it.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {shown}"))?;
        let mark = folder.join(MARK);
        ensure!(
            mark.exists() || entries(folder)?.is_empty(),
            "{shown} is neither empty nor a devnet's folder; name another with --folder"
        );
        let lock = File::options()
            .create(true)
            .append(true)
            .open(&mark)
            .with_context(|| format!("cannot write to {shown}"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("a devnet runs in {shown}; stop it, or name another folder with --folder")
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", mark.display()));
            }
        }
        for path in entries(folder)? {
            remove(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        let path = folder
            .canonicalize()
            .with_context(|| format!("{shown} has no absolute path"))?;
        let folder = Self { path, _lock: lock };
        std::fs::create_dir(folder.receipts())
            .with_context(|| format!("cannot write to {shown}"))?;
        Ok(folder)
    }

    /// Absolute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where receipts, attestation records and outputs go.
    pub(super) fn receipts(&self) -> PathBuf {
        self.path.join("receipts")
    }
}

/// Everything in the folder but the mark.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    entries.retain(|path| path.file_name().is_none_or(|name| name != MARK));
    Ok(entries)
}

/// A link is removed, not followed.
fn remove(path: &Path) -> std::io::Result<()> {
    if std::fs::symlink_metadata(path)?.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_a_devnets_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis"), "years of work").unwrap();
        let error = Folder::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains("--folder"), "{error}");
        assert!(folder.path().join("thesis").exists() && !folder.path().join(MARK).exists());
    }

    #[test]
    fn what_an_earlier_devnet_left_is_removed_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("kept"), "").unwrap();
        let own = folder.path().join("devnet");
        drop(Folder::take(&own).unwrap());
        std::fs::write(own.join("receipts/old"), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), own.join("link")).unwrap();
        let taken = Folder::take(&own).unwrap();
        assert_eq!(entries(taken.path()).unwrap(), [taken.receipts()]);
        assert!(entries(&taken.receipts()).unwrap().is_empty());
        assert!(elsewhere.path().join("kept").exists());
    }

    #[test]
    fn a_running_devnets_folder_is_not_emptied_under_it() {
        let folder = tempfile::tempdir().unwrap();
        let running = Folder::take(folder.path()).unwrap();
        std::fs::write(running.path().join("state"), "").unwrap();
        let error = Folder::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains("a devnet runs in"), "{error}");
        assert!(running.path().join("state").exists());
    }
}
