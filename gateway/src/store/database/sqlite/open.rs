//! Opening the database: its file, its lock, its settings, its migrations.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::super::{OpenError, StoreError};
use super::super::schema::{self, SQLITE};
use super::Sqlite;
use super::checkpoints::Checkpoints;

/// `ccnG`: tells a gateway's database from any other SQLite file.
const APPLICATION_ID: i64 = 0x6363_6e47;

/// Another process writes for milliseconds at a time (an access token is revoked); longer means it hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that are written once and run for ever; each connection keeps all of them prepared.
const STATEMENTS_CACHED_MAX: usize = 128;

/// For the writer. WAL with `synchronous=FULL` flushes once for each commit, so what is answered is on disk. 32 MiB of
/// cache hold the indexes of some hundred thousand queued tasks. A gateway sees to checkpoints itself (`checkpoints`), others have
/// one every 16 MiB of log, which keeps the length that a gateway may let it have.
pub(super) const WRITER_SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -32768;
    PRAGMA wal_autocheckpoint = 4096;
    PRAGMA journal_size_limit = 268435456;";

const READER_SETTINGS: &str = "
    PRAGMA query_only = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -16384;";

/// Whether this process is the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super::super) enum Sharing {
    /// The one gateway on this database.
    Exclusive,
    /// An administrative command beside it.
    Beside,
}

/// The connection that writes.
pub(in super::super) fn open(database: &Path, sharing: Sharing) -> Result<Sqlite, OpenError> {
    create_private(database).map_err(|source| OpenError::File {
        path: database.to_owned(),
        source,
    })?;
    let lock = match (sharing, take_lock(database)) {
        (_, Ok(lock)) => Some(lock),
        (Sharing::Beside, Err(OpenError::InUse { .. })) => None,
        (_, Err(error)) => return Err(error),
    };
    let mut connection = connect(database, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_SETTINGS)?;
    if lock.is_some() {
        migrate(&connection, database)?;
    } else {
        refuse_older(&connection, database)?;
    }
    // A command beside a gateway needed the lock for its migrations alone: a gateway may start while it works.
    let lock = lock.filter(|_| sharing == Sharing::Exclusive);
    let failed = |error: rusqlite::Error| OpenError::Store(StoreError::from(error));
    let checkpoints = match sharing {
        Sharing::Exclusive => Some(Checkpoints::of(&mut connection, database).map_err(failed)?),
        Sharing::Beside => None,
    };
    Ok(Sqlite {
        checkpoints,
        connection,
        _lock: lock,
    })
}

/// A connection that reads.
pub(in super::super) fn reader(database: &Path) -> Result<Sqlite, OpenError> {
    Ok(Sqlite {
        checkpoints: None,
        connection: connect(database, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_SETTINGS)?,
        _lock: None,
    })
}

/// The database holds enrolment secrets in clear: nobody else reads it. SQLite gives its log the same permissions.
///
/// A database that is there is never opened here: closing it again would drop the locks that this process's connections
/// hold on it (POSIX advisory locks belong to the process).
fn create_private(database: &Path) -> io::Result<()> {
    if let Some(folder) = database.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(database);
    match created {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => std::fs::set_permissions(database, Permissions::from_mode(0o600)),
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Advisory (flock); the kernel releases it however the process ends.
fn take_lock(database: &Path) -> Result<File, OpenError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = private_file(&path);
    let locked = file.map_err(TryLockError::Error).and_then(|file| {
        file.try_lock()?;
        Ok(file)
    });
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse {
            path: database.to_owned(),
        },
        TryLockError::Error(source) => OpenError::File { path, source },
    })
}

pub(super) fn connect(
    database: &Path,
    access: OpenFlags,
    settings: &str,
) -> Result<Connection, OpenError> {
    let connect = || -> rusqlite::Result<Connection> {
        // Each connection is used by one thread at a time, so SQLite need not lock it.
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
        // One plan for each statement, whatever is bound to it: without this, SQLite prepares a statement anew when a
        // value might match a partial index.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(settings)?;
        Ok(connection)
    };
    connect().map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::Foreign {
            database: shown(database),
        },
        _ => OpenError::Store(error.into()),
    })
}

fn migrate(connection: &Connection, database: &Path) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| OpenError::Store(StoreError::from(error));
    let transaction =
        rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)
            .map_err(failed)?;
    let seen = schema_version(&transaction, database)?;
    for migration in schema::migrations(SQLITE, seen) {
        transaction.execute_batch(&migration).map_err(failed)?;
    }
    let known = i64::try_from(schema::VERSION).unwrap_or(i64::MAX);
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(failed)?;
    transaction
        .pragma_update(None, "user_version", known)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// A schema, and how many migrations it has seen.
#[cfg(test)]
pub(in super::super) fn numbered(schema: &str, seen: usize) -> String {
    format!("{schema} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {seen};")
}

/// A gateway runs on this database: its schema is not changed under it.
fn refuse_older(connection: &Connection, database: &Path) -> Result<(), OpenError> {
    let found = schema_version(connection, database)?;
    if found == schema::VERSION {
        Ok(())
    } else {
        Err(OpenError::Older {
            database: shown(database),
            found,
            known: schema::VERSION,
        })
    }
}

fn shown(database: &Path) -> String {
    database.display().to_string()
}

/// How many migrations the database has seen; 0 for one that was just made.
fn schema_version(connection: &Connection, database: &Path) -> Result<usize, OpenError> {
    let failed = |error: rusqlite::Error| OpenError::Store(StoreError::from(error));
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").map_err(failed)?;
    let version = pragma("user_version").map_err(failed)?;
    let tables = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
            row.get::<_, i64>(0)
        })
        .map_err(failed)?;

    match usize::try_from(version) {
        Ok(0) if application == 0 && tables == 0 => Ok(0),
        _ if application != APPLICATION_ID => Err(OpenError::Foreign {
            database: shown(database),
        }),
        Ok(seen) if (1..=schema::VERSION).contains(&seen) => Ok(seen),
        _ => Err(OpenError::Newer {
            database: shown(database),
            found: version,
            known: i64::try_from(schema::VERSION).unwrap_or(i64::MAX),
        }),
    }
}
