//! Taking in a blob.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use protocol::Sha256Digest;
use protocol::digest::Sha256Hasher;
use protocol::task::InputDescriptor;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt, BufWriter};

use super::folder::Folder;
use super::{BlobError, Upload, blocking};

/// Gathers small pieces: each write to the file is a round trip to a blocking thread.
const BUFFER_BYTES: usize = 256 * 1024;

pub(super) async fn write<S, E>(
    folder: &Arc<Folder>,
    upload: Upload,
    content: S,
) -> Result<InputDescriptor, BlobError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Some(announced) = upload.bytes
        && announced > upload.bytes_max
    {
        return Err(BlobError::TooLarge {
            max: upload.bytes_max,
        });
    }
    let mut content = pin!(content);
    let mut sink = Sink::open(folder, upload).await?;
    let mut verifying = Verifying::new(upload);
    while let Some(piece) = content.next().await {
        let piece = piece.map_err(|error| BlobError::Interrupted(error.into()))?;
        verifying.take(&piece)?;
        sink.write(&piece).await?;
    }
    let blob = verifying.finish()?;
    sink.keep(blob).await?;
    Ok(blob)
}

/// What has arrived, against what was announced.
struct Verifying {
    upload: Upload,
    hasher: Sha256Hasher,
    bytes: u64,
}

impl Verifying {
    fn new(upload: Upload) -> Self {
        Self {
            upload,
            hasher: Sha256Hasher::default(),
            bytes: 0,
        }
    }

    /// Refuses the first byte too many rather than the last.
    fn take(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > self.upload.bytes_max {
            return Err(BlobError::TooLarge {
                max: self.upload.bytes_max,
            });
        }
        if let Some(wanted) = self.upload.bytes
            && self.bytes > wanted
        {
            return Err(BlobError::Length {
                seen: self.bytes,
                wanted,
            });
        }
        self.hasher.update(piece);
        Ok(())
    }

    fn finish(self) -> Result<InputDescriptor, BlobError> {
        if let Some(wanted) = self.upload.bytes
            && self.bytes != wanted
        {
            return Err(BlobError::Length {
                seen: self.bytes,
                wanted,
            });
        }
        let seen = self.hasher.finish();
        if seen != self.upload.sha256 {
            return Err(BlobError::Digest {
                seen,
                wanted: self.upload.sha256,
            });
        }
        Ok(InputDescriptor {
            sha256: seen,
            bytes: self.bytes,
        })
    }
}

/// Where the bytes go.
enum Sink {
    /// The blob is there already, though its name may not be on disk yet: another upload may have just given it.
    Nowhere { folder: Arc<Folder> },
    Temporary {
        file: BufWriter<File>,
        temporary: Temporary,
        folder: Arc<Folder>,
    },
}

impl Sink {
    async fn open(folder: &Arc<Folder>, upload: Upload) -> Result<Self, BlobError> {
        let known = Arc::clone(folder);
        match blocking(move || known.keep_on(upload.sha256)).await {
            Ok(()) => {
                return Ok(Self::Nowhere {
                    folder: Arc::clone(folder),
                });
            }
            Err(BlobError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let path = folder.temporary();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(&path).await?;
        Ok(Self::Temporary {
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            temporary: Temporary { path },
            folder: Arc::clone(folder),
        })
    }

    async fn write(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        match self {
            Self::Nowhere { .. } => Ok(()),
            Self::Temporary { file, .. } => Ok(file.write_all(piece).await?),
        }
    }

    async fn keep(self, blob: InputDescriptor) -> Result<(), BlobError> {
        let (mut file, temporary, folder) = match self {
            Self::Nowhere { folder } => return shown(folder, blob.sha256).await,
            Self::Temporary {
                file,
                temporary,
                folder,
            } => (file, temporary, folder),
        };
        file.flush().await?;
        file.get_ref().sync_all().await?;
        drop(file);
        blocking(move || folder.keep(temporary.path(), blob.sha256)).await
    }
}

/// An upload that took more than an hour may have been overtaken by a collection.
async fn shown(folder: Arc<Folder>, sha256: Sha256Digest) -> Result<(), BlobError> {
    match blocking(move || folder.keep_on(sha256)).await {
        Err(BlobError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            let again = "it was removed meanwhile: upload it again";
            Err(BlobError::Interrupted(again.into()))
        }
        shown => shown,
    }
}

/// Removes the file of an upload that comes to nothing, however it ends; one that was renamed is not there any more.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a half upload stays until the next start");
        }
    }
}
