//! Flushes that wait for the end of what workers were told of at once: a file's alone do.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, mpsc};

use protocol::TaskId;
use protocol::lease::{AckOutcome, Lease, LeaseRef};
use protocol::task::TaskState;
use tokio::sync::Notify;

use super::harness::{NOW_MS, Pool, Worker, reference, served};
use crate::store::database::{Caller, Weight, WriteScope};
use crate::store::{
    NewTask, ParkedLease, Payload, Store, StoreError, SubmitError, Submitted, TaskScope, queue,
};

/// Under way, and not yet answered.
type Written<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>>>>;
type Submission = Result<Vec<Result<Submitted, SubmitError>>, StoreError>;

/// Holds up the writer until it goes.
struct Hold {
    entered: Arc<Notify>,
    _free: mpsc::Sender<()>,
}

impl Hold {
    fn new() -> (Self, impl Fn() + Send + 'static) {
        let (entered, (free, gone)) = (Arc::new(Notify::new()), mpsc::channel());
        let hold = Self {
            entered: Arc::clone(&entered),
            _free: free,
        };
        let waits = move || {
            entered.notify_one();
            assert!(gone.recv().is_err(), "nothing is sent");
        };
        (hold, waits)
    }
}

/// A transaction that is kept open, and workers know of a task in it.
struct Open {
    submitted: Written<Vec<Result<Submitted, SubmitError>>>,
    hold: Hold,
}

impl Open {
    /// The task is queued, given to whoever waits, and then somebody joins who waits as well.
    async fn with(store: &Store, task: NewTask) -> Self {
        let (first, waits) = Hold::new();
        let submit = move |scope: &mut WriteScope<'_>| {
            waits();
            queue::submit(scope, std::slice::from_ref(&task), u64::MAX)
        };
        let submitted = writes(store, Caller::Awaiter, submit).await;
        first.entered.notified().await;
        let (hold, waits) = Hold::new();
        let joins = writes(store, Caller::Awaiter, move |_| {
            waits();
            Ok(())
        });
        // It does not wait for its answer.
        drop(joins.await);
        drop(first);
        hold.entered.notified().await;
        Self { submitted, hold }
    }

    /// This joins too, and then the transaction goes on.
    async fn joined_by<T>(self, joining: impl Future<Output = T>) -> (Submission, T) {
        let mut joining = std::pin::pin!(joining);
        let early = futures_util::poll!(&mut joining);
        assert!(early.is_pending());
        drop(self.hold);
        let joined = joining.await;
        (self.submitted.await, joined)
    }
}

async fn writes<T: Send + 'static>(
    store: &Store,
    caller: Caller,
    operation: impl Fn(&mut WriteScope<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Written<T> {
    let database = Arc::clone(&store.database);
    let mut written: Written<T> =
        Box::pin(async move { database.write(Weight::ROW, caller, operation).await });
    assert!(futures_util::poll!(&mut written).is_pending());
    written
}

async fn told(parked: ParkedLease) -> Lease {
    let mut leases = served(parked).await;
    assert_eq!(leases.len(), 1);
    leases.remove(0)
}

async fn is_seen(store: &Store, task: TaskId) -> bool {
    let seen = store.tasks(TaskScope::All, vec![task]).await.unwrap();
    seen[0].is_some()
}

async fn started() -> (Pool, Worker, NewTask) {
    let mut pool = Pool::new().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.task();
    (pool, worker, task)
}

/// The one task was queued.
fn queues(submission: Submission, task: TaskId) {
    let was_known = false;
    let queued = vec![Ok(Submitted { task, was_known })];
    assert_eq!(submission.unwrap(), queued);
}

#[tokio::test]
async fn a_task_and_its_end_share_a_flush() {
    let (pool, worker, task) = started().await;
    let (id, parked) = (task.id, pool.park(&worker, 1));
    let before = pool.store.write_statistics();
    let open = Open::with(&pool.store, task).await;
    let lease = told(parked).await;
    assert_eq!((lease.task, lease.fencing_token.0), (id, 1));
    assert!(!is_seen(&pool.store, id).await, "nobody else knows of it");
    let ack = pool.ack_one(&worker, &lease);
    let (submitted, acked) = open.joined_by(ack).await;
    assert_eq!(acked, AckOutcome::Accepted);
    queues(submitted, id);
    let after = pool.store.write_statistics();
    assert_eq!(after.commits - before.commits, 1);
    assert_eq!(after.operations - before.operations, 4);
    assert_eq!(pool.state(id).await, TaskState::Succeeded);
}

#[tokio::test]
async fn a_flush_does_not_wait_for_a_long_task() {
    let (pool, worker, task) = started().await;
    let (id, parked) = (task.id, pool.park(&worker, 1));
    let submitted = pool.store.submit_awaited(vec![task]).await;
    queues(submitted, id);
    assert!(is_seen(&pool.store, id).await);
    let acked = pool.ack_one(&worker, &told(parked).await).await;
    assert_eq!(acked, AckOutcome::Accepted);
}

#[tokio::test]
async fn a_worker_that_was_told_early_has_its_inputs_at_once() {
    let (pool, worker, task) = started().await;
    let parked = pool.park(&worker, 1);
    let open = Open::with(&pool.store, task).await;
    let lease = reference(&told(parked).await);
    let input = pool.store.lease_input(&worker.id, lease, 0);
    let (_, input) = open.joined_by(input).await;
    assert!(matches!(input, Ok(Payload::Inline(_))), "{input:?}");
}

#[tokio::test]
async fn who_joins_and_fails_takes_nothing_along() {
    let (pool, worker, task) = started().await;
    let (id, parked) = (task.id, pool.park(&worker, 1));
    let open = Open::with(&pool.store, task).await;
    let lease = told(parked).await;
    let failing = writes(&pool.store, Caller::Pool, |_| fails()).await;
    let ack = pool.ack_one(&worker, &lease);
    let (submitted, acked) = open.joined_by(ack).await;
    assert!(matches!(failing.await, Err(StoreError::Unreadable { .. })));
    queues(submitted, id);
    assert_eq!(acked, AckOutcome::Accepted);
}

fn fails() -> Result<(), StoreError> {
    Err(StoreError::Unreadable { what: "a row" })
}

/// Its session became stale between the two times that the lease was drawn.
#[tokio::test]
async fn what_a_worker_was_told_comes_of_it_again_or_nothing_does() {
    let (pool, worker, task) = started().await;
    let (id, again) = (task.id, task.clone());
    let query = Cell::new(Some(worker.query(1, NOW_MS)));
    let idle = worker.query(1, NOW_MS);
    let watch = pool.store.watch_work(&idle.operations, &idle.traits);
    let parked = pool.store.park(watch, move |_| query.take());
    let open = Open::with(&pool.store, task).await;
    let lease = told(parked).await;
    let failing = writes(&pool.store, Caller::Pool, |_| fails()).await;
    let (submitted, failed) = open.joined_by(failing).await;
    assert!(matches!(submitted, Err(StoreError::Undone)));
    assert!(matches!(failed, Err(StoreError::Undone)));
    assert!(!is_seen(&pool.store, id).await);
    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::UnknownTask);
    // Nothing of it is left.
    let parked = pool.park(&worker, 1);
    pool.submit_task(again).await;
    assert_eq!(reference(&told(parked).await), reference(&lease));
}

#[tokio::test]
async fn a_store_that_closes_keeps_what_is_under_way() {
    let (pool, worker, task) = started().await;
    let (id, parked) = (task.id, pool.park(&worker, 1));
    let open = Open::with(&pool.store, task).await;
    let lease: LeaseRef = reference(&told(parked).await);
    assert_eq!(lease.task, id);
    let (submitted, ()) = open.joined_by(pool.store.close()).await;
    queues(submitted, id);
    let pool = pool.reopen().await;
    assert_eq!(pool.state(id).await, TaskState::Running);
}
