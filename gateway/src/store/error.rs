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
    /// Something beside it failed, and what a worker had been told by then would not have come of it again.
    #[error("the write was undone with another that failed")]
    Undone,
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
    #[error("{database} is not a gateway's database")]
    Foreign { database: String },
    #[error("{database} has schema version {found}; this gateway knows versions up to {known}")]
    Newer {
        database: String,
        found: i64,
        known: i64,
    },
    #[error(
        "{database} has schema version {found} and is to be brought to {known}, but a gateway runs on it: stop it first"
    )]
    Older {
        database: String,
        found: usize,
        known: usize,
    },
    #[error("{server} is PostgreSQL {found}; this gateway needs {known} or later")]
    OldServer {
        server: String,
        found: i64,
        known: i64,
    },
    #[error("the operating system gives no random bytes")]
    Random,
    #[error("a thread of the store cannot be started")]
    Thread(#[source] std::io::Error),
    #[error("the database cannot be opened")]
    Store(#[source] StoreError),
}
