//! Errors of the store. Refusals of one entry of a batch stand beside their requests.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a call had no effect. One failed commit fails every operation it held, so the error can be cloned.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// More writes wait than the store takes; the caller may come back.
    #[error("more writes are waiting than the store takes")]
    Overloaded,
    #[error("the store is closed")]
    Closed,
    #[error("the disk that holds the store is full")]
    DiskFull,
    #[error("the database failed")]
    Database(#[source] Arc<dyn Error + Send + Sync>),
    /// Something else wrote to the database, or the disk failed.
    #[error("the database holds {what} that cannot be read")]
    Unreadable { what: &'static str },
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot prepare {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is in use: another gateway runs on it")]
    InUse { path: PathBuf },
    #[error("{path} is not a gateway's database")]
    Foreign { path: PathBuf },
    #[error("{path} has schema version {found}; this gateway knows versions up to {known}")]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error(
        "{path} has schema version {found}, and the gateway that runs on it is to bring it to {known}: restart it"
    )]
    Older {
        path: PathBuf,
        found: usize,
        known: usize,
    },
    #[error("the database cannot be opened")]
    Store(#[source] StoreError),
}
