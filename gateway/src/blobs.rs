//! Inputs and outputs over the inline limit: files named by their SHA-256, on one file system.
//!
//! A blob is streamed into a folder of this process in `incoming/`, its digest and length are verified on the way, the file
//! is flushed, renamed to `ab/cdef…` and its folder flushed. So a name that exists always holds its content, whenever the
//! machine stops; what a crash leaves in `incoming/` is swept at the next start. Who may see a blob, and who needs it, is the store's part: what
//! nobody needs is removed ([`Blobs::collect`]), unless it came or was shown again in the last hour.

mod collect;
mod folder;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use protocol::Sha256Digest;
use protocol::task::InputDescriptor;

use folder::Folder;
pub use read::BlobReader;

/// What is announced of an upload.
#[derive(Debug, Clone, Copy)]
pub struct Upload {
    pub sha256: Sha256Digest,
    /// Where the sender says so beforehand.
    pub bytes: Option<u64>,
    pub bytes_max: u64,
}

/// Why a blob is not written or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("the content is larger than {max} bytes")]
    TooLarge { max: u64 },
    #[error("the content has {seen} bytes; {wanted} were announced")]
    Length { seen: u64, wanted: u64 },
    #[error("the content's digest is {seen}; {wanted} was announced")]
    Digest {
        seen: Sha256Digest,
        wanted: Sha256Digest,
    },
    #[error("the content broke off")]
    Interrupted(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("there is no blob {0}")]
    Missing(Sha256Digest),
    #[error("the disk that holds the blobs is full")]
    DiskFull,
    #[error("the blob's file could not be used")]
    Io(#[source] io::Error),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error),
        }
    }
}

/// A handle on the folder of blobs. Clones share it.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: Arc<Folder>,
}

impl Blobs {
    /// Opens the folder, makes it where there is none, and sweeps what interrupted uploads of processes left that are no more.
    pub async fn open(folder: &Path) -> Result<Self, BlobError> {
        let path = folder.to_owned();
        let folder = blocking(move || Folder::open(path)).await?;
        Ok(Self {
            folder: Arc::new(folder),
        })
    }

    /// Takes in a blob; it is on disk when this returns. A blob that is there already is read and verified all the same:
    /// only who shows the bytes may call them theirs.
    pub async fn write<S, E>(
        &self,
        upload: Upload,
        content: S,
    ) -> Result<InputDescriptor, BlobError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        write::write(&self.folder, upload, content).await
    }

    /// Removes blobs that nothing refers to, as `unreferenced` picks them out of some. Says how many.
    pub async fn collect<F, E>(
        &self,
        unreferenced: impl Fn(Vec<Sha256Digest>) -> F,
    ) -> Result<u64, E>
    where
        F: Future<Output = Result<Vec<Sha256Digest>, E>>,
        E: From<BlobError>,
    {
        collect::collect(&self.folder, unreferenced).await
    }

    /// Opens a blob to be read.
    pub async fn read(&self, sha256: Sha256Digest) -> Result<BlobReader, BlobError> {
        BlobReader::open(&self.folder, sha256).await
    }
}

/// Runs file work on a blocking thread.
async fn blocking<T, F>(work: F) -> Result<T, BlobError>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| BlobError::Io(io::Error::other(error)))??)
}
