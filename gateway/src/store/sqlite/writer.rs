//! The one writer. It takes everything that waits, up to a limit, into one transaction with one flush, and answers once
//! that is on disk. An operation that fails is undone alone; a commit that fails fails all of its operations.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use protocol::TaskId;
use protocol::lease::OperationId;
use protocol::task::TaskState;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::super::watch::Watchers;
use super::super::{StoreError, WriteStatistics};
use super::open::Opened;
use super::values::TaskRow;

/// Operations that wait for the writer: some tens of milliseconds of its work.
const OPERATIONS_WAITING_MAX: usize = 2_048;
/// Payload of the operations that wait, so that a burst of large submissions cannot fill the memory.
const BYTES_WAITING_MAX: u64 = 64 * 1024 * 1024;
/// Operations in one commit: as many callers share a flush.
const COMMIT_OPERATIONS_MAX: usize = 512;
/// Rows in one commit: bounds how long the first caller of a group waits for the last, some 100 ms.
const COMMIT_ROWS_MAX: usize = 4_096;

/// One permit of the budget of waiting bytes.
const PERMIT_BYTES: u64 = 1024;
const PERMITS: u64 = BYTES_WAITING_MAX / PERMIT_BYTES;

/// What an operation costs.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Weight {
    pub(in super::super) rows: usize,
    pub(in super::super) bytes: u64,
}

impl Weight {
    /// One small row.
    pub(in super::super) const ROW: Self = Self { rows: 1, bytes: 0 };

    pub(in super::super) fn rows(rows: usize) -> Self {
        Self { rows, bytes: 0 }
    }

    /// An operation heavier than the whole budget takes all of it, so it runs alone rather than never.
    fn permits(self) -> u32 {
        let permits = self.bytes.div_ceil(PERMIT_BYTES).clamp(1, PERMITS);
        u32::try_from(permits).unwrap_or(u32::MAX)
    }
}

/// What happens to an operation for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Overload {
    /// Fails at once: its sender may come back.
    Refuse,
    /// Waits: it ends work that the pool has already taken on.
    Wait,
}

/// What an operation works on.
pub(in super::super) struct WriteScope<'c> {
    pub(in super::super) connection: &'c Connection,
    changes: Changes,
}

/// What others must hear of once it is on disk.
#[derive(Debug, Default)]
struct Changes {
    counts: [i64; TaskState::ALL.len()],
    /// Of each flow.
    queued: BTreeMap<i64, i64>,
    moved: Vec<(TaskId, TaskState)>,
}

impl WriteScope<'_> {
    /// Every change of a task's state goes through here: the kept counts and the watchers depend on it.
    pub(super) fn moved(&mut self, task: TaskRow, from: Option<TaskState>, to: TaskState) {
        for (state, step) in from.map(|from| (from, -1)).into_iter().chain([(to, 1)]) {
            self.count(state, step);
            if state == TaskState::Queued {
                let queued = self.changes.queued.entry(task.flow).or_default();
                *queued = queued.saturating_add(step);
            }
        }
        self.changes.moved.push((task.id, to));
    }

    /// A finished task is no more.
    pub(super) fn forgotten(&mut self, state: TaskState) {
        self.count(state, -1);
    }

    fn count(&mut self, state: TaskState, step: i64) {
        let position = TaskState::ALL.iter().position(|known| *known == state);
        if let Some(count) = position.and_then(|at| self.changes.counts.get_mut(at)) {
            *count = count.saturating_add(step);
        }
    }

    fn keep_counts(&self) -> Result<(), StoreError> {
        for (state, &step) in TaskState::ALL.iter().zip(&self.changes.counts) {
            if step != 0 {
                self.connection
                    .prepare_cached("UPDATE task_counts SET tasks = tasks + ?2 WHERE state = ?1")?
                    .execute((state.as_str(), step))?;
            }
        }
        for (flow, &step) in &self.changes.queued {
            self.connection
                .prepare_cached("UPDATE flows SET queued = queued + ?2 WHERE number = ?1")?
                .execute((flow, step))?;
        }
        Ok(())
    }
}

/// An operation with its caller, whatever it returns.
trait Operation: Send {
    /// Runs inside a savepoint; on `Err`, of which it keeps a copy, it is to be undone.
    fn execute(&mut self, connection: &Connection) -> Result<Changes, StoreError>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Pending<F, T> {
    operation: Option<F>,
    outcome: Result<T, StoreError>,
    caller: oneshot::Sender<Result<T, StoreError>>,
    /// Freed with the operation.
    _budget: OwnedSemaphorePermit,
}

impl<F, T> Operation for Pending<F, T>
where
    F: FnOnce(&mut WriteScope<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn execute(&mut self, connection: &Connection) -> Result<Changes, StoreError> {
        let operation = self.operation.take().ok_or(StoreError::Closed)?;
        let mut scope = WriteScope {
            connection,
            changes: Changes::default(),
        };
        self.outcome = operation(&mut scope).and_then(|value| {
            scope.keep_counts()?;
            Ok(value)
        });
        match &self.outcome {
            Ok(_) => Ok(scope.changes),
            Err(error) => Err(error.clone()),
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        // A caller that went away has no use for the answer; what it asked for is done all the same.
        let _ = self.caller.send(committed.and(self.outcome));
    }
}

struct Waiting {
    operation: Box<dyn Operation>,
    rows: usize,
}

#[derive(Debug, Default)]
struct Statistics {
    commits: AtomicU64,
    operations: AtomicU64,
    refused: AtomicU64,
}

/// The callers' end.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    budget: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
    statistics: Arc<Statistics>,
}

impl Writer {
    pub(super) fn start(opened: Opened, watchers: Arc<Watchers>) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(OPERATIONS_WAITING_MAX);
        let statistics = Arc::new(Statistics::default());
        let thread = WriterThread {
            opened,
            operations: HashMap::new(),
            waiting,
            watchers,
            statistics: Arc::clone(&statistics),
        };
        let builder = std::thread::Builder::new().name("store-writer".to_owned());
        let thread = builder.spawn(move || thread.run())?;
        let permits = usize::try_from(PERMITS).unwrap_or(Semaphore::MAX_PERMITS);
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            budget: Arc::new(Semaphore::new(permits)),
            thread: Mutex::new(Some(thread)),
            statistics,
        })
    }

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
        let (caller, answer) = oneshot::channel();
        let (slot, budget) = self.admit(weight, overload).await?;
        slot.send(Waiting {
            operation: Box::new(Pending {
                operation: Some(operation),
                outcome: Err(StoreError::Closed),
                caller,
                _budget: budget,
            }),
            rows: weight.rows,
        });
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn admit(
        &self,
        weight: Weight,
        overload: Overload,
    ) -> Result<(mpsc::OwnedPermit<Waiting>, OwnedSemaphorePermit), StoreError> {
        let queue = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let queue = queue.ok_or(StoreError::Closed)?;
        let budget = Arc::clone(&self.budget);
        match overload {
            Overload::Wait => {
                let budget = budget.acquire_many_owned(weight.permits()).await;
                let slot = queue
                    .reserve_owned()
                    .await
                    .map_err(|_| StoreError::Closed)?;
                Ok((slot, budget.map_err(|_| StoreError::Closed)?))
            }
            Overload::Refuse => {
                let budget = budget.try_acquire_many_owned(weight.permits());
                let budget = budget.map_err(|_| self.refuse())?;
                let slot = queue.try_reserve_owned().map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => self.refuse(),
                    mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
                })?;
                Ok((slot, budget))
            }
        }
    }

    fn refuse(&self) -> StoreError {
        self.statistics.refused.fetch_add(1, Ordering::Relaxed);
        StoreError::Overloaded
    }

    /// Lets the thread finish what waits; `None` when somebody else waits for it.
    fn stop(&self) -> Option<JoinHandle<()>> {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    pub(super) async fn close(&self) {
        if let Some(thread) = self.stop() {
            // Joining fails only where the thread panicked, which its callers have heard of as `Closed`.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    pub(super) fn statistics(&self) -> WriteStatistics {
        WriteStatistics {
            commits: self.statistics.commits.load(Ordering::Relaxed),
            operations: self.statistics.operations.load(Ordering::Relaxed),
            refused: self.statistics.refused.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Writer {
    /// No thread outlives its owner: waits for at most a few commits.
    fn drop(&mut self) {
        if let Some(thread) = self.stop() {
            let _ = thread.join();
        }
    }
}

/// The thread's end.
struct WriterThread {
    opened: Opened,
    /// Of flows, as they were met.
    operations: HashMap<i64, OperationId>,
    waiting: mpsc::Receiver<Waiting>,
    watchers: Arc<Watchers>,
    statistics: Arc<Statistics>,
}

impl WriterThread {
    fn run(mut self) {
        if let Err(error) = self.publish_queued() {
            tracing::error!(error = %Chain(&error), "what is queued cannot be counted; workers find it when they look");
        }
        while let Some(first) = self.waiting.blocking_recv() {
            let group = self.group(first);
            self.write(group);
        }
        if let Err(error) = self.opened.connection.execute_batch("PRAGMA optimize") {
            tracing::debug!(%error, "the query planner's statistics were not updated");
        }
        // The last connection to close folds the log into the database; then the lock goes.
        drop(self.opened.connection);
        drop(self.opened.lock);
    }

    /// Everything that waits, in order, up to the limits of one commit.
    fn group(&mut self, first: Waiting) -> Vec<Box<dyn Operation>> {
        let mut rows = first.rows;
        let mut group = vec![first.operation];
        while group.len() < COMMIT_OPERATIONS_MAX && rows < COMMIT_ROWS_MAX {
            let Ok(next) = self.waiting.try_recv() else {
                break;
            };
            rows = rows.saturating_add(next.rows);
            group.push(next.operation);
        }
        group
    }

    fn write(&mut self, mut group: Vec<Box<dyn Operation>>) {
        let changes_before = self.opened.connection.total_changes();
        let committed = transact(&self.opened.connection, &mut group);
        let was_changed = self.opened.connection.total_changes() != changes_before;
        if let Err(error) = &committed {
            tracing::error!(error = %Chain(error), operations = group.len(), "a commit failed");
        }
        let operations = u64::try_from(group.len()).unwrap_or(u64::MAX);
        self.statistics
            .operations
            .fetch_add(operations, Ordering::Relaxed);
        let answer = committed.as_ref().map(|_| ()).map_err(Clone::clone);
        if let Ok(changes) = committed {
            let flushes = u64::from(was_changed);
            self.statistics
                .commits
                .fetch_add(flushes, Ordering::Relaxed);
            // Before the callers hear of it, so that what they see next agrees with it.
            self.publish(&changes);
        }
        for operation in group {
            operation.answer(answer.clone());
        }
    }

    fn publish(&mut self, changes: &[Changes]) {
        for changes in changes {
            for (&flow, &step) in &changes.queued {
                self.publish_step(flow, step);
            }
            self.watchers.moved(&changes.moved);
        }
    }

    /// What the database held when it was opened.
    fn publish_queued(&mut self) -> Result<(), StoreError> {
        let flows: Vec<(i64, i64)> = {
            let mut statement = self
                .opened
                .connection
                .prepare("SELECT number, queued FROM flows WHERE queued > 0")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        for (flow, queued) in flows {
            self.publish_step(flow, queued);
        }
        Ok(())
    }

    fn publish_step(&mut self, flow: i64, step: i64) {
        if !self.operations.contains_key(&flow) {
            match operation_of(&self.opened.connection, flow) {
                Ok(operation) => {
                    self.operations.insert(flow, operation);
                }
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "a flow cannot be read; workers find its tasks when they look");
                }
            }
        }
        if let Some(operation) = self.operations.get(&flow) {
            self.watchers.board().changed(operation, step);
        }
    }
}

fn operation_of(connection: &Connection, flow: i64) -> Result<OperationId, StoreError> {
    let operation = connection
        .prepare_cached("SELECT operation, version FROM flows WHERE number = ?1")?
        .query_row([flow], |row| {
            Ok(OperationId {
                name: row.get("operation")?,
                version: row.get("version")?,
            })
        })?;
    Ok(operation)
}

/// One transaction over a group; on failure nothing of it remains.
fn transact(
    connection: &Connection,
    group: &mut [Box<dyn Operation>],
) -> Result<Vec<Changes>, StoreError> {
    let run = |statement| connection.prepare_cached(statement)?.execute([]);
    run("BEGIN IMMEDIATE")?;
    let written = execute_all(connection, group).and_then(|changes| {
        run("COMMIT")?;
        Ok(changes)
    });
    if written.is_err()
        && !connection.is_autocommit()
        && let Err(error) = run("ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
    written
}

/// Each operation in its savepoint.
fn execute_all(
    connection: &Connection,
    group: &mut [Box<dyn Operation>],
) -> Result<Vec<Changes>, StoreError> {
    let run = |statement| connection.prepare_cached(statement)?.execute([]);
    let mut changes = Vec::with_capacity(group.len());
    for operation in group {
        run("SAVEPOINT operation")?;
        match operation.execute(connection) {
            Ok(made) => changes.push(made),
            // A full disk and its like make SQLite roll back everything: the whole group has failed.
            Err(error) if connection.is_autocommit() => return Err(error),
            Err(_) => {
                run("ROLLBACK TO operation")?;
            }
        }
        run("RELEASE operation")?;
    }
    Ok(changes)
}

/// An error with its sources, for the log.
struct Chain<'e>(&'e dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(formatter, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
