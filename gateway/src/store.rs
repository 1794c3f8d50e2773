//! Everything that must survive: tasks and their queue, outputs and receipts, workers, attestations, access tokens.
//!
//! Every method takes many or joins many: writes that wait share one transaction and one flush, and a method returns once
//! its effect is on disk; only a parked lease may be told of before. `now_ms` is an argument everywhere. [`Store`] is the only
//! door; the database behind it is SQLite or PostgreSQL (`database`), each held to the same conformance suite (`store/tests`).

mod access;
mod attestations;
mod blobs;
mod board;
mod database;
mod error;
mod grants;
mod notice;
mod parked;
mod queue;
mod reappraisals;
mod records;
mod registry;
mod requests;
mod submission;
#[cfg(test)]
pub(crate) mod tests;
mod views;
mod watch;
mod workers;

use std::sync::Arc;

use protocol::api::{TaskList, TaskView};
use protocol::control::RenewedLease;
use protocol::lease::{AckOutcome, Lease, LeaseRef, Nack, NackOutcome, OperationId};
use protocol::receipt::Receipt;
use protocol::requirements::WorkerTraits;
use protocol::task::TaskState;
use protocol::{TaskId, WorkerId};

pub use board::{Wake, WorkWatch};
pub use database::{AddressError, Location, Server};
pub use error::{OpenError, StoreError};
pub use notice::Order;
pub use parked::{ParkEnd, ParkedLease};
pub use records::{
    AccessGrant, AccessRole, AccessRoleError, AccessTokenId, AccessTokenRecord, CreateWorkerError,
    Document, EnrolmentSecret, NewAccessToken, NewAttestation, NewReappraisal, NewSession,
    RefusalRecord, StoredAttestation, WorkerRecord,
};
pub use requests::{
    Age, BlobExcess, BlobStanding, CancelOutcome, ClaimsBefore, Class, Counts, Expired, LeaseError,
    LeaseInputError, LeaseQuery, ListQuery, LookupError, Payload, PrunePlace, Pruned,
    RecordBlobError, RedriveOutcome, RenewQuery, RunningLease, StoredOutput, Success, TaskScope,
    TaskStanding, WriteStatistics,
};
pub use submission::{
    InputBytes, NewTask, SpecificationError, SubmitError, Submitted, TaskSpecification,
};
pub use watch::TaskWatch;

use grants::Grants;
use notice::Notices;
use tokio::sync::{Mutex, mpsc};

use crate::receipts::VerifiedBatch;
use database::{Caller, Connection, Database, Sharing, Weight, WriteScope};
use watch::Watchers;

/// Tasks that are looked up where their request is: each takes some 10 µs.
const LOOK_TASKS_MAX: usize = 4;

/// A handle on the database. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    database: Arc<Database>,
    watchers: Arc<Watchers>,
    grants: Arc<Grants>,
    orders: Arc<Mutex<mpsc::Receiver<Order>>>,
    queued_per_user_max: u64,
    blob_bytes_per_user_max: u64,
}

impl Store {
    /// Opens the database of a gateway, and makes its tables where there are none. A file is for its owner alone, since it holds
    /// enrolment secrets, and for one gateway at a time.
    pub async fn open(location: impl Into<Location>) -> Result<Self, OpenError> {
        Self::open_as(location.into(), Sharing::Exclusive).await
    }

    /// Opens the database for an administrative command while a gateway may run on it.
    pub async fn open_beside(location: impl Into<Location>) -> Result<Self, OpenError> {
        Self::open_as(location.into(), Sharing::Beside).await
    }

    async fn open_as(location: Location, sharing: Sharing) -> Result<Self, OpenError> {
        let watchers = Watchers::new();
        let mut origin = [0; 8];
        getrandom::fill(&mut origin).map_err(|_| OpenError::Random)?;
        let (notices, orders) = Notices::new(Arc::clone(&watchers), u64::from_ne_bytes(origin));
        let notices = Arc::new(notices);
        let opened =
            tokio::task::spawn_blocking(move || Database::open(&location, sharing, &notices)).await;
        let database = opened.map_err(|_| OpenError::Store(StoreError::Closed))??;
        Ok(Self {
            database: Arc::new(database),
            watchers,
            grants: Arc::default(),
            orders: Arc::new(Mutex::new(orders)),
            queued_per_user_max: u64::MAX,
            blob_bytes_per_user_max: u64::MAX,
        })
    }

    /// With a limit to how many tasks of one user wait at a time.
    #[must_use]
    pub fn with_queued_per_user_max(self, queued_per_user_max: u64) -> Self {
        Self {
            queued_per_user_max,
            ..self
        }
    }

    /// With a limit to how many bytes the blobs of one user have.
    #[must_use]
    pub fn with_blob_bytes_per_user_max(self, blob_bytes_per_user_max: u64) -> Self {
        Self {
            blob_bytes_per_user_max,
            ..self
        }
    }

    /// … which is this.
    pub(crate) fn blob_bytes_per_user_max(&self) -> u64 {
        self.blob_bytes_per_user_max
    }

    /// Answers what waits, then closes. Every later call, on any clone, fails with [`StoreError::Closed`].
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Queues tasks, each for itself. Turned away with [`StoreError::Overloaded`] where too many writes wait already.
    pub async fn submit(
        &self,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submitted, SubmitError>>, StoreError> {
        self.submit_for(Caller::Submitter, tasks).await
    }

    /// The same for somebody who waits until the tasks have ended: where workers take them up at once, the answer may come with
    /// the first ack, or a moment later than otherwise.
    pub async fn submit_awaited(
        &self,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submitted, SubmitError>>, StoreError> {
        self.submit_for(Caller::Awaiter, tasks).await
    }

    async fn submit_for(
        &self,
        caller: Caller,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submitted, SubmitError>>, StoreError> {
        let bytes = tasks.iter().map(|task| task.specification.payload_bytes());
        let weight = Weight {
            rows: tasks.len(),
            bytes: bytes.fold(0, u64::saturating_add),
        };
        let queued_max = self.queued_per_user_max;
        let operation = move |scope: &mut WriteScope<'_>| queue::submit(scope, &tasks, queued_max);
        self.database.write(weight, caller, operation).await
    }

    /// Leases the first tasks that the worker can run; none when the queue has none for it.
    pub async fn lease(&self, query: LeaseQuery) -> Result<Vec<Lease>, LeaseError> {
        let weight = Weight::rows(query.tasks_max);
        let leased = self.database.write(weight, Caller::Pool, move |scope| {
            queue::lease(scope, &query)
        });
        leased.await.map_err(LeaseError::Store)?
    }

    /// Leases in the very commit that queues something for the worker. `query` is called then, with the operations that the watch
    /// is for; without one nothing is leased.
    pub fn park(
        &self,
        watch: WorkWatch,
        query: impl Fn(&[OperationId]) -> Option<LeaseQuery> + Send + 'static,
    ) -> ParkedLease {
        let worker = watch.worker();
        ParkedLease::new(watch, move |scope| match query(&worker.operations) {
            Some(query) => queue::lease(scope, &query),
            None => Ok(Ok(Vec::new())),
        })
    }

    /// Extends leases; one entry for each, in order.
    pub async fn renew(&self, query: RenewQuery) -> Result<Vec<RenewedLease>, StoreError> {
        let weight = Weight::rows(query.leases.len());
        let operation = move |scope: &mut WriteScope<'_>| queue::renew(scope, &query);
        self.database.write(weight, Caller::Pool, operation).await
    }

    /// One input of a task, for the worker that holds its lease.
    pub async fn lease_input(
        &self,
        worker: &WorkerId,
        lease: LeaseRef,
        index: usize,
    ) -> Result<Payload, LeaseInputError> {
        let look = {
            let worker = worker.clone();
            move |connection: &Connection| queue::lease_input(connection, &worker, lease, index)
        };
        let read = self.database.read(look.clone()).await;
        match read.map_err(LeaseInputError::Store)? {
            // A task that is not on disk yet is known to the writer alone.
            Err(LeaseInputError::UnknownTask) => {
                let written = self
                    .database
                    .write(Weight::ROW, Caller::Pool, move |scope| {
                        look(scope.connection)
                    });
                written.await.map_err(LeaseInputError::Store)?
            }
            found => found,
        }
    }

    /// Records outputs and receipts. What is accepted is on disk, and is the task's only output for ever.
    pub async fn ack(
        &self,
        batch: VerifiedBatch,
        now_ms: u64,
    ) -> Result<Vec<AckOutcome>, StoreError> {
        let weight = Weight {
            rows: batch.acks().len(),
            bytes: batch.payload_bytes(),
        };
        let operation = move |scope: &mut WriteScope<'_>| queue::ack(scope, &batch, now_ms);
        self.database.write(weight, Caller::Pool, operation).await
    }

    /// Takes back what a worker gives back.
    pub async fn nack(
        &self,
        worker: &WorkerId,
        nacks: Vec<Nack>,
        now_ms: u64,
    ) -> Result<Vec<NackOutcome>, StoreError> {
        let (weight, worker) = (Weight::rows(nacks.len()), worker.clone());
        let operation =
            move |scope: &mut WriteScope<'_>| queue::nack(scope, &worker, &nacks, now_ms);
        self.database.write(weight, Caller::Pool, operation).await
    }

    /// Takes back leases that ran out and sets aside tasks whose deadline passed. To be called each second.
    pub async fn expire(&self, now_ms: u64) -> Result<Expired, StoreError> {
        let operation = move |scope: &mut WriteScope<'_>| queue::expire(scope, now_ms);
        self.database
            .write(Weight::ROW, Caller::Pool, operation)
            .await
    }

    /// Forgets old tasks with their outputs and receipts: one step of a pass, from there on.
    pub async fn prune(&self, from: PrunePlace, age: Age) -> Result<Pruned, StoreError> {
        let operation = move |scope: &mut WriteScope<'_>| queue::prune(scope, from, age);
        self.database
            .write(Weight::ROW, Caller::Pool, operation)
            .await
    }

    /// Cancels tasks, and says whom to tell.
    pub async fn cancel(
        &self,
        whose: TaskScope,
        tasks: Vec<TaskId>,
        now_ms: u64,
    ) -> Result<Vec<CancelOutcome>, StoreError> {
        let weight = Weight::rows(tasks.len());
        let operation =
            move |scope: &mut WriteScope<'_>| queue::cancel(scope, &whose, &tasks, now_ms);
        self.database.write(weight, Caller::Pool, operation).await
    }

    /// Returns dead letters to the queue.
    pub async fn redrive(&self, tasks: Vec<TaskId>) -> Result<Vec<RedriveOutcome>, StoreError> {
        let weight = Weight::rows(tasks.len());
        let operation = move |scope: &mut WriteScope<'_>| queue::redrive(scope, &tasks);
        self.database.write(weight, Caller::Pool, operation).await
    }

    /// One view for each task, in order.
    pub async fn tasks(
        &self,
        whose: TaskScope,
        tasks: Vec<TaskId>,
    ) -> Result<Vec<Option<TaskView>>, StoreError> {
        let are_few = tasks.len() <= LOOK_TASKS_MAX;
        let view = move |connection: &Connection| views::tasks(connection, &whose, &tasks);
        if are_few {
            self.database.look(view).await
        } else {
            self.database.read(view).await
        }
    }

    /// How far one task has come.
    pub async fn task_state(
        &self,
        whose: TaskScope,
        task: TaskId,
    ) -> Result<Option<TaskState>, StoreError> {
        self.database
            .look(move |connection| views::state(connection, &whose, task))
            .await
    }

    /// One page of tasks, newest first.
    pub async fn list(&self, query: ListQuery) -> Result<TaskList, StoreError> {
        self.database
            .read(move |connection| views::list(connection, &query))
            .await
    }

    /// Where a task stands in the queue.
    pub async fn standing(
        &self,
        whose: TaskScope,
        task: TaskId,
    ) -> Result<Option<TaskStanding>, StoreError> {
        self.database
            .read(move |connection| views::standing(connection, &whose, task))
            .await
    }

    /// How many tasks of these operations wait.
    pub async fn queued(&self, operations: Vec<OperationId>) -> Result<u64, StoreError> {
        self.database
            .read(move |connection| views::queued(connection, &operations))
            .await
    }

    /// The output of a task.
    pub async fn output(
        &self,
        whose: TaskScope,
        task: TaskId,
    ) -> Result<StoredOutput, LookupError> {
        let read = self
            .database
            .read(move |connection| views::output(connection, &whose, task));
        read.await.map_err(LookupError::Store)?
    }

    /// The receipt of a task, with its inclusion proof.
    pub async fn receipt(&self, whose: TaskScope, task: TaskId) -> Result<Receipt, LookupError> {
        let read = self
            .database
            .read(move |connection| views::receipt(connection, &whose, task));
        read.await.map_err(LookupError::Store)?
    }

    /// The attestation that a task's receipt points at.
    pub async fn task_attestation(
        &self,
        whose: TaskScope,
        task: TaskId,
    ) -> Result<StoredAttestation, LookupError> {
        let read = self
            .database
            .read(move |connection| views::task_attestation(connection, &whose, task));
        read.await.map_err(LookupError::Store)?
    }

    /// The next thing that another gateway on the same database wants a session of this one to hear. Each goes to one caller;
    /// on SQLite there are none.
    pub async fn order(&self) -> Order {
        match self.orders.lock().await.recv().await {
            Some(order) => order,
            // Nobody listens any more.
            None => std::future::pending().await,
        }
    }

    /// Whether the database can be read.
    pub async fn answers(&self) -> Result<(), StoreError> {
        self.database.read(views::answers).await
    }

    /// How many there are of each. Cheap: tasks are counted by flow, of which a user has a bounded number.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.database.read(views::counts).await
    }

    /// What the writer did since the store was opened.
    #[must_use]
    pub fn write_statistics(&self) -> WriteStatistics {
        self.database.write_statistics()
    }

    /// Waits for tasks of these operations that such a worker may have. Make it first, then look for some with [`Store::lease`].
    #[must_use]
    pub fn watch_work(&self, operations: &[OperationId], traits: &WorkerTraits) -> WorkWatch {
        self.watchers.board().wait(operations, traits)
    }

    /// Watches a task. Make it first, then read the task.
    #[must_use]
    pub fn watch_task(&self, task: TaskId) -> TaskWatch {
        TaskWatch::new(&self.watchers, task)
    }
}
