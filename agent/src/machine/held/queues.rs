//! What is next: the order in which held tasks are fetched, run, uploaded, acknowledged and given back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kernels::executor::Work;
use protocol::lease::{Fault, LeaseRef, Nack};
use protocol::limits::BATCH_TASKS_MAX;

use super::{Finished, Held, Stage};
use crate::session::Offer;

/// Inputs of so many tasks are fetched at once: enough to fill the connection, few enough to finish the first one soon.
const FETCHES_MAX: usize = 4;
const UPLOADS_MAX: usize = 4;
/// So long the gateway may be unable to serve one task's inputs: longer than it keeps a stale session. A blob that is lost
/// or spoilt stays so, and its task must not hold a place, and everybody's reports back, for ever.
const UNSERVED_MAX: Duration = Duration::from_mins(2);
/// Works in one run of the executor: amortises a round trip of the socket, and a cancelled one waits for few others.
const RUN_WORKS_MAX: usize = 256;
/// A finished task waits this long for others to share its signature.
const ACK_LINGER: Duration = Duration::from_millis(4);
/// Inline outputs and leaves of one ack: half of what a worker message may have.
const ACK_BYTES_MAX: usize = protocol::limits::WORKER_BODY_BYTES_MAX / 2;

/// Leases in order. One whose task is gone, or at another stage, is skipped when its turn comes.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) waiting: VecDeque<LeaseRef>,
    pub(super) to_fetch: VecDeque<LeaseRef>,
    pub(super) ready: VecDeque<LeaseRef>,
    pub(super) not_run: Vec<LeaseRef>,
    pub(super) suspects: Vec<LeaseRef>,
    pub(super) to_upload: VecDeque<LeaseRef>,
    finished: VecDeque<LeaseRef>,
    finished_since: Option<Duration>,
    pub(super) nacks: VecDeque<Nack>,
    fetching: usize,
    uploading: usize,
}

impl Queues {
    pub(super) fn finished(&mut self, lease: LeaseRef, now: Duration) {
        self.finished.push_back(lease);
        self.finished_since.get_or_insert(now);
    }

    /// A task left while a request for it was on its way: its answer will find nothing, so its place is free now.
    pub(super) fn removed(&mut self, stage: &Stage) {
        match stage {
            Stage::Fetching => self.fetching = self.fetching.saturating_sub(1),
            Stage::Uploading(_) => self.uploading = self.uploading.saturating_sub(1),
            _ => {}
        }
    }

    pub(super) fn ack_at(&self) -> Option<Duration> {
        Some(self.finished_since?.saturating_add(ACK_LINGER))
    }
}

/// Inputs.
impl Held {
    pub(in crate::machine) fn fetches(&mut self) -> Vec<Arc<Offer>> {
        let mut offers = Vec::new();
        while self.queues.fetching < FETCHES_MAX {
            let Some(lease) = self.queues.to_fetch.pop_front() else {
                break;
            };
            if let Some(task) = self.tasks.get_mut(&lease)
                && matches!(task.stage, Stage::ToFetch)
            {
                task.stage = Stage::Fetching;
                self.queues.fetching = self.queues.fetching.saturating_add(1);
                offers.push(Arc::clone(&task.offer));
            }
        }
        offers
    }

    pub(in crate::machine) fn fetched(&mut self, lease: &LeaseRef, work: Work) {
        if self.fetch_ended(lease, Stage::Ready(work)) {
            self.queues.ready.push_back(*lease);
        }
    }

    pub(in crate::machine) fn fetch_again(&mut self, lease: &LeaseRef) {
        if self.fetch_ended(lease, Stage::ToFetch) {
            self.queues.to_fetch.push_back(*lease);
        }
    }

    /// As [`Held::fetch_again`], unless it has failed for too long. True when the task was given back.
    pub(in crate::machine) fn fetch_failed(&mut self, now: Duration, lease: &LeaseRef) -> bool {
        let Some(task) = self.tasks.get_mut(lease) else {
            return false;
        };
        let since = *task.unserved_since.get_or_insert(now);
        let gives_up = now >= since.saturating_add(UNSERVED_MAX);
        if gives_up {
            self.fail(lease, "the gateway could not serve the task's inputs");
        } else {
            self.fetch_again(lease);
        }
        gives_up
    }

    /// The inputs cannot be had: given back with the fault, or dropped when the lease is lost anyway.
    pub(in crate::machine) fn fetch_refused(&mut self, lease: &LeaseRef, fault: Option<Fault>) {
        match fault {
            Some(fault) => self.nack_task(lease, fault),
            None => self.remove(lease),
        }
    }

    /// Whether the task was still waiting for it.
    fn fetch_ended(&mut self, lease: &LeaseRef, next: Stage) -> bool {
        match self.stage_mut(lease) {
            Some(stage @ Stage::Fetching) => {
                *stage = next;
                self.queues.fetching = self.queues.fetching.saturating_sub(1);
                true
            }
            _ => false,
        }
    }

    /// Transfers on their way came to nothing.
    pub(in crate::machine) fn disconnected(&mut self) {
        for task in self.tasks.values_mut() {
            task.unserved_since = None;
        }
        let on_their_way = |wanted: fn(&Stage) -> bool| {
            let tasks = self.tasks.iter().filter(|(_, task)| wanted(&task.stage));
            tasks.map(|(lease, _)| *lease).collect::<Vec<_>>()
        };
        let fetching = on_their_way(|stage| matches!(stage, Stage::Fetching));
        let uploading = on_their_way(|stage| matches!(stage, Stage::Uploading(_)));
        for lease in fetching {
            self.fetch_again(&lease);
        }
        for lease in uploading {
            self.upload_again(&lease);
        }
    }
}

/// Runs.
impl Held {
    /// The next works for the executor: all that are ready, up to a limit, or one that is under suspicion. `apart`: with a
    /// model or without one, as the first is; the others come next. A lease that may have run out meanwhile waits for its
    /// renewal.
    pub(in crate::machine) fn next_run(
        &mut self,
        now: Duration,
        apart: bool,
    ) -> Vec<(LeaseRef, Work)> {
        let mut works: Vec<(LeaseRef, Work)> = Vec::new();
        let (mut expired, mut others) = (Vec::new(), Vec::new());
        while works.len() < RUN_WORKS_MAX {
            let Some(lease) = self.queues.ready.pop_front() else {
                break;
            };
            let Some(task) = self.tasks.get_mut(&lease) else {
                continue;
            };
            let Stage::Ready(work) = &task.stage else {
                continue;
            };
            if now >= task.expires_at {
                expired.push(lease);
                continue;
            }
            if let Some((_, first)) = works.first() {
                if task.is_suspect {
                    self.queues.ready.push_front(lease);
                    break;
                }
                if apart && first.has_model() != work.has_model() {
                    others.push(lease);
                    continue;
                }
            }
            let work = work.clone();
            task.stage = Stage::Running {
                work: work.clone(),
                dropped_at: None,
            };
            works.push((lease, work));
            if task.is_suspect {
                break;
            }
        }
        for lease in others.into_iter().rev() {
            self.queues.ready.push_front(lease);
        }
        self.queues.ready.extend(expired);
        works
    }
}

/// Outputs.
impl Held {
    pub(in crate::machine) fn uploads(&mut self) -> Vec<Arc<Finished>> {
        let mut uploads = Vec::new();
        while self.queues.uploading < UPLOADS_MAX {
            let Some(lease) = self.queues.to_upload.pop_front() else {
                break;
            };
            let Some(stage) = self.stage_mut(&lease) else {
                continue;
            };
            if let Stage::ToUpload(finished) = stage {
                let finished = Arc::clone(finished);
                *stage = Stage::Uploading(Arc::clone(&finished));
                uploads.push(finished);
                self.queues.uploading = self.queues.uploading.saturating_add(1);
            }
        }
        uploads
    }

    pub(in crate::machine) fn uploaded(&mut self, now: Duration, lease: &LeaseRef) {
        if let Some(finished) = self.upload_ended(lease)
            && let Some(stage) = self.stage_mut(lease)
        {
            *stage = Stage::Finished(finished);
            self.queues.finished(*lease, now);
        }
    }

    pub(in crate::machine) fn upload_again(&mut self, lease: &LeaseRef) {
        if let Some(finished) = self.upload_ended(lease)
            && let Some(stage) = self.stage_mut(lease)
        {
            *stage = Stage::ToUpload(finished);
            self.queues.to_upload.push_back(*lease);
        }
    }

    pub(in crate::machine) fn upload_refused(&mut self, lease: &LeaseRef, message: &str) {
        self.fail(lease, message);
    }

    fn upload_ended(&mut self, lease: &LeaseRef) -> Option<Arc<Finished>> {
        let finished = match self.stage_mut(lease) {
            Some(Stage::Uploading(finished)) => Arc::clone(finished),
            _ => return None,
        };
        self.queues.uploading = self.queues.uploading.saturating_sub(1);
        Some(finished)
    }
}

/// Reports.
impl Held {
    /// The next ack batch, oldest first: when it is full, when its first task has waited long enough, or in a hurry.
    pub(in crate::machine) fn next_ack(
        &mut self,
        now: Duration,
        hurry: bool,
    ) -> Vec<Arc<Finished>> {
        let lingered = self.queues.ack_at().is_some_and(|at| now >= at);
        if !(lingered || hurry || self.queues.finished.len() >= BATCH_TASKS_MAX) {
            return Vec::new();
        }
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        while batch.len() < BATCH_TASKS_MAX {
            let Some(lease) = self.queues.finished.front().copied() else {
                break;
            };
            let Some(Stage::Finished(finished)) = self.tasks.get(&lease).map(|task| &task.stage)
            else {
                self.queues.finished.pop_front();
                continue;
            };
            let finished = Arc::clone(finished);
            bytes = bytes.saturating_add(finished.ack_bytes());
            if bytes > ACK_BYTES_MAX && !batch.is_empty() {
                break;
            }
            self.queues.finished.pop_front();
            if let Some(stage) = self.stage_mut(&lease) {
                *stage = Stage::Acking(Arc::clone(&finished));
            }
            batch.push(finished);
        }
        self.queues.finished_since = self.queues.finished.front().map(|_| now);
        batch
    }

    pub(in crate::machine) fn ack_again(&mut self, leases: &[LeaseRef], now: Duration) {
        for lease in leases.iter().rev() {
            let Some(stage) = self.stage_mut(lease) else {
                continue;
            };
            if let Stage::Acking(finished) = stage {
                *stage = Stage::Finished(Arc::clone(finished));
                self.queues.finished.push_front(*lease);
                self.queues.finished_since.get_or_insert(now);
            }
        }
    }

    pub(in crate::machine) fn next_nack(&mut self) -> Vec<Nack> {
        let count = self.queues.nacks.len().min(BATCH_TASKS_MAX);
        self.queues.nacks.drain(..count).collect()
    }

    pub(in crate::machine) fn nack_again(&mut self, nacks: Vec<Nack>) {
        for nack in nacks.into_iter().rev() {
            self.queues.nacks.push_front(nack);
        }
    }
}
