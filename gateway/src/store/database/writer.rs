//! The one writer. It takes everything that waits, up to a limit, into one transaction with one flush, and answers once
//! that is on disk. An operation that fails is undone alone; a commit that fails fails all of its operations.
//!
//! Workers that wait for what a group queues are given it in the same transaction: a task that finds an idle worker costs one
//! flush less, and reaches it two changes of thread earlier.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use protocol::lease::OperationId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::super::notice::{Notice, Notices};
use super::super::{Class, StoreError, WriteStatistics};
use super::connection::{Access, Chain, Connection};
use super::operation::{Operation, Overload, PERMITS, Weight, pending};
use super::scope::{Changes, WriteScope};
use super::value::values;

/// Operations that wait for the writer: some tens of milliseconds of its work.
const OPERATIONS_WAITING_MAX: usize = 2_048;
/// Operations in one commit: as many callers share a flush.
const COMMIT_OPERATIONS_MAX: usize = 512;
/// Rows in one commit: bounds how long the first caller of a group waits for the last, some 100 ms.
const COMMIT_ROWS_MAX: usize = 4_096;
/// Workers that one commit serves beside; those behind them look for what is left.
const SERVED_MAX: usize = 64;

/// Flows whose class is kept at hand, some megabytes.
const CLASSES_KEPT_MAX: usize = 16_384;

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
    pub(super) fn start(connection: Connection, notices: Arc<Notices>) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(OPERATIONS_WAITING_MAX);
        let statistics = Arc::new(Statistics::default());
        let thread = WriterThread {
            connection,
            classes: HashMap::new(),
            waiting,
            notices,
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
        F: Fn(&mut WriteScope<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (slot, budget) = self.admit(weight, overload).await?;
        let (operation, answer) = pending(operation, Some(budget));
        slot.send(Waiting {
            operation,
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
    connection: Connection,
    /// Of flows, as they were met.
    classes: HashMap<i64, Class>,
    waiting: mpsc::Receiver<Waiting>,
    notices: Arc<Notices>,
    statistics: Arc<Statistics>,
}

impl WriterThread {
    fn run(mut self) {
        // A server's listener reads what waits, and again whenever it may have missed something.
        if let Connection::Sqlite(_) = &self.connection
            && let Err(error) = self.publish_queued()
        {
            tracing::error!(error = %Chain(&error), "what is queued cannot be counted; workers find it at the end of a long poll");
        }
        while let Some(first) = self.waiting.blocking_recv() {
            let group = self.group(first);
            self.write(group);
        }
        if let Connection::Sqlite(sqlite) = &self.connection {
            sqlite.optimize();
        }
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
        let changes_before = self.connection.total_changes();
        let committed = self.transact(&mut group);
        let was_changed = self.connection.total_changes() != changes_before;
        if let Err(error) = &committed {
            // A flow that was not made leaves its number to another.
            self.classes.clear();
            tracing::error!(error = %Chain(error), operations = group.len(), "a commit failed");
        }
        let operations = u64::try_from(group.len()).unwrap_or(u64::MAX);
        self.statistics
            .operations
            .fetch_add(operations, Ordering::Relaxed);
        let answer = committed.as_ref().map(|_| ()).map_err(Clone::clone);
        if let Ok(committed) = committed {
            let flushes = u64::from(was_changed);
            self.statistics
                .commits
                .fetch_add(flushes, Ordering::Relaxed);
            // Before the callers hear of it, so that what they see next agrees with it.
            self.publish(&committed);
        }
        for operation in group {
            operation.answer(answer.clone());
        }
    }

    /// One transaction over a group; on failure nothing of it remains. An operation that fails takes those beside it along, so
    /// they all run again, each apart: none has to be apart in the run of things.
    fn transact(&mut self, group: &mut Vec<Box<dyn Operation>>) -> Result<Committed, StoreError> {
        self.connection.begin(Access::Write)?;
        let together = execute_all(&self.connection, group)
            .and_then(|changes| self.serve_waiting(group, changes));
        let changes = match together {
            Ok(changes) => changes,
            Err(error) => {
                self.connection.roll_back();
                // A flow that it made leaves its number to another.
                self.classes.clear();
                tracing::debug!(error = %Chain(&error), "an operation failed: its group runs apart");
                self.connection.begin(Access::Write)?;
                execute_apart(&self.connection, group)
                    .inspect_err(|_| self.connection.roll_back())?
            }
        };
        let committed = self.commit(changes);
        committed.inspect_err(|_| self.connection.roll_back())
    }

    fn commit(&mut self, changes: Vec<Changes>) -> Result<Committed, StoreError> {
        let notice = self.notice(&changes);
        let commit = self.connection.tell(&notice)?;
        if let Some(commit) = commit {
            self.notices.doubt(commit, &notice);
        }
        self.connection.commit()?;
        Ok(Committed {
            changes,
            notice,
            commit,
        })
    }

    /// What a group queues goes to the workers that wait for it, first come, first served, as part of the group.
    fn serve_waiting(
        &mut self,
        group: &mut Vec<Box<dyn Operation>>,
        mut changes: Vec<Changes>,
    ) -> Result<Vec<Changes>, StoreError> {
        let notices = Arc::clone(&self.notices);
        for flow in changes.iter().flat_map(|changes| &changes.ended_flows) {
            self.classes.remove(flow);
        }
        let mut queued = self.queued(&changes);
        for _ in 0..SERVED_MAX {
            let left = queued.iter().find(|(_, left)| **left > 0);
            let Some(class) = left.map(|(class, _)| class.clone()) else {
                break;
            };
            let Some(parked) = notices.watchers().board().draw(&class) else {
                // Whoever parks meanwhile is woken.
                queued.remove(&class);
                continue;
            };
            let parked = group.push_mut(parked);
            let leased = parked.execute(&self.connection)?;
            for (class, step) in self.queued(std::slice::from_ref(&leased)) {
                if let Some(left) = queued.get_mut(&class) {
                    *left = left.saturating_add(step);
                }
            }
            changes.push(leased);
        }
        Ok(changes)
    }

    /// So many tasks more of each class wait.
    fn queued(&mut self, changes: &[Changes]) -> HashMap<Class, i64> {
        let mut queued: HashMap<Class, i64> = HashMap::new();
        for (flow, step) in changes.iter().flat_map(Changes::queued) {
            if let Some(class) = self.class(flow) {
                match queued.get_mut(class) {
                    Some(of_it) => *of_it = of_it.saturating_add(step),
                    None => {
                        queued.insert(class.clone(), step);
                    }
                }
            }
        }
        queued
    }

    fn notice(&mut self, changes: &[Changes]) -> Notice {
        let queued = self.queued(changes);
        let orders = changes.iter().flat_map(|changes| &changes.orders);
        Notice {
            origin: self.notices.origin,
            queued: queued.into_iter().filter(|(_, step)| *step != 0).collect(),
            moved: changes.iter().any(|changes| !changes.moved.is_empty()),
            orders: orders.cloned().collect(),
        }
    }

    fn publish(&self, committed: &Committed) {
        self.notices.own(committed.commit, &committed.notice);
        for changes in &committed.changes {
            self.notices.watchers().moved(&changes.moved);
        }
    }

    /// What the database held when it was opened.
    fn publish_queued(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT number, queued FROM flows WHERE queued > 0";
        let flows = self
            .connection
            .query(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let changes = Changes::of_queued(flows);
        let notice = self.notice(&[changes]);
        self.notices.own(None, &notice);
        Ok(())
    }

    /// The class of a flow, which it keeps as long as there is one.
    fn class(&mut self, flow: i64) -> Option<&Class> {
        if self.classes.len() > CLASSES_KEPT_MAX {
            self.classes.clear();
        }
        match self.classes.entry(flow) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(new) => match class_of(&self.connection, flow) {
                Ok(class) => Some(new.insert(class)),
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "a flow cannot be read; workers find its tasks at the end of a long poll");
                    None
                }
            },
        }
    }
}

/// What a transaction did, now that it is on disk.
struct Committed {
    changes: Vec<Changes>,
    notice: Notice,
    /// Its number, where several gateways count.
    commit: Option<u64>,
}

fn class_of(connection: &Connection, flow: i64) -> Result<Class, StoreError> {
    let sql = "SELECT operation, version, requirements FROM flows WHERE number = ?1";
    let found = connection.first(sql, &values![flow], |row| {
        Ok(Class {
            operation: OperationId {
                name: row.get(0)?,
                version: row.get(1)?,
            },
            requirements: row.get(2)?,
        })
    })?;
    found.ok_or(StoreError::Unreadable { what: "a flow" })
}

/// All or nothing.
fn execute_all(
    connection: &Connection,
    group: &mut [Box<dyn Operation>],
) -> Result<Vec<Changes>, StoreError> {
    group
        .iter_mut()
        .map(|operation| operation.execute(connection))
        .collect()
}

/// An operation that fails is undone alone.
fn execute_apart(
    connection: &Connection,
    group: &mut [Box<dyn Operation>],
) -> Result<Vec<Changes>, StoreError> {
    let mut changes = Vec::with_capacity(group.len());
    for operation in group {
        changes.extend(connection.apart(|| operation.execute(connection))?);
    }
    Ok(changes)
}
