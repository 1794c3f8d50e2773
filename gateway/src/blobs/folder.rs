//! Where blobs lie, and how a file gets its name for good.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::Sha256Digest;

const INCOMING: &str = "incoming";

/// The folder of blobs.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Names the temporaries of this process, the only one there is.
    uploads: AtomicU64,
}

impl Folder {
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        let incoming = root.join(INCOMING);
        create_private(&incoming)?;
        for left in fs::read_dir(&incoming)? {
            fs::remove_file(left?.path())?;
        }
        flush_folder(&root)?;
        Ok(Self {
            root,
            uploads: AtomicU64::new(0),
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
        self.root.join(INCOMING).join(number.to_string())
    }

    /// Gives a flushed temporary its name. Where two uploads of one content meet, either may win: they are the same.
    pub(super) fn keep(&self, temporary: &Path, sha256: Sha256Digest) -> io::Result<()> {
        let path = self.path(sha256);
        let parent = self.parent(&path);
        if !parent.is_dir() {
            create_private(parent)?;
        }
        fs::rename(temporary, &path)?;
        self.flush(sha256)
    }

    /// Once this returns, a blob that is there stays there. Both folders: another upload may have just made the inner one.
    pub(super) fn flush(&self, sha256: Sha256Digest) -> io::Result<()> {
        let path = self.path(sha256);
        flush_folder(self.parent(&path))?;
        flush_folder(&self.root)
    }

    fn parent<'p>(&'p self, blob: &'p Path) -> &'p Path {
        blob.parent().unwrap_or(&self.root)
    }
}

fn create_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A name is on disk once its folder is.
fn flush_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
