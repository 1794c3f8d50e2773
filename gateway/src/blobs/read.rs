//! Reading a blob.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use protocol::Sha256Digest;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::BlobError;
use super::folder::Folder;

/// Large enough that a read is worth its round trip to a blocking thread, small enough for ten thousand readers.
const PIECE_BYTES: usize = 64 * 1024;

/// An open blob.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    bytes: u64,
}

impl BlobReader {
    pub(super) async fn open(
        folder: &Arc<Folder>,
        sha256: Sha256Digest,
    ) -> Result<Self, BlobError> {
        let file = File::open(folder.path(sha256))
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => BlobError::Missing(sha256),
                _ => BlobError::from(error),
            })?;
        let bytes = file.metadata().await?.len();
        Ok(Self { file, bytes })
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The content, in pieces of at most 64 KiB.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        ReaderStream::with_capacity(self.file, PIECE_BYTES)
    }
}
