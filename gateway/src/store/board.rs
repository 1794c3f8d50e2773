//! Which operations have tasks that wait, and which workers wait for them. A task that is queued wakes one worker that
//! computes it, in the order in which they came: to wake all of them would have thousands look for one task.
//!
//! Told after each commit, by the writer of its own and by the database of other gateways'. It only says when to look; what a
//! worker gets is decided in the database.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::lease::OperationId;
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    /// Only those with a task or a worker.
    operations: HashMap<OperationId, Line>,
    waiting: HashMap<u64, Waiting>,
    /// Given out so far: a lower number came earlier.
    tickets: u64,
}

#[derive(Debug, Default)]
struct Line {
    /// Below 0 while a commit is known before the one that it followed.
    queued: i64,
    tickets: BTreeSet<u64>,
}

#[derive(Debug)]
struct Waiting {
    operations: Vec<OperationId>,
    wake: oneshot::Sender<Call>,
}

/// A task was queued, and somebody is to look.
#[derive(Debug)]
struct Call {
    operation: OperationId,
    /// The first ticket that was given out after that: whoever has it or a later one looks by itself.
    until: u64,
}

impl Board {
    /// So many tasks of this operation more are queued than before, or fewer.
    pub(super) fn changed(&self, operation: &OperationId, step: i64) {
        let mut lines = self.lock();
        let line = lines.operations.entry(operation.clone()).or_default();
        line.queued = line.queued.saturating_add(step);
        lines.wake(operation, step);
        lines.forget_idle(operation);
    }

    /// So many tasks are queued, and none of any other operation.
    pub(super) fn set(&self, queued: &[(OperationId, i64)]) {
        let mut lines = self.lock();
        let known: Vec<_> = lines.operations.keys().cloned().collect();
        for operation in &known {
            if let Some(line) = lines.operations.get_mut(operation) {
                line.queued = 0;
            }
            lines.forget_idle(operation);
        }
        for (operation, queued) in queued {
            let line = lines.operations.entry(operation.clone()).or_default();
            line.queued = *queued;
            lines.wake(operation, *queued);
            lines.forget_idle(operation);
        }
    }

    /// Waits for tasks of these operations, from now on.
    pub(super) fn wait(self: &Arc<Self>, operations: &[OperationId]) -> WorkWatch {
        let (wake, woken) = oneshot::channel();
        let mut lines = self.lock();
        let ticket = lines.tickets;
        lines.tickets = ticket.saturating_add(1);
        for operation in operations {
            let line = lines.operations.entry(operation.clone()).or_default();
            line.tickets.insert(ticket);
        }
        let waiting = Waiting {
            operations: operations.to_vec(),
            wake,
        };
        lines.waiting.insert(ticket, waiting);
        WorkWatch {
            ticket,
            operations: operations.to_vec(),
            woken,
            board: Arc::clone(self),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Each change is made of steps that cannot panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// One for each of so many tasks.
    fn wake(&mut self, operation: &OperationId, tasks: i64) {
        let until = self.tickets;
        for _ in 0..tasks.max(0) {
            if !self.wake_one(operation, until) {
                break;
            }
        }
    }

    /// The first that waits for this operation since before then; false where nobody does, or nothing is queued any more.
    fn wake_one(&mut self, operation: &OperationId, until: u64) -> bool {
        let line = self.operations.get(operation);
        let line = line.filter(|line| line.queued > 0);
        let first = line.and_then(|line| line.tickets.first().copied());
        let Some(ticket) = first.filter(|ticket| *ticket < until) else {
            return false;
        };
        if let Some(waiting) = self.leave(ticket) {
            let operation = operation.clone();
            // It is there to receive as long as it has its ticket.
            let _ = waiting.wake.send(Call { operation, until });
        }
        true
    }

    fn leave(&mut self, ticket: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&ticket)?;
        for operation in &waiting.operations {
            if let Some(line) = self.operations.get_mut(operation) {
                line.tickets.remove(&ticket);
            }
            self.forget_idle(operation);
        }
        Some(waiting)
    }

    fn forget_idle(&mut self, operation: &OperationId) {
        let line = self.operations.get(operation);
        if line.is_some_and(|line| line.queued == 0 && line.tickets.is_empty()) {
            self.operations.remove(operation);
        }
    }
}

/// A worker's wait for tasks. Make it first, then look: what is queued in between wakes it.
#[derive(Debug)]
pub struct WorkWatch {
    ticket: u64,
    operations: Vec<OperationId>,
    woken: oneshot::Receiver<Call>,
    board: Arc<Board>,
}

impl WorkWatch {
    /// Ends once, when a task was queued and it is this worker's turn to look. Safe to cancel.
    pub async fn woken(&mut self) -> Wake {
        match (&mut self.woken).await {
            Ok(call) => Wake {
                call,
                board: Arc::clone(&self.board),
            },
            // It was woken before, and waits for nothing more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Whether tasks wait now, though perhaps none that this worker may have.
    #[must_use]
    pub fn has_queued(&self) -> bool {
        let lines = self.board.lock();
        let has = |operation| {
            let line: Option<&Line> = lines.operations.get(operation);
            line.is_some_and(|line| line.queued > 0)
        };
        self.operations.iter().any(has)
    }
}

impl Drop for WorkWatch {
    fn drop(&mut self) {
        let mut lines = self.board.lock();
        lines.leave(self.ticket);
        // Woken, and it does not come any more: another's turn.
        if let Ok(call) = self.woken.try_recv() {
            lines.wake_one(&call.operation, call.until);
        }
    }
}

/// The turn to look for a task. Once it is dropped it goes to the next that waits, if tasks of that operation are still
/// queued: this worker may have got others, or may not have these.
#[derive(Debug)]
pub struct Wake {
    call: Call,
    board: Arc<Board>,
}

impl Drop for Wake {
    fn drop(&mut self) {
        let mut lines = self.board.lock();
        lines.wake_one(&self.call.operation, self.call.until);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn operation(name: &str) -> OperationId {
        OperationId {
            name: name.to_owned(),
            version: 1,
        }
    }

    /// Keeps the turn for good.
    fn is_woken(watch: &mut WorkWatch) -> bool {
        watch.woken().now_or_never().map(std::mem::forget).is_some()
    }

    #[test]
    fn each_task_wakes_one_in_the_order_in_which_they_came() {
        let board = Arc::new(Board::default());
        let (hash, embed) = (operation("sha256_batch"), operation("embed"));
        let mut first = board.wait(std::slice::from_ref(&hash));
        let mut both = board.wait(&[hash.clone(), embed.clone()]);
        let mut last = board.wait(std::slice::from_ref(&hash));
        board.changed(&embed, 1);
        assert!(!is_woken(&mut first) && is_woken(&mut both) && !is_woken(&mut last));
        board.changed(&hash, 1);
        assert!(is_woken(&mut first) && !is_woken(&mut last));
        board.changed(&hash, 5);
        assert!(is_woken(&mut last));
        assert!(last.has_queued() && both.has_queued());
    }

    #[test]
    fn who_went_away_is_woken_for_nothing() {
        let board = Arc::new(Board::default());
        let hash = operation("sha256_batch");
        let gone = board.wait(std::slice::from_ref(&hash));
        let mut other = board.wait(std::slice::from_ref(&hash));
        drop(gone);
        board.changed(&hash, 1);
        assert!(is_woken(&mut other));
    }

    #[test]
    fn a_turn_that_is_not_taken_goes_to_the_next() {
        let board = Arc::new(Board::default());
        let hash = operation("sha256_batch");
        let mut first = board.wait(std::slice::from_ref(&hash));
        let unheard = board.wait(std::slice::from_ref(&hash));
        let mut last = board.wait(std::slice::from_ref(&hash));
        board.changed(&hash, 1);
        let wake = first.woken().now_or_never().unwrap();
        // It looks again by itself, behind the others.
        let mut again = board.wait(std::slice::from_ref(&hash));
        drop(wake);
        drop(unheard);
        assert!(last.woken().now_or_never().is_some(), "dropped at once");
        assert!(!is_woken(&mut again), "it would go round for ever");
    }

    #[test]
    fn a_turn_that_led_to_another_operations_task_goes_on() {
        let board = Arc::new(Board::default());
        let (hash, embed) = (operation("sha256_batch"), operation("embed"));
        let mut both = board.wait(&[hash.clone(), embed.clone()]);
        let mut other = board.wait(std::slice::from_ref(&hash));
        board.changed(&hash, 1);
        let wake = both.woken().now_or_never().unwrap();
        board.changed(&embed, 1);
        // It took the text.
        board.changed(&embed, -1);
        drop(wake);
        assert!(is_woken(&mut other));
    }

    #[test]
    fn a_turn_ends_where_nothing_is_queued_any_more() {
        let board = Arc::new(Board::default());
        let hash = operation("sha256_batch");
        let mut first = board.wait(std::slice::from_ref(&hash));
        let mut other = board.wait(std::slice::from_ref(&hash));
        board.changed(&hash, 1);
        let wake = first.woken().now_or_never().unwrap();
        board.changed(&hash, -1);
        drop(wake);
        assert!(!is_woken(&mut other));
    }

    #[test]
    fn tasks_that_are_taken_wake_nobody_and_are_counted() {
        let board = Arc::new(Board::default());
        let hash = operation("sha256_batch");
        board.changed(&hash, 2);
        let mut watch = board.wait(std::slice::from_ref(&hash));
        assert!(watch.has_queued() && !is_woken(&mut watch));
        board.changed(&hash, -2);
        assert!(!watch.has_queued() && !is_woken(&mut watch));
    }

    /// Whatever names workers ask for, nothing of them stays.
    #[test]
    fn nothing_is_left_of_those_that_waited() {
        let board = Arc::new(Board::default());
        for number in 0..100 {
            let watch = board.wait(&[operation(&format!("no-such-{number}"))]);
            drop(watch);
        }
        let hash = operation("sha256_batch");
        let watch = board.wait(&[hash.clone(), operation("other")]);
        board.changed(&hash, 1);
        board.changed(&hash, -1);
        drop(watch);
        let lines = board.lock();
        assert!(lines.operations.is_empty() && lines.waiting.is_empty());
    }
}
