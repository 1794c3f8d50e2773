//! Checkpoints: what commits wrote to the log goes into the database, on a thread beside the transactions that go on.
//!
//! The log begins anew with a transaction that finds all of it in the database. Beside transactions that go on, the thread hardly ever
//! comes to that; once little is left the one who writes does it, between two of them. So the log is written in place, which takes
//! half the time that it takes to grow.

use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
/// leaves little.
const IN_A_ROW_MAX: usize = 4;
/// So much is little: the one who writes does it in a millisecond.
const LEFT_MAX: u32 = 256;

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

/// What the one who writes and the thread tell each other.
#[derive(Debug, Default)]
struct Log {
    /// As of the last commit.
    pages: AtomicU32,
    /// Hardly anything of it is not in the database.
    is_nearly_done: AtomicBool,
}

/// Of the connection that writes.
#[derive(Debug)]
pub(super) struct Checkpoints {
    database: PathBuf,
    limits: Limits,
    log: Arc<Log>,
    /// How many pages it had when the last checkpoint was asked for.
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
        let log = Arc::new(Log::default());
        let counted = Arc::clone(&log);
        connection.wal_hook(Some(move |_: &mut _, pages| {
            let pages = u32::try_from(pages).unwrap_or(u32::MAX);
            counted.pages.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            database: database.to_owned(),
            limits,
            log,
            asked_at: Cell::new(0),
            thread: OnceCell::new(),
        })
    }

    /// This connection has committed.
    pub(super) fn committed(&self, connection: &Connection) {
        let pages = self.log.pages.load(Ordering::Relaxed);
        let is_nearly_done = self.log.is_nearly_done.swap(false, Ordering::Relaxed);
        let began_anew = pages < self.asked_at.get();
        if began_anew {
            self.asked_at.set(0);
        }
        if pages >= self.limits.max || (is_nearly_done && !began_anew) {
            checkpoint(connection);
        } else if pages >= self.asked_at.get().saturating_add(self.limits.each) {
            self.asked_at.set(pages);
            self.ask();
        }
    }

    fn ask(&self) {
        let start = || Thread::start(self.database.clone(), Arc::clone(&self.log));
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
    fn start(database: PathBuf, log: Arc<Log>) -> Option<Self> {
        let (requests, asked) = sync_channel(1);
        let builder = std::thread::Builder::new().name("store-checkpoint".to_owned());
        match builder.spawn(move || run(&database, &asked, &log)) {
            Ok(handle) => Some(Self { requests, handle }),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "no thread for checkpoints: {LATER}");
                None
            }
        }
    }
}

fn run(database: &Path, asked: &Receiver<()>, log: &Log) {
    let connection = match connect(database, OpenFlags::SQLITE_OPEN_READ_WRITE, SETTINGS) {
        Ok(connection) => connection,
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "no connection for checkpoints: {LATER}");
            return;
        }
    };
    while asked.recv().is_ok() {
        catch_up(&connection, log);
    }
}

/// Checkpoints until hardly anything of the log is not in the database; how many that took.
fn catch_up(connection: &Connection, log: &Log) -> usize {
    for count in 1..=IN_A_ROW_MAX {
        let Some(done) = checkpoint(connection) else {
            return count;
        };
        let left = i64::from(log.pages.load(Ordering::Relaxed)).saturating_sub(done);
        if left <= i64::from(LEFT_MAX) {
            log.is_nearly_done.store(true, Ordering::Relaxed);
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
            self.checkpoints.log.pages.load(Ordering::Relaxed)
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

    const NEVER: Limits = Limits {
        each: u32::MAX,
        max: u32::MAX,
    };

    /// What is committed while one is under way is left to the next.
    #[test]
    fn one_checkpoint_follows_another_until_little_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = Written::new(folder.path(), NEVER);
        let done = written.commit();
        // As if so many had come by the end of each.
        let log = Log::default();
        for (more, count, is_nearly_done) in [
            (0, 1, true),
            (LEFT_MAX, 1, true),
            (LEFT_MAX + 1, IN_A_ROW_MAX, false),
        ] {
            log.pages.store(done + more, Ordering::Relaxed);
            log.is_nearly_done.store(false, Ordering::Relaxed);
            assert_eq!(catch_up(&written.connection, &log), count);
            let nearly = log.is_nearly_done.load(Ordering::Relaxed);
            assert_eq!(nearly, is_nearly_done, "{more}");
        }
        written.check();
    }

    /// A transaction is always under way when a checkpoint on the thread ends.
    #[test]
    fn the_one_who_writes_does_what_little_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = Written::new(folder.path(), NEVER);
        let beside = connect(
            &written.database,
            OpenFlags::SQLITE_OPEN_READ_WRITE,
            SETTINGS,
        );
        let beside = beside.unwrap();
        let mut before = written.commit();
        for _ in 0..3 {
            let begin = "BEGIN IMMEDIATE";
            written.connection.execute_batch(begin).unwrap();
            assert_eq!(catch_up(&beside, &written.checkpoints.log), 1);
            let insert = "INSERT INTO pages (page) VALUES (zeroblob(80000))";
            written.connection.execute(insert, []).unwrap();
            written.connection.execute_batch("COMMIT").unwrap();
            written.rows += 1;
            let pages = written.checkpoints.log.pages.load(Ordering::Relaxed);
            assert!(pages > before, "{pages} and {before} before");
            written.checkpoints.committed(&written.connection);
            // It began anew.
            before = written.commit();
            assert!(before < pages, "{before} and {pages} before");
            written.check();
        }
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
