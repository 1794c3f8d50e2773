//! The tasks that this worker holds, each in its stage, from lease to accepted ack.

mod queues;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kernels::executor::Work;
use protocol::lease::{Fault, FaultKind, LeaseRef, Nack};
use protocol::limits::FAULT_MESSAGE_BYTES_MAX;

use super::event::{Answer, Finished};
use crate::session::Offer;
use queues::Queues;

/// Inputs and outputs held at once, by the sizes that tasks declare. One task alone may be larger.
pub(super) const HELD_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// No answer that is still of use was longer on its way.
const ARRIVAL_MAX: Duration = Duration::from_secs(1);

/// One held task.
#[derive(Debug)]
struct HeldTask {
    offer: Arc<Offer>,
    expires_at: Duration,
    /// Since when the gateway, on this connection, could not serve its inputs.
    unserved_since: Option<Duration>,
    /// It or one beside it lost an executor: the next time nothing runs beside it, so that only the one that does fails.
    is_suspect: bool,
    stage: Stage,
}

/// Queues hold the leases in order; this says what each one's task is at.
#[derive(Debug)]
enum Stage {
    /// For its share of [`HELD_BYTES_MAX`].
    Waiting,
    ToFetch,
    Fetching,
    Ready(Work),
    Running {
        work: Work,
        /// Since when nobody wants it.
        dropped_at: Option<Duration>,
    },
    ToUpload(Arc<Finished>),
    Uploading(Arc<Finished>),
    Finished(Arc<Finished>),
    Acking(Arc<Finished>),
}

impl Stage {
    fn is_admitted(&self) -> bool {
        !matches!(self, Self::Waiting)
    }

    fn is_computed(&self) -> bool {
        matches!(
            self,
            Self::ToUpload(_) | Self::Uploading(_) | Self::Finished(_) | Self::Acking(_)
        )
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// In the order of their ids, so that the same events lead to the same actions.
    tasks: BTreeMap<LeaseRef, HeldTask>,
    queues: Queues,
    admitted_bytes: u64,
    renew_at: Option<Duration>,
}

impl Held {
    /// Places taken: tasks, and nacks that the gateway has not heard.
    pub(super) fn count(&self) -> usize {
        self.tasks.len().saturating_add(self.queues.nacks.len())
    }

    pub(super) fn take(&mut self, now: Duration, offer: Offer) {
        let lease = offer.lease;
        let task = HeldTask {
            expires_at: expiry(now, offer.duration),
            unserved_since: None,
            is_suspect: false,
            stage: Stage::Waiting,
            offer: Arc::new(offer),
        };
        self.renew_before(now, task.offer.duration);
        // The gateway may hand out a lease again whose first answer was lost; what came of it then still stands.
        if let std::collections::btree_map::Entry::Vacant(place) = self.tasks.entry(lease) {
            place.insert(task);
            self.queues.waiting.push_back(lease);
        }
    }

    /// Gives waiting tasks their share of the memory, in order.
    pub(super) fn admit(&mut self) {
        while let Some(lease) = self.queues.waiting.front().copied() {
            let Some(task) = self.tasks.get_mut(&lease) else {
                self.queues.waiting.pop_front();
                continue;
            };
            let bytes = self.admitted_bytes.saturating_add(task.offer.bytes());
            if bytes > HELD_BYTES_MAX && self.admitted_bytes > 0 {
                return;
            }
            self.queues.waiting.pop_front();
            self.admitted_bytes = bytes;
            match task.offer.work_inline() {
                Some(Ok(work)) => {
                    task.stage = Stage::Ready(work);
                    self.queues.ready.push_back(lease);
                }
                Some(Err(fault)) => {
                    task.stage = Stage::ToFetch;
                    self.nack_task(&lease, fault);
                }
                None => {
                    task.stage = Stage::ToFetch;
                    self.queues.to_fetch.push_back(lease);
                }
            }
        }
    }

    /// The submitter cancelled it or the lease went elsewhere. What runs is remembered until its executor answers.
    pub(super) fn drop_task(&mut self, now: Duration, lease: &LeaseRef) {
        match self.tasks.get_mut(lease).map(|task| &mut task.stage) {
            Some(Stage::Running { dropped_at, .. }) => {
                dropped_at.get_or_insert(now);
            }
            Some(_) => self.remove(lease),
            None => {}
        }
    }

    pub(super) fn dropped_at(&self, lease: &LeaseRef) -> Option<Duration> {
        match self.tasks.get(lease).map(|task| &task.stage) {
            Some(Stage::Running { dropped_at, .. }) => *dropped_at,
            _ => None,
        }
    }

    /// Gives back every task that the executor does not have. One under suspicion was begun: its attempt failed, or one that
    /// takes children along would be handed out for ever.
    pub(super) fn release_not_begun(&mut self, message: &str) {
        let not_begun: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| {
                matches!(
                    task.stage,
                    Stage::Waiting | Stage::ToFetch | Stage::Fetching | Stage::Ready(_)
                )
            })
            .map(|(lease, task)| (*lease, task.is_suspect))
            .collect();
        for (lease, is_suspect) in not_begun {
            let kind = if is_suspect {
                FaultKind::Failed
            } else {
                FaultKind::Released
            };
            self.nack_task(&lease, fault(kind, message));
        }
    }

    /// The attempt failed; another worker may succeed.
    pub(super) fn fail(&mut self, lease: &LeaseRef, message: &str) {
        self.nack_task(lease, fault(FaultKind::Failed, message));
    }

    /// Whether every output that is computed was acknowledged.
    pub(super) fn all_reported(&self) -> bool {
        !self.tasks.values().any(|task| task.stage.is_computed())
    }

    pub(super) fn nack(&mut self, nack: Nack) {
        self.queues.nacks.push_back(nack);
    }

    fn nack_task(&mut self, lease: &LeaseRef, fault: Fault) {
        if self.tasks.contains_key(lease) {
            self.remove(lease);
            self.nack(Nack {
                lease: *lease,
                fault,
            });
        }
    }

    pub(super) fn remove(&mut self, lease: &LeaseRef) {
        let Some(task) = self.tasks.remove(lease) else {
            return;
        };
        if task.stage.is_admitted() {
            self.admitted_bytes = self.admitted_bytes.saturating_sub(task.offer.bytes());
        }
        self.queues.removed(&task.stage);
    }

    fn stage_mut(&mut self, lease: &LeaseRef) -> Option<&mut Stage> {
        self.tasks.get_mut(lease).map(|task| &mut task.stage)
    }
}

/// Running.
impl Held {
    /// What the executor said of one work. True when it counts as a failed task.
    pub(super) fn answered(
        &mut self,
        now: Duration,
        lease: &LeaseRef,
        answer: Answer,
        stopping: bool,
    ) -> bool {
        let Some(task) = self.tasks.get_mut(lease) else {
            return false;
        };
        let Stage::Running { work, dropped_at } = &task.stage else {
            return false;
        };
        if dropped_at.is_some() {
            self.remove(lease);
            return false;
        }
        match answer {
            Answer::Done {
                output,
                sha256,
                started_ms,
                finished_ms,
                busy_ms: _,
            } => {
                let offer = Arc::clone(&task.offer);
                let finished = Arc::new(Finished {
                    offer,
                    output,
                    sha256,
                    started_ms,
                    finished_ms,
                });
                self.finished(now, lease, finished);
                return false;
            }
            Answer::NotRun => {
                task.stage = Stage::Ready(work.clone());
                self.queues.not_run.push(*lease);
                return false;
            }
            Answer::TaskFault(message) => {
                self.nack_task(lease, fault(FaultKind::Invalid, &message));
            }
            Answer::Suspect(_) if !stopping => {
                task.stage = Stage::Ready(work.clone());
                task.is_suspect = true;
                self.queues.suspects.push(*lease);
                return false;
            }
            Answer::Lost(_) | Answer::Suspect(_) if stopping => {
                self.nack_task(lease, fault(FaultKind::Released, "the worker is stopping"));
                return false;
            }
            Answer::NotHere(message) | Answer::Lost(message) | Answer::Suspect(message) => {
                self.fail(lease, &message);
            }
        }
        true
    }

    fn finished(&mut self, now: Duration, lease: &LeaseRef, finished: Arc<Finished>) {
        let inline = finished.is_inline();
        let Some(stage) = self.tasks.get_mut(lease).map(|task| &mut task.stage) else {
            return;
        };
        if inline {
            *stage = Stage::Finished(finished);
            self.queues.finished(*lease, now);
        } else {
            *stage = Stage::ToUpload(finished);
            self.queues.to_upload.push_back(*lease);
        }
    }

    /// Works that were handed over and never begun run first in the next run, in their old order; those under suspicion
    /// behind what is ready, each in a run of its own. Whether there are such.
    pub(super) fn run_ended(&mut self) -> bool {
        let repeats = !self.queues.suspects.is_empty();
        self.queues.ready.extend(self.queues.suspects.drain(..));
        for lease in std::mem::take(&mut self.queues.not_run).into_iter().rev() {
            self.queues.ready.push_front(lease);
        }
        repeats
    }
}

/// Leases.
impl Held {
    pub(super) fn renewed(&mut self, now: Duration, lease: &LeaseRef, duration: Duration) {
        if let Some(task) = self.tasks.get_mut(lease) {
            task.expires_at = expiry(now, duration);
            self.renew_before(now, duration);
        }
    }

    pub(super) fn renew_now(&mut self, now: Duration) {
        self.renew_at = Some(now);
    }

    /// At a third of a lease's length: two renewals may be lost before it is.
    fn renew_before(&mut self, now: Duration, duration: Duration) {
        let at = now.saturating_add(duration.checked_div(3).unwrap_or_default());
        self.renew_at = Some(self.renew_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Every lease, when the first of them is due: one frame for all. The answer sets the next time.
    pub(super) fn renewals(&mut self, now: Duration) -> Option<Vec<LeaseRef>> {
        self.renew_at.filter(|at| now >= *at)?;
        let wanted = |task: &HeldTask| {
            !matches!(
                task.stage,
                Stage::Running {
                    dropped_at: Some(_),
                    ..
                }
            )
        };
        let leases: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| wanted(task))
            .map(|(lease, _)| *lease)
            .collect();
        // Should the answer be lost, the shortest lease says when to ask again.
        self.renew_at = self
            .tasks
            .values()
            .map(|task| task.offer.duration)
            .min()
            .map(|shortest| now.saturating_add(shortest.checked_div(3).unwrap_or_default()));
        (!leases.is_empty()).then_some(leases)
    }

    pub(super) fn wake_at(&self, now: Duration) -> Option<Duration> {
        [self.renew_at, self.queues.ack_at()]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }
}

/// A lease counts from when the gateway granted it, and the answer took some time to arrive. Only what has not begun depends
/// on this; whether a write still counts is the gateway's word, by the fencing token.
fn expiry(now: Duration, duration: Duration) -> Duration {
    let arrival = duration
        .checked_div(10)
        .unwrap_or_default()
        .min(ARRIVAL_MAX);
    now.saturating_add(duration).saturating_sub(arrival)
}

/// A fault whose message is cut to what may travel.
fn fault(kind: FaultKind, message: &str) -> Fault {
    let end = message.floor_char_boundary(FAULT_MESSAGE_BYTES_MAX);
    Fault {
        kind,
        message: message.get(..end).unwrap_or_default().to_owned(),
    }
}
