//! `cocoon-worker model fetch`: a model's files from a folder or a server into a folder, each put in place only after its
//! pinned digest was verified. Where they come from needs no trust.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use kernels::embed::{ModelError, model};
use protocol::Sha256Digest;
use protocol::catalogue::models::{Model, ModelFile};
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};

use crate::https::{self, ClientError};

/// The largest file, 87 MiB, over a slow line.
const REQUEST_LIMIT: Duration = Duration::from_mins(30);
/// A server hands a file over to the one that stores it, seldom more than once.
const REDIRECTS_MAX: usize = 5;

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Folder(PathBuf),
    /// `https` or `http`; a file's name is put behind it.
    Server(String),
}

/// Why a text names no source.
#[derive(Debug, thiserror::Error)]
#[error("`{0}:` is no scheme that files are fetched by: give a folder, or a URL of https or http")]
pub struct SourceError(String);

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        match text.split_once("://") {
            None => Ok(Self::Folder(text.into())),
            Some(("https" | "http", _)) => Ok(Self::Server(text.trim_end_matches('/').to_owned())),
            Some((scheme, _)) => Err(SourceError(scheme.to_owned())),
        }
    }
}

/// Why the folder does not hold the model now. Files that were verified before stay.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the program's runtime does not start")]
    Runtime(#[source] io::Error),
    #[error("the folder cannot be looked into")]
    Folder(#[source] ModelError),
    #[error("another file is in a file's place; move it away, or name another folder")]
    InTheWay(#[source] ModelError),
    #[error("the source does not hold the model")]
    Model(#[source] ModelError),
    #[error("`{0}` is no URL")]
    Url(String),
    #[error("the server cannot be asked")]
    Client(#[source] ClientError),
    #[error("{url} was not reached, or did not finish")]
    Http {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answered with {status}")]
    Status { url: String, status: StatusCode },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Fetches every file of the model that is not in the folder yet, and gives the model's digest. `say` is told each, as a line.
pub async fn fetch(
    from: &Source,
    to: &Path,
    pinned: &Model,
    say: &dyn Fn(&str),
) -> Result<Sha256Digest, FetchError> {
    for file in missing(to, pinned)? {
        say(&format!("fetching {} ({} bytes)", file.name, file.bytes));
        let bytes = match from {
            Source::Folder(folder) => {
                model::read(folder, pinned, file).map_err(FetchError::Model)?
            }
            Source::Server(base) => download(base, pinned, file).await?,
        };
        let path = to.join(file.name);
        put(&path, &bytes).map_err(|source| FetchError::Write { path, source })?;
    }
    Ok(pinned.digest())
}

/// Those that are not in place. What is another file is somebody's, and is not overwritten.
fn missing<'a>(folder: &Path, pinned: &'a Model) -> Result<Vec<&'a ModelFile>, FetchError> {
    let files = pinned.files.iter();
    let missing = files.filter_map(|file| match model::read(folder, pinned, file) {
        Ok(_) => None,
        Err(ModelError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Some(Ok(file))
        }
        Err(error @ ModelError::Read { .. }) => Some(Err(FetchError::Folder(error))),
        Err(error) => Some(Err(FetchError::InTheWay(error))),
    });
    missing.collect()
}

async fn download(base: &str, pinned: &Model, file: &ModelFile) -> Result<Vec<u8>, FetchError> {
    let url = format!("{base}/{}", file.name);
    let parsed: Url = url.parse().map_err(|_| FetchError::Url(url.clone()))?;
    let client = https::client(REQUEST_LIMIT, Policy::limited(REDIRECTS_MAX));
    let client = client.map_err(FetchError::Client)?;
    let failed = |source| FetchError::Http {
        url: url.clone(),
        source,
    };
    let response = client.get(parsed).send().await.map_err(failed)?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(FetchError::Status { url, status });
    }
    let bytes_max = usize::try_from(file.bytes).unwrap_or(usize::MAX);
    let body = https::body(response, bytes_max).await.map_err(failed)?;
    // A body that is too long is none of these bytes either.
    let bytes = body.unwrap_or_default();
    let verified = model::verify_bytes(url.into(), pinned, file, &bytes);
    verified.map(|()| bytes).map_err(FetchError::Model)
}

/// Writes beside the place and moves it there: no reader sees half a file, and nothing half is left behind.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    let part = path.with_added_extension("part");
    let moved = write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    if let Err(error) = moved {
        // What was the matter is told; that it could not be tidied away as well says no more.
        let _ = std::fs::remove_file(&part);
        return Err(error);
    }
    // The new name, too, outlasts a loss of power.
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
