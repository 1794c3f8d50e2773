//! Checkpoints: what commits wrote to the log goes into the database, on a thread beside the transactions that go on.
//!
//! The log begins anew once a checkpoint has come to its end while nobody wrote. Where writes never pause, none does; at a
//! limit the one who writes does the rest of it, which is little.

use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use super::super::connection::Chain;
use super::open::connect;

/// Pages of the log for each checkpoint: 16 MiB, which are read again after a crash in some 20 ms.
const PAGES: u32 = 4_096;
/// At so many the one who writes does it: some 200 MiB, seconds of the highest load.
const PAGES_MAX: u32 = 12 * PAGES;
/// A checkpoint has what was written when it began, and the one behind it what was written meanwhile: at a moderate load one of so many
/// comes to the end.
const IN_A_ROW_MAX: usize = 4;

/// Pages of the log.
#[derive(Debug, Clone, Copy)]
struct Limits {
    each: u32,
    max: u32,
}

/// A checkpoint takes pages from the log as they are, and reads none of the database.
const SETTINGS: &str = "PRAGMA cache_size = 16;";
const LATER: &str = "the one who writes does them, once the log is long";
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Of the connection that writes.
#[derive(Debug)]
pub(super) struct Checkpoints {
    database: PathBuf,
    limits: Limits,
    /// In the log, as of the last commit.
    pages: Arc<AtomicU32>,
    /// How many those were when the last checkpoint was asked for.
    asked_at: Cell<u32>,
    /// Started when it has something to do; none, where it cannot be.
    thread: OnceCell<Option<Thread>>,
}

impl Checkpoints {
    /// From now on SQLite does none by itself at a commit.
    pub(super) fn of(connection: &mut Connection, database: &Path) -> rusqlite::Result<Self> {
        let limits = Limits {
            each: PAGES,
            max: PAGES_MAX,
        };
        Self::within(limits, connection, database)
    }

    fn within(
        limits: Limits,
        connection: &mut Connection,
        database: &Path,
    ) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut _, pages| {
            counted.store(u32::try_from(pages).unwrap_or(u32::MAX), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            database: database.to_owned(),
            limits,
            pages,
            asked_at: Cell::new(0),
            thread: OnceCell::new(),
        })
    }

    /// This connection has committed.
    pub(super) fn committed(&self, connection: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked_at.get() {
            // The log began anew.
            self.asked_at.set(0);
        }
        if pages >= self.limits.max {
            checkpoint(connection);
        } else if pages >= self.asked_at.get().saturating_add(self.limits.each) {
            self.asked_at.set(pages);
            self.ask();
        }
    }

    fn ask(&self) {
        let start = || Thread::start(self.database.clone(), Arc::clone(&self.pages));
        let started = self.thread.get_or_init(start);
        if let Some(thread) = started {
            // One that waits already has this too.
            let _ = thread.requests.try_send(());
        }
    }
}

impl Drop for Checkpoints {
    /// Before the connection that writes: the last one to go removes the log.
    fn drop(&mut self) {
        if let Some(Thread { requests, handle }) = self.thread.take().flatten() {
            drop(requests);
            let _ = handle.join();
        }
    }
}

#[derive(Debug)]
struct Thread {
    requests: SyncSender<()>,
    handle: JoinHandle<()>,
}

impl Thread {
    fn start(database: PathBuf, pages: Arc<AtomicU32>) -> Option<Self> {
        let (requests, asked) = sync_channel(1);
        let builder = std::thread::Builder::new().name("store-checkpoint".to_owned());
        match builder.spawn(move || run(&database, &asked, &pages)) {
            Ok(handle) => Some(Self { requests, handle }),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "no thread for checkpoints: {LATER}");
                None
            }
        }
    }
}

fn run(database: &Path, asked: &Receiver<()>, pages: &AtomicU32) {
    let connection = match connect(database, OpenFlags::SQLITE_OPEN_READ_WRITE, SETTINGS) {
        Ok(connection) => connection,
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "no connection for checkpoints: {LATER}");
            return;
        }
    };
    while asked.recv().is_ok() {
        catch_up(&connection, pages);
    }
}

/// Checkpoints until all that is in the log is in the database; how many that took.
fn catch_up(connection: &Connection, pages: &AtomicU32) -> usize {
    for count in 1..=IN_A_ROW_MAX {
        let done = checkpoint(connection);
        if done.is_none_or(|done| done >= i64::from(pages.load(Ordering::Relaxed))) {
            return count;
        }
    }
    IN_A_ROW_MAX
}

/// How many pages of the log the database has; below 0 where another checkpoint is under way. About one that failed nothing is to be done until
/// the next.
fn checkpoint(connection: &Connection) -> Option<i64> {
    let done = connection.query_row(CHECKPOINT, [], |row| row.get(2));
    done.inspect_err(|error| {
        tracing::warn!(error = %Chain(error), "a checkpoint failed: the log grows");
    })
    .ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::open::WRITER_SETTINGS;
    use super::*;

    /// A connection that writes, and its checkpoints.
    struct Written {
        checkpoints: Checkpoints,
        connection: Connection,
        database: PathBuf,
        rows: i64,
    }

    impl Written {
        fn new(folder: &Path, limits: Limits) -> Self {
            let database = folder.join("written.sqlite");
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
            let mut connection = connect(&database, flags, WRITER_SETTINGS).unwrap();
            let table = "CREATE TABLE pages (page BLOB)";
            connection.execute_batch(table).unwrap();
            let checkpoints = Checkpoints::within(limits, &mut connection, &database).unwrap();
            Self {
                connection,
                checkpoints,
                database,
                rows: 0,
            }
        }

        /// A commit of some twenty pages; how many are in the log then.
        fn commit(&mut self) -> u32 {
            let insert = "INSERT INTO pages (page) VALUES (zeroblob(80000))";
            self.connection.execute(insert, []).unwrap();
            self.checkpoints.committed(&self.connection);
            self.rows += 1;
            self.checkpoints.pages.load(Ordering::Relaxed)
        }

        /// Commits until the log begins anew; how long it was before. Less and less often, so that a checkpoint comes to its end on
        /// any disk.
        fn until_anew(&mut self) -> u32 {
            let mut before = 0;
            for count in 0..2_000 {
                let pages = self.commit();
                if pages < before {
                    return before;
                }
                before = pages;
                std::thread::sleep(Duration::from_millis(1 + count / 20));
            }
            panic!("{before} pages are in the log");
        }

        /// Everything is there.
        fn check(&self) {
            let count = "SELECT count(*) FROM pages WHERE length(page) = 80000";
            let rows: i64 = self
                .connection
                .query_row(count, [], |row| row.get(0))
                .unwrap();
            assert_eq!(rows, self.rows);
        }
    }

    #[test]
    fn the_log_begins_anew_while_commits_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            each: 200,
            max: u32::MAX,
        };
        let mut written = Written::new(folder.path(), limits);
        for _ in 0..3 {
            assert!(written.until_anew() >= 200);
            written.check();
        }
        assert!(written.database.metadata().unwrap().len() > 3 * 200 * 4_096);
    }

    /// What is committed while one is under way is left to the next.
    #[test]
    fn one_checkpoint_follows_another_until_all_is_in_the_database() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            each: u32::MAX,
            max: u32::MAX,
        };
        let mut written = Written::new(folder.path(), limits);
        let pages = AtomicU32::new(written.commit());
        assert_eq!(catch_up(&written.connection, &pages), 1);
        // As if there were always more by then.
        pages.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(catch_up(&written.connection, &pages), IN_A_ROW_MAX);
        written.check();
    }

    #[test]
    fn where_there_is_no_thread_the_one_who_writes_does_it() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            each: 100,
            max: 400,
        };
        let mut written = Written::new(folder.path(), limits);
        assert!(written.checkpoints.thread.set(None).is_ok());
        for _ in 0..3 {
            let longest = written.until_anew();
            assert!((400..500).contains(&longest), "{longest}");
            written.check();
        }
    }

    #[test]
    fn a_reader_keeps_what_it_sees_and_the_log_grows_until_it_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { each: 50, max: 100 };
        let mut written = Written::new(folder.path(), limits);
        written.commit();
        let reader = Connection::open(&written.database).unwrap();
        let seen = || -> i64 {
            let count = "SELECT count(*) FROM pages";
            reader.query_row(count, [], |row| row.get(0)).unwrap()
        };
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(seen(), 1);
        let mut pages = 0;
        for _ in 0..40 {
            pages = written.commit();
        }
        assert!(pages > 400, "{pages}");
        assert_eq!(seen(), 1);
        reader.execute_batch("COMMIT").unwrap();
        assert!(written.until_anew() > 400);
        assert_eq!(seen(), written.rows);
    }
}
