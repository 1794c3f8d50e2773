//! What every part of a running gateway shares.

use std::path::PathBuf;
use std::sync::Arc;

use attestation::ErrorCode;
use protocol::api::{TaskCounts, WorkerCounts};
use protocol::{SessionId, TaskId};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::abandoned::Abandoned;
use crate::admission::RelyingParty;
use crate::blobs::Blobs;
use crate::metrics::Metrics;
use crate::session::Schedule;
use crate::shares::Shares;
use crate::store::{CancelOutcome, Counts, Order, Store, StoreError, TaskScope};
use crate::worker::{Command, Sessions};
use crate::world::Clock;

/// One running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    /// What each user of the API may take.
    pub(crate) shares: Shares,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) relying_party: Arc<RelyingParty>,
    pub(crate) sessions: Sessions,
    /// Read again when an operator says so, by one at a time: what was read last is in force.
    pub(crate) policy_file: Mutex<PathBuf>,
    /// NVIDIA's reference manifests, if there are any.
    pub(crate) gpu_references_dir: Option<PathBuf>,
    pub(crate) schedule: Schedule,
    pub(crate) lease_duration_ms: u64,
    /// From a task's end until it is forgotten.
    pub(crate) retention_ms: u64,
    pub(crate) started_ms: u64,
    /// Tasks that nobody wants any more.
    pub(crate) abandoned: Abandoned,
    /// Set when the gateway begins to stop: nothing new is begun, long polls answer at once.
    pub(crate) stopping: CancellationToken,
}

impl Gateway {
    /// Wall clock, Unix milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_us() / 1_000
    }

    pub(crate) fn new_session_id(&self) -> Result<SessionId, ErrorCode> {
        let random = random_bytes().map(u128::from_be_bytes)?;
        Ok(SessionId::from_parts(self.now_ms(), random))
    }

    /// Ids that sort in the order of the batch.
    pub(crate) fn new_task_ids(&self) -> Result<impl Iterator<Item = TaskId> + use<>, ErrorCode> {
        let now_ms = self.now_ms();
        let first = random_bytes().map(u128::from_be_bytes)?;
        // The highest of the 80 random bits is left clear, so that a batch cannot run over into the time.
        let first = first & (u128::MAX >> 49);
        Ok((first..).map(move |random| TaskId::from_parts(now_ms, random)))
    }

    /// Cancels what is not finished, and tells the workers that run it.
    pub(crate) async fn cancel(
        &self,
        scope: TaskScope,
        tasks: Vec<TaskId>,
    ) -> Result<Vec<CancelOutcome>, StoreError> {
        let outcomes = self.store.cancel(scope, tasks, self.now_ms()).await?;
        for outcome in &outcomes {
            if let CancelOutcome::Cancelled {
                running: Some(running),
            } = outcome
            {
                self.obey(Order::Cancel(running.clone()));
            }
        }
        Ok(outcomes)
    }

    /// Tells the session that it is about, if that is here.
    pub(crate) fn obey(&self, order: Order) {
        match order {
            Order::Cancel(running) => {
                if let Some(session) = self.sessions.of(&running.worker) {
                    session.tell(Command::Cancel(vec![running.lease]));
                }
            }
            Order::Drain(worker) => {
                if let Some(session) = self.sessions.of(&worker) {
                    session.tell(Command::Drain("an operator asked for it".to_owned()));
                }
            }
            Order::Remove(worker) => {
                if let Some(session) = self.sessions.of(&worker) {
                    session.ended.cancel();
                }
            }
        }
    }

    /// Counts how long a call of the store takes.
    pub(crate) async fn timed<T>(&self, call: &'static str, work: impl Future<Output = T>) -> T {
        let began = self.clock.monotonic();
        let outcome = work.await;
        let took = self.clock.monotonic().saturating_sub(began);
        self.metrics.store_call(call, took);
        outcome
    }

    /// Whether a root is not its vendor's: then the pool proves nothing.
    pub(crate) fn is_simulated(&self) -> bool {
        self.relying_party.trust_anchor() != &attestation::TrustAnchor::intel()
            || self.relying_party.gpu_trust_anchor() != &attestation::gpu::GpuTrustAnchor::nvidia()
    }

    /// Tasks and workers by state, from the store's counts and the live sessions.
    pub(crate) fn counts(&self, counts: Counts) -> (TaskCounts, WorkerCounts) {
        let (live, stale) = self.sessions.counts();
        let workers = WorkerCounts {
            enrolled: counts.workers_enrolled,
            live,
            stale,
            draining: counts.workers_draining,
        };
        (counts.tasks, workers)
    }
}

/// A uniformly distributed value, for jitter.
pub(crate) fn random_u16() -> Result<u16, ErrorCode> {
    random_bytes().map(u16::from_be_bytes)
}

fn random_bytes<const N: usize>() -> Result<[u8; N], ErrorCode> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gives no random bytes");
        ErrorCode::Internal
    })?;
    Ok(bytes)
}
