//! The database behind the store: one writer that commits in groups and a few connections that read. SQLite or PostgreSQL;
//! everything above a [`Connection`] is written once for both.
//!
//! | module | what it holds |
//! |---|---|
//! | [`connection`] | statements and transactions on either database |
//! | [`value`] | arguments, rows and their columns |
//! | [`schema`] | migrations |
//! | [`writer`], [`operation`], [`scope`] | the one writer: many waiting operations, one transaction, one flush |
//! | [`flows`] | what an operation does to the flows of its tasks |
//! | [`readers`] | connections that read, on blocking threads |
//! | [`sqlite`], [`postgres`] | what each database does its own way |

mod bulk;
mod connection;
mod flows;
mod operation;
mod postgres;
mod readers;
mod schema;
mod scope;
mod sqlite;
mod value;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use bulk::{Change, Insert};
pub(super) use connection::{Connection, Many};
#[cfg(test)]
pub(super) use flows::{COUNT, COUNT_QUEUED, TAKE_TURN};
pub(super) use operation::{Answer, Caller, Operation, Weight, pending};
pub use postgres::{AddressError, Server};
pub(super) use scope::{Changes, TaskRow, WriteScope};
pub(super) use sqlite::Sharing;
pub(super) use value::{Row, Value, values};

use super::notice::Notices;
use super::{OpenError, StoreError, WriteStatistics};
use postgres::Listener;
use readers::Readers;
use writer::Writer;

/// Reads at a time: they mostly hit the page cache, and more than a few only wait for the same cores.
const READERS_MAX: usize = 4;

/// Where a store keeps everything.
#[derive(Debug, Clone)]
pub enum Location {
    /// A file of SQLite, for one gateway.
    File(PathBuf),
    /// A PostgreSQL server, for one gateway or several.
    Server(Arc<Server>),
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Server(server) => server.fmt(formatter),
        }
    }
}

impl From<&Path> for Location {
    fn from(file: &Path) -> Self {
        Self::File(file.to_owned())
    }
}

impl From<&PathBuf> for Location {
    fn from(file: &PathBuf) -> Self {
        Self::File(file.clone())
    }
}

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    // Dropped first: the last connection to go folds SQLite's log into its database, and a reader cannot.
    readers: Readers,
    writer: Writer,
    /// Hears of other gateways until it goes.
    listener: Mutex<Option<Listener>>,
}

impl Database {
    /// Blocks: connects and migrates.
    pub(super) fn open(
        location: &Location,
        sharing: Sharing,
        notices: &Arc<Notices>,
    ) -> Result<Self, OpenError> {
        let writing = match location {
            Location::File(path) => Connection::Sqlite(sqlite::open(path, sharing)?),
            Location::Server(server) => Connection::Postgres(postgres::open(server)?),
        };
        let reading = || match location {
            Location::File(path) => sqlite::reader(path).map(Connection::Sqlite),
            Location::Server(server) => postgres::reader(server).map(Connection::Postgres),
        };
        let readers = (0..READERS_MAX)
            .map(|_| reading())
            .collect::<Result<Vec<_>, _>>()?;
        let writer = Writer::start(writing, Arc::clone(notices)).map_err(OpenError::Thread)?;
        let listener = match (location, sharing) {
            (Location::Server(server), Sharing::Exclusive) => {
                Some(Listener::start(server, notices).map_err(OpenError::Thread)?)
            }
            _ => None,
        };
        Ok(Self {
            writer,
            readers: Readers::new(readers, matches!(location, Location::File(_))),
            listener: Mutex::new(listener),
        })
    }

    /// Queues one operation for the next commit and waits until it is on disk. It may run more than once: what it did before
    /// is undone then.
    pub(super) async fn write<T, F>(
        &self,
        weight: Weight,
        caller: Caller,
        operation: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut WriteScope<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(weight, caller, operation).await
    }

    /// Reads one consistent state of the database.
    pub(super) async fn read<T, F>(&self, reading: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.readers.read(reading).await
    }

    /// Reads what a few keys lead to. In a file that is done before another thread would have begun; only a page that the
    /// system does not hold in memory takes longer.
    pub(super) async fn look<T, F>(&self, reading: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        match self.readers.lend_here() {
            Some(mut lent) => lent.read(reading),
            None => self.readers.read(reading).await,
        }
    }

    /// Answers what waits, then ends the writer and its lock. Reads end too.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        let listener = self
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // It waits for its thread; joining fails only where that panicked.
        let _ = tokio::task::spawn_blocking(move || drop(listener)).await;
    }

    pub(super) fn write_statistics(&self) -> WriteStatistics {
        self.writer.statistics()
    }
}

/// Everything that makes a new database of SQLite's.
#[cfg(test)]
pub(super) fn sqlite_migrations() -> String {
    schema::migrations(schema::SQLITE, 0).collect()
}

/// What a gateway made that knew so many migrations.
#[cfg(test)]
pub(super) fn earlier(location: &Location, known: usize) -> String {
    let made = |dialect| -> String { schema::migrations(dialect, 0).take(known).collect() };
    match location {
        Location::File(_) => sqlite::numbered(&made(schema::SQLITE), known),
        Location::Server(_) => postgres::numbered(&made(schema::POSTGRES), known),
    }
}
