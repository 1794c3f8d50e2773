//! What the writer is asked to do, with whoever asked.

use std::fmt;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::super::StoreError;
use super::connection::Connection;
use super::scope::{Changes, WriteScope};

/// Payload of the operations that wait, so that a burst of large submissions cannot fill the memory.
const BYTES_WAITING_MAX: u64 = 64 * 1024 * 1024;
/// One permit of the budget of waiting bytes.
const PERMIT_BYTES: u64 = 1024;
pub(super) const PERMITS: u64 = BYTES_WAITING_MAX / PERMIT_BYTES;

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
    pub(super) fn permits(self) -> u32 {
        let permits = self.bytes.div_ceil(PERMIT_BYTES).clamp(1, PERMITS);
        u32::try_from(permits).unwrap_or(u32::MAX)
    }
}

/// Who asks for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Caller {
    /// Brings new work. Where there is no room it is turned away at once: it may come back.
    Submitter,
    /// The same, and it waits until that work is done: the answer is of no use to it before.
    Awaiter,
    /// Goes on with what the pool has already taken on: it waits for room.
    Pool,
}

/// An operation with its caller, whatever it returns.
pub(in super::super) trait Operation: Send {
    /// Whether it succeeded; of its error it keeps a copy, and what it did is to be undone.
    fn execute(&mut self, connection: &Connection) -> Result<Changes, StoreError>;
    /// Before the commit, whatever becomes of that. Should it be executed once more, the same must come of it.
    fn answer_early(&mut self);
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// What came of an operation, and what is left of it with the budget that it takes: whoever asked for it drops that, for the writer's
/// time is everybody's.
pub(in super::super) struct Outcome<T> {
    pub(in super::super) result: Result<T, StoreError>,
    #[expect(dead_code, reason = "it is there to be dropped")]
    left: Option<Box<dyn Send>>,
}

impl<T> fmt::Debug for Outcome<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Outcome(..)")
    }
}

/// Where an operation's outcome arrives.
pub(in super::super) type Answer<T> = oneshot::Receiver<Outcome<T>>;

/// An operation that waits, and where its outcome arrives. It may run more than once: what it did before is undone then.
pub(in super::super) fn pending<T, F>(
    operation: F,
    budget: Option<OwnedSemaphorePermit>,
) -> (Box<dyn Operation>, Answer<T>)
where
    T: Send + 'static,
    F: Fn(&mut WriteScope<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    let pending = Pending {
        operation,
        result: Err(StoreError::Closed),
        caller: Some(caller),
        budget,
    };
    (Box::new(pending), answer)
}

struct Pending<F, T> {
    operation: F,
    result: Result<T, StoreError>,
    /// Until it has its answer.
    caller: Option<oneshot::Sender<Outcome<T>>>,
    /// Freed with the operation.
    budget: Option<OwnedSemaphorePermit>,
}

impl<F, T> Operation for Pending<F, T>
where
    F: Fn(&mut WriteScope<'_>) -> Result<T, StoreError> + Send + 'static,
    T: Send,
{
    fn execute(&mut self, connection: &Connection) -> Result<Changes, StoreError> {
        let mut scope = WriteScope {
            connection,
            changes: Changes::default(),
        };
        self.result = (self.operation)(&mut scope).and_then(|value| {
            scope.keep_flows()?;
            Ok(value)
        });
        match &self.result {
            Ok(_) => Ok(scope.changes),
            Err(error) => Err(error.clone()),
        }
    }

    // A caller that went away has no use for the answer; what it asked for is done all the same.

    fn answer_early(&mut self) {
        let result = std::mem::replace(&mut self.result, Err(StoreError::Closed));
        if let Some(caller) = self.caller.take() {
            // It may have to be executed again.
            let left = None;
            let _ = caller.send(Outcome { result, left });
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        if let Some(caller) = self.caller {
            let _ = caller.send(Outcome {
                result: committed.and(self.result),
                left: Some(Box::new((self.operation, self.budget))),
            });
        }
    }
}
