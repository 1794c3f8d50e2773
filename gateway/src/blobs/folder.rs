//! Where blobs lie, and how a file gets its name for good.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use protocol::Sha256Digest;

const INCOMING: &str = "incoming";
/// A file that is locked, at the root and in each process's folder of temporaries.
const LOCK: &str = "lock";

/// The folder of blobs. Gateways on one database share it.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Of this process's temporaries.
    incoming: PathBuf,
    /// Held as long as they are somebody's.
    _alive: File,
    /// Names them.
    uploads: AtomicU64,
    /// Locked, here and for other processes, while a blob is given its name or shown to be there, and while one is removed:
    /// never at once.
    names: Mutex<File>,
}

/// Nobody else names or removes blobs.
struct Names<'f>(MutexGuard<'f, File>);

impl Drop for Names<'_> {
    fn drop(&mut self) {
        // Unlocking fails for no file that was locked; closing it would unlock it.
        let _ = self.0.unlock();
    }
}

impl Folder {
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        let all = root.join(INCOMING);
        create_private(&all)?;
        let names = lock_file(&root)?;
        // No other process sweeps before what is made here is locked.
        names.lock()?;
        for left in fs::read_dir(&all)? {
            sweep(&left?.path())?;
        }
        let mut own = [0; 8];
        getrandom::fill(&mut own).map_err(|_| io::Error::other("no randomness"))?;
        let incoming = all.join(hex::encode(own));
        create_private(&incoming)?;
        let alive = lock_file(&incoming)?;
        alive.lock()?;
        names.unlock()?;
        flush_folder(&root)?;
        Ok(Self {
            root,
            incoming,
            _alive: alive,
            uploads: AtomicU64::new(0),
            names: Mutex::new(names),
        })
    }

    pub(super) fn path(&self, sha256: Sha256Digest) -> PathBuf {
        let name = sha256.to_string();
        let (prefix, rest) = name.split_at(2);
        self.root.join(prefix).join(rest)
    }

    /// A name that no other upload has.
    pub(super) fn temporary(&self) -> PathBuf {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        self.incoming.join(number.to_string())
    }

    /// Gives a flushed temporary its name. Where two uploads of one content meet, either may win: they are the same.
    pub(super) fn keep(&self, temporary: &Path, sha256: Sha256Digest) -> io::Result<()> {
        let path = self.path(sha256);
        let parent = self.parent(&path);
        if !parent.is_dir() {
            create_private(parent)?;
        }
        {
            let _names = self.names()?;
            fs::rename(temporary, &path)?;
        }
        self.flush(&path)
    }

    /// The blob was shown again: it stays, for as long as one that just came. Fails with `NotFound` if it was removed.
    pub(super) fn keep_on(&self, sha256: Sha256Digest) -> io::Result<()> {
        let path = self.path(sha256);
        {
            let _names = self.names()?;
            File::options()
                .write(true)
                .open(&path)?
                .set_modified(files_now())?;
        }
        self.flush(&path)
    }

    /// Blobs of this prefix that came, or were shown, before then.
    pub(super) fn older_than(
        &self,
        prefix: u8,
        before: SystemTime,
    ) -> io::Result<Vec<Sha256Digest>> {
        let prefix = format!("{prefix:02x}");
        let entries = match fs::read_dir(self.root.join(&prefix)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut old = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let sha256 = name
                .to_str()
                .and_then(|rest| format!("{prefix}{rest}").parse().ok());
            // Whatever else lies here is not a blob, and not ours to touch.
            if let Some(sha256) = sha256
                && goes_on(&entry.path(), is_older(&entry.path(), before))
            {
                old.push(sha256);
            }
        }
        Ok(old)
    }

    /// Removes those that are still as old. Says how many.
    pub(super) fn remove(&self, blobs: &[Sha256Digest], before: SystemTime) -> u64 {
        let mut removed = 0_u64;
        for blob in blobs {
            let path = self.path(*blob);
            let is_removed = self.names().and_then(|_names| {
                let is_older = is_older(&path, before)?;
                if is_older {
                    fs::remove_file(&path)?;
                }
                Ok(is_older)
            });
            removed = removed.saturating_add(u64::from(goes_on(&path, is_removed)));
        }
        removed
    }

    fn names(&self) -> io::Result<Names<'_>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.lock()?;
        Ok(Names(names))
    }

    /// Once this returns, a blob that is there stays there. Both folders: another upload may have just made the inner one.
    fn flush(&self, path: &Path) -> io::Result<()> {
        flush_folder(self.parent(path))?;
        flush_folder(&self.root)
    }

    fn parent<'p>(&'p self, blob: &'p Path) -> &'p Path {
        blob.parent().unwrap_or(&self.root)
    }
}

/// Removes what uploads left that nobody goes on with.
fn sweep(left: &Path) -> io::Result<()> {
    if !left.is_dir() {
        return fs::remove_file(left);
    }
    match lock_file(left)?.try_lock() {
        Ok(()) => fs::remove_dir_all(left),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn lock_file(folder: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(folder.join(LOCK))
}

/// What is the matter with one file is no reason to stop at it.
fn goes_on(path: &Path, looked_at: io::Result<bool>) -> bool {
    looked_at.unwrap_or_else(|error| {
        tracing::error!(%error, path = %path.display(), "a blob cannot be looked at or removed");
        false
    })
}

/// As new files are dated.
#[expect(
    clippy::disallowed_methods,
    reason = "files have the system's time, whatever clock a gateway is given"
)]
pub(super) fn files_now() -> SystemTime {
    SystemTime::now()
}

/// One that is gone is not old.
fn is_older(path: &Path, before: SystemTime) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.modified()? < before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn create_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A name is on disk once its folder is.
fn flush_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
