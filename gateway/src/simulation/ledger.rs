//! What the gateway said and did, as a model of every task's life. Each answer is held against it as it is given, lost
//! on its way or not; and at each start of the gateway the whole store is.

use std::collections::{BTreeMap, BTreeSet};

use protocol::api::TaskView;
use protocol::control::RenewedLease;
use protocol::lease::{AckOutcome, FaultKind, Lease, LeaseRef, Nack, NackOutcome};
use protocol::task::TaskState;
use protocol::{Sha256Digest, TaskId, WorkerId};

use crate::store::Expired;

/// What must never be, and was.
#[derive(Debug)]
pub(super) struct Violation(pub(super) String);

pub(super) type Checked<T = ()> = Result<T, Violation>;

/// Says what is wrong unless `holds`.
pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Violation(otherwise()))
    }
}

/// One lease, from its grant to its end.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) lease: LeaseRef,
    worker: WorkerId,
    expires_ms: u64,
    pub(super) end: Option<End>,
}

/// How a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Accepted,
    Returned,
    RanOut,
    Cancelled,
    /// Its worker was taken out.
    Taken,
}

/// One task as it must be.
#[derive(Debug)]
pub(super) struct Entry {
    /// The number of the order it came of.
    pub(super) order: usize,
    pub(super) state: TaskState,
    pub(super) attempts: u32,
    max_attempts: u32,
    deadline_ms: Option<u64>,
    token: u64,
    pub(super) leases: Vec<Granted>,
    /// Of what was accepted.
    pub(super) output: Option<Sha256Digest>,
    /// Which attempt the accepted output is of.
    pub(super) accepted_attempt: Option<u32>,
}

/// All tasks, and the workers that may have leases.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) tasks: BTreeMap<TaskId, Entry>,
    /// Of orders with an idempotency key.
    by_key: BTreeMap<usize, TaskId>,
    enrolled: BTreeSet<WorkerId>,
    draining: BTreeSet<WorkerId>,
}

impl Entry {
    fn newest(&mut self) -> Option<&mut Granted> {
        self.leases.last_mut()
    }

    fn is_held_by(&self, worker: &WorkerId, lease: LeaseRef) -> bool {
        self.state == TaskState::Running
            && self.token == lease.fencing_token.0
            && self
                .leases
                .last()
                .is_some_and(|newest| newest.worker == *worker)
    }

    fn after_failure(&self) -> TaskState {
        if self.attempts < self.max_attempts {
            TaskState::Queued
        } else {
            TaskState::DeadLetter
        }
    }

    fn end(&mut self, end: End) {
        if let Some(newest) = self.newest() {
            newest.end = Some(end);
        }
    }

    fn give_back(&mut self, kind: FaultKind, end: End) {
        self.state = match kind {
            FaultKind::Released => TaskState::Queued,
            FaultKind::Failed => self.after_failure(),
            FaultKind::Invalid => TaskState::DeadLetter,
        };
        if kind == FaultKind::Released {
            self.attempts -= 1;
        }
        self.token += 1;
        self.end(end);
    }
}

/// What becomes of workers.
impl Ledger {
    pub(super) fn enrolled(&mut self, worker: &WorkerId) {
        self.enrolled.insert(worker.clone());
    }

    pub(super) fn is_enrolled(&self, worker: &WorkerId) -> bool {
        self.enrolled.contains(worker)
    }

    pub(super) fn set_draining(&mut self, worker: &WorkerId, draining: bool) {
        if draining {
            self.draining.insert(worker.clone());
        } else {
            self.draining.remove(worker);
        }
    }

    pub(super) fn removed(&mut self, worker: &WorkerId) {
        self.enrolled.remove(worker);
        self.draining.remove(worker);
        for entry in self.tasks.values_mut() {
            let holds = entry.state == TaskState::Running
                && entry
                    .newest()
                    .is_some_and(|newest| newest.worker == *worker);
            if holds {
                entry.give_back(FaultKind::Released, End::Taken);
            }
        }
    }
}

/// What becomes of tasks.
impl Ledger {
    /// The number of a task, for people.
    pub(super) fn name(&self, task: TaskId) -> String {
        let number = self.tasks.keys().position(|known| *known == task);
        number.map_or_else(|| format!("unknown task {task}"), |at| format!("task {at}"))
    }

    fn entry(&mut self, task: TaskId) -> Checked<&mut Entry> {
        let unknown = || {
            Violation(format!(
                "the gateway speaks of {task}, which nobody submitted"
            ))
        };
        self.tasks.get_mut(&task).ok_or_else(unknown)
    }

    pub(super) fn submitted(
        &mut self,
        order: usize,
        has_key: bool,
        view: &TaskView,
        is_new: bool,
    ) -> Checked {
        if let Some(&known) = self.by_key.get(&order) {
            ensure(known == view.id && !is_new, || {
                format!("order {order} became {} before and {} now", known, view.id)
            })?;
            return self.compare(view);
        }
        ensure(is_new && !self.tasks.contains_key(&view.id), || {
            format!(
                "order {order} was answered with {}, an earlier task",
                view.id
            )
        })?;
        if has_key {
            self.by_key.insert(order, view.id);
        }
        let entry = Entry {
            order,
            state: TaskState::Queued,
            attempts: 0,
            max_attempts: view.max_attempts,
            deadline_ms: view.deadline_ms,
            token: 0,
            leases: Vec::new(),
            output: None,
            accepted_attempt: None,
        };
        self.tasks.insert(view.id, entry);
        self.compare(view)
    }

    pub(super) fn leased(&mut self, worker: &WorkerId, leases: &[Lease], now_ms: u64) -> Checked {
        let may_lease = self.enrolled.contains(worker) && !self.draining.contains(worker);
        ensure(leases.is_empty() || may_lease, || {
            format!("{worker} got leases though it drains or is taken out")
        })?;
        for lease in leases {
            let name = self.name(lease.task);
            let entry = self.entry(lease.task)?;
            ensure(entry.state == TaskState::Queued, || {
                format!(
                    "{name} was leased to {worker} while it was {}: {entry:?}",
                    entry.state
                )
            })?;
            ensure(
                entry.deadline_ms.is_none_or(|deadline| deadline > now_ms),
                || format!("{name} was leased after its deadline"),
            )?;
            ensure(lease.fencing_token.0 == entry.token + 1, || {
                format!(
                    "{name}: fencing token {} follows {}",
                    lease.fencing_token, entry.token
                )
            })?;
            ensure(
                lease.attempt == entry.attempts + 1 && lease.attempt <= entry.max_attempts,
                || {
                    format!(
                        "{name}: attempt {} of {} follows {}",
                        lease.attempt, entry.max_attempts, entry.attempts
                    )
                },
            )?;
            entry.state = TaskState::Running;
            entry.attempts = lease.attempt;
            entry.token = lease.fencing_token.0;
            entry.leases.push(Granted {
                lease: LeaseRef {
                    task: lease.task,
                    fencing_token: lease.fencing_token,
                },
                worker: worker.clone(),
                expires_ms: now_ms + lease.lease_duration_ms,
                end: None,
            });
        }
        Ok(())
    }

    pub(super) fn renewed(
        &mut self,
        worker: &WorkerId,
        leases: &[RenewedLease],
        now_ms: u64,
    ) -> Checked {
        for renewed in leases {
            let name = self.name(renewed.lease.task);
            // A task of which a worker alone has heard is held by nobody.
            let entry = self.tasks.get_mut(&renewed.lease.task);
            let is_held = entry
                .as_ref()
                .is_some_and(|entry| entry.is_held_by(worker, renewed.lease));
            ensure(is_held == renewed.lease_duration_ms.is_some(), || {
                format!(
                    "{worker} asked to renew {name}, which it holds ({is_held}), and was told {renewed:?}: {entry:?}"
                )
            })?;
            let newest = entry.and_then(Entry::newest);
            if let Some((newest, duration_ms)) = newest.zip(renewed.lease_duration_ms) {
                newest.expires_ms = now_ms + duration_ms;
            }
        }
        Ok(())
    }

    /// Acks of honest workers: each has one right answer.
    pub(super) fn acked(
        &mut self,
        worker: &WorkerId,
        acks: &[(LeaseRef, Sha256Digest)],
        outcomes: &[AckOutcome],
    ) -> Checked {
        let is_enrolled = self.enrolled.contains(worker);
        for ((lease, output), outcome) in acks.iter().zip(outcomes) {
            let name = self.name(lease.task);
            let right = match self.tasks.get(&lease.task) {
                _ if !is_enrolled => AckOutcome::Superseded,
                None => AckOutcome::UnknownTask,
                Some(entry) if entry.state == TaskState::Cancelled => AckOutcome::Cancelled,
                Some(entry) if entry.token != lease.fencing_token.0 => AckOutcome::Superseded,
                Some(entry) => match entry.state {
                    TaskState::Queued | TaskState::Running => AckOutcome::Accepted,
                    TaskState::Succeeded => AckOutcome::AlreadyAccepted,
                    _ => AckOutcome::Superseded,
                },
            };
            ensure(*outcome == right, || {
                format!(
                    "{worker}'s ack of {name} (token {}) was answered with {outcome:?}, not {right:?}: {:?}",
                    lease.fencing_token,
                    self.tasks.get(&lease.task)
                )
            })?;
            if *outcome == AckOutcome::Accepted {
                let entry = self.entry(lease.task)?;
                entry.state = TaskState::Succeeded;
                entry.output = Some(*output);
                entry.accepted_attempt = Some(entry.attempts);
                entry.end(End::Accepted);
            }
        }
        ensure(acks.len() == outcomes.len(), || {
            "an ack batch got another number of outcomes".to_owned()
        })
    }

    pub(super) fn nacked(
        &mut self,
        worker: &WorkerId,
        nacks: &[Nack],
        outcomes: &[NackOutcome],
    ) -> Checked {
        for (nack, outcome) in nacks.iter().zip(outcomes) {
            let name = self.name(nack.lease.task);
            let entry = self.tasks.get_mut(&nack.lease.task);
            let right = match &entry {
                None => NackOutcome::UnknownTask,
                Some(entry) if entry.is_held_by(worker, nack.lease) => NackOutcome::Returned,
                Some(_) => NackOutcome::Superseded,
            };
            ensure(*outcome == right, || {
                format!(
                    "{worker}'s nack of {name} was answered with {outcome:?}, not {right:?}: {entry:?}"
                )
            })?;
            if let (NackOutcome::Returned, Some(entry)) = (right, entry) {
                entry.give_back(nack.fault.kind, End::Returned);
            }
        }
        ensure(nacks.len() == outcomes.len(), || {
            "a nack batch got another number of outcomes".to_owned()
        })
    }

    /// One pass over leases and deadlines.
    pub(super) fn expired(&mut self, now_ms: u64, seen: Expired) -> Checked {
        let mut right = Expired::default();
        for entry in self.tasks.values_mut() {
            let has_run_out = entry.state == TaskState::Running
                && entry
                    .newest()
                    .is_some_and(|newest| newest.expires_ms <= now_ms);
            if has_run_out {
                entry.state = entry.after_failure();
                entry.end(End::RanOut);
                if entry.state == TaskState::Queued {
                    right.requeued += 1;
                } else {
                    right.dead_lettered += 1;
                }
            }
            let is_late = entry.deadline_ms.is_some_and(|deadline| deadline <= now_ms);
            if entry.state == TaskState::Queued && is_late {
                entry.state = TaskState::Expired;
                right.deadlines_passed += 1;
            }
        }
        ensure(seen == right, || {
            format!("what ran out is {seen:?}, and must be {right:?}")
        })
    }

    pub(super) fn cancelled(&mut self, task: TaskId, is_cancelled: bool) -> Checked {
        let name = self.name(task);
        let entry = self.entry(task)?;
        let may_be = !entry.state.is_finished() || entry.state == TaskState::Cancelled;
        ensure(may_be == is_cancelled, || {
            format!(
                "{name} is cancelled ({is_cancelled}) though it was {}",
                entry.state
            )
        })?;
        if entry.state == TaskState::Running {
            entry.end(End::Cancelled);
        }
        if is_cancelled {
            entry.state = TaskState::Cancelled;
        }
        Ok(())
    }

    pub(super) fn redriven(&mut self, task: TaskId, is_queued: bool) -> Checked {
        let name = self.name(task);
        let entry = self.entry(task)?;
        ensure((entry.state == TaskState::DeadLetter) == is_queued, || {
            format!(
                "{name} is redriven ({is_queued}) though it was {}",
                entry.state
            )
        })?;
        if is_queued {
            entry.state = TaskState::Queued;
            entry.attempts = 0;
            entry.token += 1;
            entry.deadline_ms = None;
        }
        Ok(())
    }

    /// A task as the gateway shows it.
    pub(super) fn compare(&self, view: &TaskView) -> Checked {
        let name = self.name(view.id);
        let entry = self.tasks.get(&view.id);
        let entry =
            entry.ok_or_else(|| Violation(format!("{name} is shown, and nobody submitted it")))?;
        let seen = (
            view.state,
            view.attempts,
            view.output.map(|output| output.sha256),
        );
        let right = (entry.state, entry.attempts, entry.output);
        ensure(seen == right, || {
            format!("{name} is {seen:?} and must be {right:?}: {entry:?}")
        })?;
        ensure(view.attempts <= view.max_attempts, || {
            format!("{name} has more attempts than it may")
        })
    }

    /// Every task of the store, each once.
    pub(super) fn compare_all(&self, views: &[TaskView]) -> Checked {
        views.iter().try_for_each(|view| self.compare(view))?;
        let seen: BTreeSet<_> = views.iter().map(|view| view.id).collect();
        let lost = self.tasks.keys().find(|task| !seen.contains(task));
        ensure(lost.is_none(), || {
            let names: Vec<_> = lost.iter().map(|task| self.name(**task)).collect();
            format!("lost: {names:?}")
        })?;
        ensure(seen.len() == views.len(), || {
            "a task is there twice".to_owned()
        })
    }

    pub(super) fn count(&self, state: TaskState) -> u64 {
        let tasks = self.tasks.values();
        let count = tasks.filter(|entry| entry.state == state).count();
        u64::try_from(count).unwrap()
    }

    pub(super) fn all_finished(&self) -> bool {
        self.tasks.values().all(|entry| entry.state.is_finished())
    }
}
