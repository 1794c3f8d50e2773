//! Inputs: read once to digest them; small ones stay in memory, large ones on disk.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use protocol::digest::Sha256Hasher;
use protocol::limits::{BLOB_BYTES_MAX, INLINE_BYTES_MAX};
use protocol::task::InputDescriptor;
use tempfile::NamedTempFile;

use crate::gateway::UploadSource;

const READ_BYTES: usize = 256 * 1024;

/// One input with its digest.
#[derive(Debug)]
pub struct Input {
    name: String,
    content: InputDescriptor,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Bytes),
    File(PathBuf),
    /// A stream's bytes, kept until they are uploaded.
    Spooled(NamedTempFile),
}

/// Why an input cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("the input {name} cannot be read")]
    Read {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("the input {0} is a directory; name files")]
    Directory(String),
    #[error(
        "the input {name} has more than {BLOB_BYTES_MAX} bytes, which is the limit (BLOB_BYTES_MAX)"
    )]
    TooLarge { name: String },
    #[error("the input {name} cannot be kept in a temporary file")]
    Spool {
        name: String,
        #[source]
        source: io::Error,
    },
}

impl Input {
    /// Bytes at hand. The name is for people; it is not sent.
    #[must_use]
    pub fn from_bytes(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            name: name.into(),
            content: InputDescriptor::of(&bytes),
            place: Place::Memory(bytes),
        }
    }

    /// Digests a file. It must stay as it is until the task is submitted: the gateway refuses other content.
    pub fn from_file(path: &Path) -> Result<Self, InputError> {
        let name = path.display().to_string();
        let failed = |source| InputError::Read {
            name: name.clone(),
            source,
        };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            return Err(InputError::Directory(name));
        }
        let mut file = File::open(path).map_err(failed)?;
        // A pipe or a device gives its bytes once.
        if !metadata.is_file() {
            return Self::from_stream(name, &mut file);
        }
        if metadata.len() <= INLINE_BYTES_MAX {
            return Self::from_stream(name, &mut file);
        }
        let content = digest(&name, &mut file, &mut io::sink())?;
        let place = Place::File(path.to_owned());
        Ok(Self {
            name,
            content,
            place,
        })
    }

    /// Reads a stream to its end; what is larger than an inline input goes to a temporary file.
    pub fn from_stream(name: impl Into<String>, stream: &mut dyn Read) -> Result<Self, InputError> {
        let name = name.into();
        let mut head = Vec::new();
        let read = stream
            .take(INLINE_BYTES_MAX.saturating_add(1))
            .read_to_end(&mut head);
        read.map_err(|source| InputError::Read {
            name: name.clone(),
            source,
        })?;
        if u64::try_from(head.len()).is_ok_and(|bytes| bytes <= INLINE_BYTES_MAX) {
            return Ok(Self::from_bytes(name, head));
        }
        let spool = |source| InputError::Spool {
            name: name.clone(),
            source,
        };
        let mut file = NamedTempFile::new().map_err(spool)?;
        let content = digest(&name, &mut head.as_slice().chain(stream), &mut file)?;
        file.flush().map_err(spool)?;
        let place = Place::Spooled(file);
        Ok(Self {
            name,
            content,
            place,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn content(&self) -> InputDescriptor {
        self.content
    }

    pub(super) fn memory(&self) -> Option<&Bytes> {
        match &self.place {
            Place::Memory(bytes) => Some(bytes),
            Place::File(_) | Place::Spooled(_) => None,
        }
    }

    pub(super) fn source(&self) -> UploadSource<'_> {
        match &self.place {
            Place::Memory(bytes) => UploadSource::Bytes(bytes.clone()),
            Place::File(path) => UploadSource::File(path),
            Place::Spooled(file) => UploadSource::File(file.path()),
        }
    }
}

/// Digests a file without keeping anything of it.
pub(crate) fn digest_file(path: &Path) -> Result<InputDescriptor, InputError> {
    let name = path.display().to_string();
    let file = File::open(path);
    let mut file = file.map_err(|source| InputError::Read {
        name: name.clone(),
        source,
    })?;
    digest(&name, &mut file, &mut io::sink())
}

/// Digests while copying.
fn digest(
    name: &str,
    from: &mut dyn Read,
    into: &mut dyn Write,
) -> Result<InputDescriptor, InputError> {
    let mut hasher = Sha256Hasher::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes: u64 = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(InputError::Read {
                    name: name.to_owned(),
                    source,
                });
            }
        };
        let chunk = buffer.get(..count).unwrap_or_default();
        bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if bytes > BLOB_BYTES_MAX {
            return Err(InputError::TooLarge {
                name: name.to_owned(),
            });
        }
        hasher.update(chunk);
        into.write_all(chunk).map_err(|source| InputError::Spool {
            name: name.to_owned(),
            source,
        })?;
    }
    Ok(InputDescriptor {
        sha256: hasher.finish(),
        bytes,
    })
}
