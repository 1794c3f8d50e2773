//! The one writer. It takes everything that waits, up to a limit, into one transaction with one flush, and answers once
//! that is on disk, but for a worker that hears of tasks which nobody else has heard of. An operation that fails is undone
//! alone; a commit that fails fails all of its operations.
//!
//! | module | what it holds |
//! |---|---|
//! | this one | the callers' end: room, and how it is shared |
//! | [`inbox`] | what waits |
//! | [`group`] | operations that share a transaction |
//! | [`thread`] | the transactions |

mod group;
mod inbox;
mod thread;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::super::notice::Notices;
use super::super::{StoreError, WriteStatistics};
use super::connection::Connection;
use super::operation::{Caller, PERMITS, Weight, pending};
use super::scope::WriteScope;
use inbox::{Inbox, Waiting};
use thread::WriterThread;

/// Operations that wait for the writer: some tens of milliseconds of its work.
const OPERATIONS_WAITING_MAX: usize = 2_048;

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
        let statistics_kept = Arc::clone(&statistics);
        let thread = WriterThread::new(connection, Inbox::new(waiting), notices, statistics_kept);
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
        caller: Caller,
        operation: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut WriteScope<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (slot, budget) = self.admit(weight, caller).await?;
        let (operation, answer) = pending(operation, Some(budget));
        slot.send(Waiting {
            operation,
            rows: weight.rows,
            caller,
        });
        let outcome = answer.await.map_err(|_| StoreError::Closed)?;
        outcome.result
    }

    async fn admit(
        &self,
        weight: Weight,
        caller: Caller,
    ) -> Result<(mpsc::OwnedPermit<Waiting>, OwnedSemaphorePermit), StoreError> {
        let queue = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let queue = queue.ok_or(StoreError::Closed)?;
        let budget = Arc::clone(&self.budget);
        match caller {
            Caller::Pool => {
                let budget = budget.acquire_many_owned(weight.permits()).await;
                let slot = queue
                    .reserve_owned()
                    .await
                    .map_err(|_| StoreError::Closed)?;
                Ok((slot, budget.map_err(|_| StoreError::Closed)?))
            }
            Caller::Submitter | Caller::Awaiter => {
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
