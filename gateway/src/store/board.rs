//! Which operations have tasks that wait, and which workers wait for them. A task that is queued wakes one worker that may have
//! it, in the order in which they came: to wake all of them would have thousands look for one task.
//!
//! Told after each commit, by the writer of its own and by the database of other gateways': it says when to look. Within a
//! transaction of its own the writer draws the leases of those that wait. What a worker gets is decided in the database.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::lease::OperationId;
use protocol::requirements::{Requirements, WorkerTraits};
use tokio::sync::oneshot;

use super::database::{Changes, Connection, Operation};
use super::{Class, StoreError};

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
    /// By what they demand. Below 0 while a commit is known before the one that it followed.
    queued: HashMap<Requirements, i64>,
    tickets: BTreeSet<u64>,
}

#[derive(Debug)]
struct Waiting {
    worker: Arc<Worker>,
    wake: oneshot::Sender<Box<Call>>,
    /// Its lease, for a commit that queues something.
    parked: Option<Parked>,
}

/// Until it has its answer its worker sleeps on.
struct Drawn {
    lease: Box<dyn Operation>,
    _wake: oneshot::Sender<Box<Call>>,
}

impl Operation for Drawn {
    fn execute(&mut self, connection: &Connection) -> Result<Changes, StoreError> {
        self.lease.execute(connection)
    }

    fn answer_early(&mut self) {
        self.lease.answer_early();
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        self.lease.answer(committed);
    }
}

struct Parked(Box<dyn Operation>);

impl fmt::Debug for Parked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Parked(..)")
    }
}

/// What a worker that waits computes, and what it is.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) operations: Vec<OperationId>,
    traits: WorkerTraits,
}

/// A task was queued, and somebody is to look.
#[derive(Debug)]
struct Call {
    class: Class,
    /// The first ticket that was given out after that: whoever has it or a later one looks by itself.
    until: u64,
}

impl Board {
    /// So many tasks of this class more are queued than before, or fewer.
    pub(super) fn changed(&self, class: &Class, step: i64) {
        let mut lines = self.lock();
        let line = lines.operations.entry(class.operation.clone()).or_default();
        line.changed(&class.requirements, step);
        lines.wake(class, step);
        lines.forget_idle(&class.operation);
    }

    /// So many tasks are queued, and none of any other class.
    pub(super) fn set(&self, queued: &[(Class, i64)]) {
        let mut lines = self.lock();
        let known: Vec<_> = lines.operations.keys().cloned().collect();
        for operation in &known {
            if let Some(line) = lines.operations.get_mut(operation) {
                line.queued.clear();
            }
            lines.forget_idle(operation);
        }
        drop(lines);
        for (class, queued) in queued {
            self.changed(class, *queued);
        }
    }

    /// Waits for tasks of these operations that such a worker may have, from now on.
    pub(super) fn wait(
        self: &Arc<Self>,
        operations: &[OperationId],
        traits: &WorkerTraits,
    ) -> WorkWatch {
        let (wake, woken) = oneshot::channel();
        let worker = Arc::new(Worker {
            operations: operations.to_vec(),
            traits: traits.clone(),
        });
        let mut lines = self.lock();
        let ticket = lines.tickets;
        lines.tickets = ticket.saturating_add(1);
        for operation in operations {
            let line = lines.operations.entry(operation.clone()).or_default();
            line.tickets.insert(ticket);
        }
        let waiting = Waiting {
            worker: Arc::clone(&worker),
            wake,
            parked: None,
        };
        lines.waiting.insert(ticket, waiting);
        WorkWatch {
            ticket,
            worker,
            woken,
            board: Arc::clone(self),
        }
    }

    /// The lease of the first that has parked one and may have tasks of this class. It waits no more.
    pub(super) fn draw(&self, class: &Class) -> Option<Box<dyn Operation>> {
        let mut lines = self.lock();
        let line = lines.operations.get(&class.operation)?;
        let of = |ticket: &u64| lines.waiting.get(ticket);
        let has_parked = |ticket: &u64| {
            of(ticket).is_some_and(|waiting| waiting.parked.is_some() && waiting.may_have(class))
        };
        let ticket = line.tickets.iter().copied().find(has_parked)?;
        let waiting = lines.leave(ticket)?;
        Some(Box::new(Drawn {
            lease: waiting.parked?.0,
            _wake: waiting.wake,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Each change is made of steps that cannot panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn changed(&mut self, requirements: &Requirements, step: i64) {
        match self.queued.get_mut(requirements) {
            Some(queued) => *queued = queued.saturating_add(step),
            None => {
                self.queued.insert(requirements.clone(), step);
            }
        }
        self.queued.retain(|_, queued| *queued != 0);
    }

    fn has(&self, requirements: &Requirements) -> bool {
        self.queued
            .get(requirements)
            .is_some_and(|queued| *queued > 0)
    }
}

impl Waiting {
    fn may_have(&self, class: &Class) -> bool {
        class.requirements.unmet(&self.worker.traits).is_none()
    }
}

impl Lines {
    /// One for each of so many tasks.
    fn wake(&mut self, class: &Class, tasks: i64) {
        let until = self.tickets;
        for _ in 0..tasks.max(0) {
            if !self.wake_one(class, until) {
                break;
            }
        }
    }

    /// The first that waits for this class since before then; false where nobody does, or nothing is queued any more.
    fn wake_one(&mut self, class: &Class, until: u64) -> bool {
        let line = self.operations.get(&class.operation);
        let Some(line) = line.filter(|line| line.has(&class.requirements)) else {
            return false;
        };
        let may_have = |ticket: &u64| {
            let waiting = self.waiting.get(ticket);
            waiting.is_some_and(|waiting| waiting.may_have(class))
        };
        let Some(ticket) = line.tickets.range(..until).copied().find(may_have) else {
            return false;
        };
        if let Some(waiting) = self.leave(ticket) {
            let class = class.clone();
            // It is there to receive as long as it has its ticket.
            let _ = waiting.wake.send(Box::new(Call { class, until }));
        }
        true
    }

    fn leave(&mut self, ticket: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&ticket)?;
        for operation in &waiting.worker.operations {
            if let Some(line) = self.operations.get_mut(operation) {
                line.tickets.remove(&ticket);
            }
            self.forget_idle(operation);
        }
        Some(waiting)
    }

    fn forget_idle(&mut self, operation: &OperationId) {
        let line = self.operations.get(operation);
        if line.is_some_and(|line| line.queued.is_empty() && line.tickets.is_empty()) {
            self.operations.remove(operation);
        }
    }
}

/// A worker's wait for tasks. Make it first, then look: what is queued in between wakes it.
#[derive(Debug)]
pub struct WorkWatch {
    ticket: u64,
    worker: Arc<Worker>,
    woken: oneshot::Receiver<Box<Call>>,
    board: Arc<Board>,
}

impl WorkWatch {
    /// Ends once, when a task was queued and it is this worker's turn to look. Safe to cancel.
    pub async fn woken(&mut self) -> Wake {
        match self.called().await {
            Some(wake) => wake,
            // It was woken before, or is served; it waits for nothing more.
            None => std::future::pending().await,
        }
    }

    /// The same; none, where nobody will.
    pub(super) async fn called(&mut self) -> Option<Wake> {
        if self.woken.is_terminated() {
            return None;
        }
        let call = (&mut self.woken).await.ok()?;
        Some(Wake {
            call,
            board: Arc::clone(&self.board),
        })
    }

    pub(super) fn worker(&self) -> Arc<Worker> {
        Arc::clone(&self.worker)
    }

    /// Has a commit that queues something run this, instead of waking it.
    pub(super) fn park(&self, lease: Box<dyn Operation>) {
        if let Some(waiting) = self.board.lock().waiting.get_mut(&self.ticket) {
            waiting.parked = Some(Parked(lease));
        }
    }

    /// Whether it is still in line; it is not from now on.
    pub(super) fn leave(&self) -> bool {
        // Its lease goes when the board is free again: with it may go whatever it holds.
        let left = self.board.lock().leave(self.ticket);
        left.is_some()
    }

    /// Nobody has drawn or woken it.
    #[cfg(test)]
    pub(super) fn is_in_line(&self) -> bool {
        self.board.lock().waiting.contains_key(&self.ticket)
    }

    /// Whether tasks wait now that such a worker may have, though perhaps not this one.
    #[must_use]
    pub fn has_queued(&self) -> bool {
        let lines = self.board.lock();
        let is_for_it = |(demands, queued): (&Requirements, &i64)| {
            *queued > 0 && demands.unmet(&self.worker.traits).is_none()
        };
        let of = |operation| lines.operations.get(operation);
        let mut lines_of_it = self.worker.operations.iter().filter_map(of);
        lines_of_it.any(|line: &Line| line.queued.iter().any(is_for_it))
    }
}

impl Drop for WorkWatch {
    fn drop(&mut self) {
        self.leave();
        // Woken, and it does not come any more: another's turn.
        if let Ok(call) = self.woken.try_recv() {
            let mut lines = self.board.lock();
            lines.wake_one(&call.class, call.until);
        }
    }
}

/// The turn to look for a task. Once it is dropped it goes to the next that waits, if tasks of that operation are still
/// queued: this worker may have got others, or may not have these.
#[derive(Debug)]
pub struct Wake {
    call: Box<Call>,
    board: Arc<Board>,
}

impl Drop for Wake {
    fn drop(&mut self) {
        let mut lines = self.board.lock();
        lines.wake_one(&self.call.class, self.call.until);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use protocol::requirements::{GpuArchitecture, GpuTraits};

    use super::*;

    fn cpu() -> WorkerTraits {
        WorkerTraits::default()
    }

    fn anywhere(operation: &OperationId) -> Class {
        Class {
            operation: operation.clone(),
            requirements: Requirements::default(),
        }
    }

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
        let mut first = board.wait(std::slice::from_ref(&hash), &cpu());
        let mut both = board.wait(&[hash.clone(), embed.clone()], &cpu());
        let mut last = board.wait(std::slice::from_ref(&hash), &cpu());
        board.changed(&anywhere(&embed), 1);
        assert!(!is_woken(&mut first) && is_woken(&mut both) && !is_woken(&mut last));
        board.changed(&anywhere(&hash), 1);
        assert!(is_woken(&mut first) && !is_woken(&mut last));
        board.changed(&anywhere(&hash), 5);
        assert!(is_woken(&mut last));
        assert!(last.has_queued() && both.has_queued());
    }

    #[test]
    fn who_went_away_is_woken_for_nothing() {
        let board = Arc::new(Board::default());
        let hash = operation("sha256_batch");
        let gone = board.wait(std::slice::from_ref(&hash), &cpu());
        let mut other = board.wait(std::slice::from_ref(&hash), &cpu());
        drop(gone);
        board.changed(&anywhere(&hash), 1);
        assert!(is_woken(&mut other));
    }

    #[test]
    fn a_turn_that_is_not_taken_goes_to_the_next() {
        let board = Arc::new(Board::default());
        let hash = operation("sha256_batch");
        let mut first = board.wait(std::slice::from_ref(&hash), &cpu());
        let unheard = board.wait(std::slice::from_ref(&hash), &cpu());
        let mut last = board.wait(std::slice::from_ref(&hash), &cpu());
        board.changed(&anywhere(&hash), 1);
        let wake = first.woken().now_or_never().unwrap();
        // It looks again by itself, behind the others.
        let mut again = board.wait(std::slice::from_ref(&hash), &cpu());
        drop(wake);
        drop(unheard);
        assert!(last.woken().now_or_never().is_some(), "dropped at once");
        assert!(!is_woken(&mut again), "it would go round for ever");
    }

    #[test]
    fn a_turn_that_led_to_another_operations_task_goes_on() {
        let board = Arc::new(Board::default());
        let (hash, embed) = (operation("sha256_batch"), operation("embed"));
        let mut both = board.wait(&[hash.clone(), embed.clone()], &cpu());
        let mut other = board.wait(std::slice::from_ref(&hash), &cpu());
        board.changed(&anywhere(&hash), 1);
        let wake = both.woken().now_or_never().unwrap();
        board.changed(&anywhere(&embed), 1);
        // It took the text.
        board.changed(&anywhere(&embed), -1);
        drop(wake);
        assert!(is_woken(&mut other));
    }

    #[test]
    fn a_turn_ends_where_nothing_is_queued_any_more() {
        let board = Arc::new(Board::default());
        let hash = operation("sha256_batch");
        let mut first = board.wait(std::slice::from_ref(&hash), &cpu());
        let mut other = board.wait(std::slice::from_ref(&hash), &cpu());
        board.changed(&anywhere(&hash), 1);
        let wake = first.woken().now_or_never().unwrap();
        board.changed(&anywhere(&hash), -1);
        drop(wake);
        assert!(!is_woken(&mut other));
    }

    #[test]
    fn tasks_that_are_taken_wake_nobody_and_are_counted() {
        let board = Arc::new(Board::default());
        let hash = operation("sha256_batch");
        board.changed(&anywhere(&hash), 2);
        let mut watch = board.wait(std::slice::from_ref(&hash), &cpu());
        assert!(watch.has_queued() && !is_woken(&mut watch));
        board.changed(&anywhere(&hash), -2);
        assert!(!watch.has_queued() && !is_woken(&mut watch));
    }

    /// Whatever names workers ask for, nothing of them stays.
    #[test]
    fn nothing_is_left_of_those_that_waited() {
        let board = Arc::new(Board::default());
        for number in 0..100 {
            let watch = board.wait(&[operation(&format!("no-such-{number}"))], &cpu());
            drop(watch);
        }
        let hash = operation("sha256_batch");
        let watch = board.wait(&[hash.clone(), operation("other")], &cpu());
        board.changed(&anywhere(&hash), 1);
        board.changed(&anywhere(&hash), -1);
        drop(watch);
        let lines = board.lock();
        assert!(lines.operations.is_empty() && lines.waiting.is_empty());
    }

    #[test]
    fn a_task_wakes_the_first_that_may_have_it() {
        let board = Arc::new(Board::default());
        let hash = operation("sha256_batch");
        let gpu = WorkerTraits {
            gpus: vec![GpuTraits {
                architecture: Some(GpuArchitecture::Hopper),
                memory_bytes: None,
            }],
            ..WorkerTraits::default()
        };
        let only = std::slice::from_ref(&hash);
        let mut without = board.wait(only, &cpu());
        let mut with = board.wait(only, &gpu);
        let demanding = Class {
            requirements: Requirements {
                gpu_attested: true,
                ..Requirements::default()
            },
            ..anywhere(&hash)
        };
        board.changed(&demanding, 1);
        assert!(is_woken(&mut with) && !is_woken(&mut without));
        assert!(with.has_queued() && !without.has_queued());
        // Nor does a turn that led to nothing go on to it.
        drop(with);
        assert!(!is_woken(&mut without));
        board.changed(&anywhere(&hash), 1);
        assert!(is_woken(&mut without));
    }
}
