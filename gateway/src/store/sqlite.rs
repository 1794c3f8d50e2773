//! The store on SQLite: one writer thread that commits in groups, a few read-only connections, one file.
//!
//! | module | what it holds |
//! |---|---|
//! | [`open`] | files, lock, pragmas, migrations |
//! | [`writer`] | the one writer: many waiting operations, one transaction, one flush |
//! | [`readers`] | read-only connections on blocking threads |
//! | [`queue`] | the queue: every step of a task's life, decided in SQL |
//! | [`views`] | tasks, outputs and receipts as they are shown |
//! | [`workers`], [`attestations`], [`reappraisals`], [`access`], [`blobs`] | the rest |
//! | [`values`] | identifiers to columns and back |

pub(super) mod access;
pub(super) mod attestations;
pub(super) mod blobs;
mod open;
pub(super) mod queue;
mod readers;
pub(super) mod reappraisals;
#[cfg(test)]
mod tests;
mod values;
pub(super) mod views;
pub(super) mod workers;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub(super) use open::Sharing;
pub(super) use writer::{Overload, Weight, WriteScope};

use super::watch::Watchers;
use super::{OpenError, StoreError, WriteStatistics};
use readers::Readers;
use writer::Writer;

/// Reads at a time: they mostly hit the page cache, and more than a few only wait for the same cores.
const READERS_MAX: usize = 4;

/// An open database.
#[derive(Debug)]
pub(super) struct Sqlite {
    // Dropped first: the last connection to go folds the log into the database, and a reader cannot.
    readers: Readers,
    writer: Writer,
}

impl Sqlite {
    /// Blocks: opens files and migrates.
    pub(super) fn open(
        database: &Path,
        sharing: Sharing,
        watchers: Arc<Watchers>,
    ) -> Result<Self, OpenError> {
        let opened = open::open(database, sharing)?;
        let readers = (0..READERS_MAX)
            .map(|_| open::reader(database))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            writer: Writer::start(opened, watchers).map_err(|source| OpenError::File {
                path: database.to_owned(),
                source,
            })?,
            readers: Readers::new(readers),
        })
    }

    /// Queues one operation for the next commit and waits until it is on disk.
    pub(super) async fn write<T, F>(
        &self,
        weight: Weight,
        overload: Overload,
        operation: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut WriteScope<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(weight, overload, operation).await
    }

    /// Reads one consistent state of the database.
    pub(super) async fn read<T, F>(&self, reading: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.readers.read(reading).await
    }

    /// Answers what waits, then ends the writer and its lock. Reads end too.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(super) fn write_statistics(&self) -> WriteStatistics {
        self.writer.statistics()
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull,
            _ => Self::Database(Arc::new(error)),
        }
    }
}
