//! Checkpoints: what commits wrote to the log goes into the database, on a thread beside the transactions that go on.
//!
//! The log begins anew with a transaction that finds all of it in the database, and no read under way in it. At a moderate load the
//! thread leaves little to do, and the one who writes does that between two transactions, so that the next one begins the log anew.
//! Where so much is written that the thread never leaves little, the one who writes does the rest at a limit.

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
/// So many pages are little.
const FEW: u32 = 256;

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
struct Progress {
    /// In the log, as of the last commit.
    pages: AtomicU32,
    /// The thread has left little to do.
    is_nearly_done: AtomicBool,
}

/// Of the connection that writes.
#[derive(Debug)]
pub(super) struct Checkpoints {
    database: PathBuf,
    limits: Limits,
    progress: Arc<Progress>,
    /// Pages of the log when this was last here.
    pages_before: Cell<u32>,
    /// At so many the next checkpoint is asked for.
    next_at: Cell<u32>,
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
        let progress = Arc::new(Progress::default());
        let counted = Arc::clone(&progress);
        connection.wal_hook(Some(move |_: &mut _, pages| {
            let pages = u32::try_from(pages).unwrap_or(u32::MAX);
            counted.pages.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            database: database.to_owned(),
            limits,
            progress,
            pages_before: Cell::new(0),
            next_at: Cell::new(limits.each),
            thread: OnceCell::new(),
        })
    }

    /// This connection, which writes, has no transaction under way.
    pub(super) fn between_transactions(&self, connection: &Connection) {
        let pages = self.progress.pages.load(Ordering::Relaxed);
        let is_nearly_done = self.progress.is_nearly_done.swap(false, Ordering::Relaxed);
        let Limits { each, max } = self.limits;
        if pages < self.pages_before.replace(pages) {
            // The log began anew.
            self.next_at.set(each);
        }
        if pages >= max {
            checkpoint(connection);
        } else if is_nearly_done && pages >= each {
            checkpoint(connection);
            // Should a read keep the log from beginning anew.
            self.next_at.set(pages.saturating_add(FEW));
        } else if pages >= self.next_at.get() {
            self.next_at.set(pages.saturating_add(each));
            self.ask();
        }
    }

    fn ask(&self) {
        let start = || Thread::start(self.database.clone(), Arc::clone(&self.progress));
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
    fn start(database: PathBuf, progress: Arc<Progress>) -> Option<Self> {
        let (requests, asked) = sync_channel(1);
        let builder = std::thread::Builder::new().name("store-checkpoint".to_owned());
        match builder.spawn(move || run(&database, &asked, &progress)) {
            Ok(handle) => Some(Self { requests, handle }),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "no thread for checkpoints: {LATER}");
                None
            }
        }
    }
}

fn run(database: &Path, asked: &Receiver<()>, progress: &Progress) {
    let connection = match connect(database, OpenFlags::SQLITE_OPEN_READ_WRITE, SETTINGS) {
        Ok(connection) => connection,
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "no connection for checkpoints: {LATER}");
            return;
        }
    };
    while asked.recv().is_ok() {
        catch_up(&connection, progress);
    }
}

/// Checkpoints until one found little to do and left little; how many that took. One that found little is short, and most often comes to
/// the end of the log before the next commit: then it flushes the database, and what is left is to flush what came meanwhile.
fn catch_up(connection: &Connection, progress: &Progress) -> usize {
    let few = i64::from(FEW);
    let mut done_before = 0;
    for count in 1..=IN_A_ROW_MAX {
        let Some(done) = checkpoint(connection) else {
            return count;
        };
        let pages = i64::from(progress.pages.load(Ordering::Relaxed));
        let (found, left) = (done.saturating_sub(done_before), pages.saturating_sub(done));
        if found <= few && left <= few {
            progress.is_nearly_done.store(true, Ordering::Relaxed);
            return count;
        }
        done_before = done;
    }
    IN_A_ROW_MAX
}

/// How many pages of the log the database has; nothing, where another checkpoint is under way or this one failed. Then nothing is to be
/// done until the next.
fn checkpoint(connection: &Connection) -> Option<i64> {
    let done: rusqlite::Result<i64> = connection.query_row(CHECKPOINT, [], |row| row.get(2));
    let done = done.inspect_err(|error| {
        tracing::warn!(error = %Chain(error), "a checkpoint failed: the log grows");
    });
    done.ok().filter(|done| *done >= 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::open::WRITER_SETTINGS;
    use super::*;

    const NEVER: Limits = Limits {
        each: u32::MAX,
        max: u32::MAX,
    };

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
            self.insert();
            self.checkpoints.between_transactions(&self.connection);
            self.pages()
        }

        fn insert(&mut self) {
            let insert = "INSERT INTO pages (page) VALUES (zeroblob(80000))";
            self.connection.execute(insert, []).unwrap();
            self.rows += 1;
        }

        fn pages(&self) -> u32 {
            self.checkpoints.progress.pages.load(Ordering::Relaxed)
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
        let limits = Limits { each: 200, ..NEVER };
        let mut written = Written::new(folder.path(), limits);
        for _ in 0..3 {
            assert!(written.until_anew() >= 200);
            written.check();
        }
        assert!(written.database.metadata().unwrap().len() > 3 * 200 * 4_096);
    }

    /// What is committed while one is under way is left to the next.
    #[test]
    fn one_checkpoint_follows_another_until_little_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = Written::new(folder.path(), NEVER);
        let done = written.commit();
        let progress = Progress::default();
        let follow = |pages, count, is_nearly_done| {
            progress.pages.store(pages, Ordering::Relaxed);
            progress.is_nearly_done.store(false, Ordering::Relaxed);
            assert_eq!(catch_up(&written.connection, &progress), count, "{pages}");
            let nearly = progress.is_nearly_done.load(Ordering::Relaxed);
            assert_eq!(nearly, is_nearly_done, "{pages}");
        };
        // As if so many more had come by the end of each.
        follow(done, 1, true);
        follow(done + FEW, 1, true);
        follow(done + FEW + 1, IN_A_ROW_MAX, false);
        written.check();
    }

    /// It has not come to the end before commits went on.
    #[test]
    fn behind_a_checkpoint_that_found_much_another_follows() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = Written::new(folder.path(), NEVER);
        while written.commit() <= FEW {}
        let progress = &written.checkpoints.progress;
        assert_eq!(catch_up(&written.connection, progress), 2);
        assert!(progress.is_nearly_done.load(Ordering::Relaxed));
    }

    /// A transaction is always under way when a checkpoint beside it ends.
    #[test]
    fn the_one_who_writes_does_what_little_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { each: 20, ..NEVER };
        let mut written = Written::new(folder.path(), limits);
        assert!(written.checkpoints.thread.set(None).is_ok());
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let beside = connect(&written.database, flags, SETTINGS).unwrap();
        let mut before = written.commit();
        for _ in 0..3 {
            let begin = "BEGIN IMMEDIATE";
            written.connection.execute_batch(begin).unwrap();
            assert_eq!(catch_up(&beside, &written.checkpoints.progress), 1);
            written.insert();
            written.connection.execute_batch("COMMIT").unwrap();
            let pages = written.pages();
            assert!(pages > before, "{pages} and {before} before");
            let writer = &written.connection;
            written.checkpoints.between_transactions(writer);
            before = written.commit();
            assert!(before < pages, "{before} and {pages} before");
            written.check();
        }
    }

    /// It may be of the log before.
    #[test]
    fn what_is_said_of_a_short_log_is_nothing_to_go_by() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { each: 40, ..NEVER };
        let mut written = Written::new(folder.path(), limits);
        let said = &written.checkpoints.progress.is_nearly_done;
        said.store(true, Ordering::Relaxed);
        let pages = written.commit();
        assert!(pages < 40, "{pages}");
        assert!(written.commit() > pages);
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
