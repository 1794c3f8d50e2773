//! The worker's life, decided: events and `now` go in ([`Machine::handle`]), actions come out ([`Machine::poll`]). No clock,
//! no await, no randomness of its own. [`crate::driver`] carries the actions out and brings back what came of them.
//!
//! ```text
//! link     down ─connect─▶ connecting ─▶ up ─▶ down …          back-off with full jitter; a minute after E3xx to E6xx
//! runner   stopped ─spawn─▶ starting ─▶ (trial ─canary─▶) idle ⇄ busy ─▶ stopped …   the executor child; after one that died
//!          or hung, or in quarantine, a new one runs a canary first
//! task     waiting ─fetch─▶ ready ─run─▶ running ─▶ (uploading) ─▶ finished ─ack─▶ gone; anything else is nacked
//! devices  changed: stop leasing and running · report what is finished · connect anew
//! stop     stop leasing · release what has not begun · finish what runs · report · close the executor · leave
//! ```

pub mod backoff;
pub mod event;
mod held;
mod link;
mod pace;
mod quarantine;
mod runner;
mod stop;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kernels::executor::Work;
use protocol::control::RenewedLease;
use protocol::lease::{AckOutcome, LeaseRef, Nack};
use protocol::telemetry::Telemetry;

pub use event::{Action, Answer, Event, Failure, FetchFailure, Finished, Session, Tick};
use held::Held;
use link::Link;
use pace::Pace;
pub use quarantine::QuarantineReason;
use runner::Runner;
use stop::Stop;

use crate::session::Offer;

/// What the machine is told once.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Tasks held at once, from lease to accepted ack.
    pub capacity: usize,
    /// From the stop's beginning to the exit.
    pub drain_limit: Duration,
}

/// Totals since the agent's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub tasks_succeeded: u64,
    pub tasks_failed: u64,
    pub executor_restarts: u64,
    pub quarantines: u64,
    pub connections: u64,
}

/// The whole of a worker's state that decisions depend on.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    link: Link,
    runner: Runner,
    held: Held,
    pace: Pace,
    stop: Stop,
    counts: Counts,
}

impl Machine {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            link: Link::default(),
            runner: Runner::default(),
            held: Held::default(),
            pace: Pace::default(),
            stop: Stop::default(),
            counts: Counts::default(),
        }
    }

    /// Takes one event in. What follows from it comes out of the next [`Machine::poll`].
    pub fn handle(&mut self, tick: Tick, event: Event) {
        match event {
            Event::Connected(session) => self.connected(tick, session),
            Event::ConnectFailed { slow } => self.link.failed(tick, slow),
            Event::Disconnected { slow } => self.disconnected(tick, slow),
            Event::EvidenceReady => self.link.evidence_ready(),
            Event::Readmitted { attestation } => self.link.readmitted(attestation),
            Event::DevicesChanged => self.link.devices_changed(tick.now),
            Event::Drained => self.drained(tick),
            Event::Renewed(leases) => self.renewed(tick, &leases),
            Event::Cancelled(leases) => self.cancelled(tick, &leases),
            Event::Leased {
                offers,
                refused,
                more,
            } => self.leased(tick, offers, refused, more),
            Event::LeaseFailed => self.link.lease_failed(tick),
            Event::Fetched { lease, result } => self.fetched(tick, &lease, result),
            Event::Uploaded { lease, result } => self.uploaded(tick, &lease, result),
            Event::Acked(result) => self.acked(tick, result),
            Event::Nacked(result) => self.nacked(tick, result),
            Event::RunnerStarted { in_order } => self.runner.started(in_order),
            Event::RunnerStartFailed => self.runner_failed(tick),
            Event::CanaryEnded { passed } => self.canary_ended(tick, passed),
            Event::Answered { lease, answer } => self.answered(tick, &lease, answer),
            Event::RunEnded { child_lost } => self.run_ended(tick, child_lost),
            Event::RunnerClosed => self.runner.closed(),
            Event::StopRequested => self.stop.request(tick.now, self.settings.drain_limit),
        }
    }

    /// What to do now. Call it after events and when [`Machine::wake_at`] has come.
    pub fn poll(&mut self, tick: Tick) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.stop.is_requested() {
            self.poll_stop(tick, &mut actions);
        }
        if self.stop.is_over() {
            return actions;
        }
        if self.link.connect_due(tick.now) {
            actions.push(Action::Connect);
        }
        if !self.stop.is_requested() && self.runner.start_due(tick.now) {
            actions.push(Action::StartRunner);
        }
        self.poll_quarantine(&mut actions);
        self.poll_tasks(tick, &mut actions);
        if self.leave(tick, &mut actions) {
            return actions;
        }
        if self.link.is_up() {
            self.poll_link(tick, &mut actions);
        }
        actions
    }

    /// When to poll again if nothing happens before; later than `now`.
    #[must_use]
    pub fn wake_at(&self, now: Duration) -> Option<Duration> {
        [
            self.link.wake_at(now),
            self.runner.wake_at(now),
            self.held.wake_at(now),
            self.stop.wake_at(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether this worker takes work: admitted, with an executor, not stopping.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.link.is_up()
            && !self.link.is_leaving()
            && self.runner.is_usable()
            && !self.stop.is_requested()
    }

    /// Why the executor takes no work until it has passed a canary.
    #[must_use]
    pub fn quarantine(&self) -> Option<QuarantineReason> {
        self.runner.quarantine()
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.is_up()
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    #[must_use]
    pub fn tasks_held(&self) -> usize {
        self.held.count()
    }
}

/// What events do.
impl Machine {
    fn connected(&mut self, tick: Tick, session: Session) {
        self.counts.connections = self.counts.connections.saturating_add(1);
        self.link.connected(tick.now, session);
        // Leases survive a reconnect, but how much of each is left only the gateway knows.
        self.held.renew_now(tick.now);
    }

    fn disconnected(&mut self, tick: Tick, slow: bool) {
        let (acks, nacks) = (self.link.ack_ended(), self.link.nack_ended());
        self.held.ack_again(&acks, tick.now);
        self.held.nack_again(nacks);
        self.link.disconnected(tick, slow);
        self.held.disconnected();
    }

    fn drained(&mut self, tick: Tick) {
        self.link.drained(tick.now);
        self.held.release_not_begun("the worker was told to drain");
    }

    fn renewed(&mut self, tick: Tick, leases: &[RenewedLease]) {
        for renewed in leases {
            match renewed.lease_duration_ms {
                Some(duration_ms) => {
                    self.held
                        .renewed(tick.now, &renewed.lease, Duration::from_millis(duration_ms));
                }
                None => self.held.drop_task(tick.now, &renewed.lease),
            }
        }
    }

    fn cancelled(&mut self, tick: Tick, leases: &[LeaseRef]) {
        for lease in leases {
            self.held.drop_task(tick.now, lease);
        }
    }

    fn leased(&mut self, tick: Tick, offers: Vec<Offer>, refused: Vec<Nack>, more: bool) {
        self.link.leased(tick.now, !offers.is_empty(), more);
        for nack in refused {
            self.counts.tasks_failed = self.counts.tasks_failed.saturating_add(1);
            self.held.nack(nack);
        }
        for offer in offers {
            self.held.take(tick.now, offer);
        }
        if self.stop.is_requested() {
            self.held.release_not_begun("the worker is stopping");
        }
    }

    fn fetched(&mut self, tick: Tick, lease: &LeaseRef, result: Result<Work, FetchFailure>) {
        match result {
            Ok(work) => self.held.fetched(lease, work),
            Err(FetchFailure::Retry) => {
                let gave_up = self.held.fetch_failed(tick.now, lease);
                self.failed_task(gave_up);
                self.link.request_failed(tick);
            }
            Err(FetchFailure::LeaseLost) => self.held.fetch_refused(lease, None),
            Err(FetchFailure::Fault(fault)) => {
                self.failed_task(true);
                self.held.fetch_refused(lease, Some(fault));
            }
        }
    }

    fn uploaded(&mut self, tick: Tick, lease: &LeaseRef, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.held.uploaded(tick.now, lease),
            Err(Failure::Retry) => {
                self.held.upload_again(lease);
                self.link.request_failed(tick);
            }
            Err(Failure::Permanent(message)) => {
                self.failed_task(true);
                self.held
                    .upload_refused(lease, &format!("the gateway refused the output: {message}"));
            }
        }
    }

    fn acked(&mut self, tick: Tick, result: Result<Vec<AckOutcome>, Failure>) {
        let batch = self.link.ack_ended();
        match result {
            Ok(outcomes) if outcomes.len() == batch.len() => {
                for (lease, outcome) in batch.iter().zip(outcomes) {
                    self.ack_outcome(lease, outcome);
                }
                self.link.request_succeeded();
            }
            Ok(_) | Err(Failure::Retry) => {
                self.held.ack_again(&batch, tick.now);
                self.link.request_failed(tick);
            }
            Err(Failure::Permanent(message)) => {
                for lease in &batch {
                    self.failed_task(true);
                    self.held.fail(lease, &message);
                }
            }
        }
    }

    fn ack_outcome(&mut self, lease: &LeaseRef, outcome: AckOutcome) {
        match outcome {
            AckOutcome::Accepted | AckOutcome::AlreadyAccepted => {
                self.counts.tasks_succeeded = self.counts.tasks_succeeded.saturating_add(1);
                self.held.remove(lease);
            }
            AckOutcome::Superseded | AckOutcome::Cancelled | AckOutcome::UnknownTask => {
                tracing::info!(task = %lease.task, fencing_token = %lease.fencing_token, ?outcome, "output dropped");
                self.held.remove(lease);
            }
            AckOutcome::Refused { reason } => {
                tracing::warn!(task = %lease.task, reason, "the gateway refused an ack");
                self.failed_task(true);
                self.held
                    .fail(lease, &format!("the gateway refused the ack: {reason}"));
            }
        }
    }

    fn nacked(&mut self, tick: Tick, result: Result<(), Failure>) {
        let batch = self.link.nack_ended();
        match result {
            Ok(()) => self.link.request_succeeded(),
            Err(Failure::Retry) => {
                self.held.nack_again(batch);
                self.link.request_failed(tick);
            }
            Err(Failure::Permanent(message)) => {
                tracing::warn!(
                    tasks = batch.len(),
                    message,
                    "the gateway refused a nack; the leases will expire"
                );
            }
        }
    }

    fn runner_failed(&mut self, tick: Tick) {
        let before = self.runner.quarantine();
        self.runner.start_failed(tick);
        self.quarantine_may_begin(before);
    }

    fn answered(&mut self, tick: Tick, lease: &LeaseRef, answer: Answer) {
        self.runner.answered(tick.now, lease);
        match &answer {
            Answer::Done { busy_ms, .. } => {
                self.pace.took(*busy_ms);
                self.runner.work_done(tick.now);
            }
            Answer::Lost(_) => self.runner.work_lost(lease.task),
            Answer::TaskFault(_) | Answer::NotHere(_) | Answer::Suspect(_) | Answer::NotRun => {}
        }
        let released = self.stop.is_killing();
        if self.held.answered(tick.now, lease, answer, released) {
            self.failed_task(true);
        }
    }

    fn run_ended(&mut self, tick: Tick, child_lost: bool) {
        let repeats = self.held.run_ended();
        if child_lost {
            self.counts.executor_restarts = self.counts.executor_restarts.saturating_add(1);
        }
        let before = self.runner.quarantine();
        self.runner.run_ended(tick, child_lost, repeats);
        self.quarantine_may_begin(before);
        if self.stop.is_requested() {
            self.held.release_not_begun("the worker is stopping");
        }
    }

    fn failed_task(&mut self, failed: bool) {
        self.counts.tasks_failed = self.counts.tasks_failed.saturating_add(u64::from(failed));
    }
}

/// What is due.
impl Machine {
    fn poll_stop(&mut self, tick: Tick, actions: &mut Vec<Action>) {
        if self.stop.begin() {
            self.held.release_not_begun("the worker is stopping");
            if self.link.abandon_lease() {
                actions.push(Action::AbandonLease);
            }
            if self.runner.is_preparing() {
                actions.push(Action::KillRunner);
            }
        }
        if self.stop.kill_due(tick.now) && self.runner.is_busy() {
            actions.push(Action::KillRunner);
        }
        let all_told = self.held.count() == 0 && self.link.is_idle();
        if (all_told || self.stop.deadline_passed(tick.now)) && self.stop.finish() {
            actions.extend([
                Action::CloseRunner,
                Action::Leave {
                    abandoned: self.held.count(),
                },
            ]);
        }
    }

    /// Whether the connection ends now, because its attestation names other devices. A worker that stops has no use for
    /// another one.
    fn leave(&mut self, tick: Tick, actions: &mut Vec<Action>) -> bool {
        if self.stop.is_requested() || !self.link.is_leaving() {
            return false;
        }
        if self.link.abandon_lease() {
            actions.push(Action::AbandonLease);
        }
        let due = self.link.leave_due(tick.now, self.held.all_reported());
        if due {
            actions.push(Action::Disconnect);
        }
        due
    }

    /// What needs no connection, and what the executor is to do next.
    fn poll_tasks(&mut self, tick: Tick, actions: &mut Vec<Action>) {
        self.held.admit();
        // What ran on other devices than the attestation in force names could not be reported under it.
        if self.runner.is_idle() && !self.link.is_leaving() {
            let apart = self.runner.is_in_order();
            let works = self.held.next_run(tick.now, apart);
            if !works.is_empty() {
                let leases = works.iter().map(|(lease, _)| *lease).collect();
                let has_model = works.iter().any(|(_, work)| work.has_model());
                self.runner.run(tick.now, leases, has_model);
                actions.push(Action::Run(works));
            }
        }
        let dropped = |lease: &LeaseRef| self.held.dropped_at(lease);
        if self.runner.kill_due(tick.now, dropped) {
            actions.push(Action::KillRunner);
        }
    }

    fn poll_link(&mut self, tick: Tick, actions: &mut Vec<Action>) {
        if self.link.heartbeat_due(tick.now) {
            actions.push(Action::Heartbeat(self.telemetry()));
        }
        if let Some(leases) = self.held.renewals(tick.now) {
            actions.push(Action::Renew(leases));
        }
        if self.link.answer_due() {
            actions.push(Action::SendEvidence);
        }
        if let Some(tasks_max) = self.tasks_wanted(tick) {
            self.link.lease_begun(tick.now);
            actions.push(Action::Lease { tasks_max });
        }
        if self.link.transfer_possible(tick.now) {
            actions.extend(self.held.fetches().into_iter().map(Action::Fetch));
            actions.extend(self.held.uploads().into_iter().map(Action::Upload));
        }
        self.poll_acks(tick, actions);
    }

    fn poll_acks(&mut self, tick: Tick, actions: &mut Vec<Action>) {
        if self.link.ack_possible(tick.now) {
            // With nothing else on the way there is nobody to wait for.
            let hurry = !self.runner.is_busy() || self.stop.is_requested();
            let finished = self.held.next_ack(tick.now, hurry);
            if let Some(session) = self.link.ack_begun(&finished) {
                actions.push(Action::Ack { session, finished });
            }
        }
        if self.link.nack_possible(tick.now) {
            let nacks = self.held.next_nack();
            if !nacks.is_empty() {
                self.link.nack_begun(nacks.clone());
                actions.push(Action::Nack(nacks));
            }
        }
    }

    /// How many tasks to ask for, or nothing when it is not the time to ask.
    fn tasks_wanted(&self, tick: Tick) -> Option<u16> {
        if self.stop.is_requested()
            || !self.runner.is_usable()
            || self.link.is_leaving()
            || !self.link.lease_possible(tick.now)
        {
            return None;
        }
        let worth = self.pace.tasks_worth(self.settings.capacity);
        let free = worth.saturating_sub(self.held.count());
        // Asking for each single place would be one round trip for each task.
        let worthwhile = worth.div_ceil(4);
        (free >= worthwhile).then(|| u16::try_from(free).unwrap_or(u16::MAX))
    }

    fn telemetry(&self) -> Telemetry {
        Telemetry {
            tasks_held: u32::try_from(self.held.count()).unwrap_or(u32::MAX),
            tasks_succeeded: self.counts.tasks_succeeded,
            tasks_failed: self.counts.tasks_failed,
            executor_restarts: self.counts.executor_restarts,
            quarantined: self.runner.is_quarantined(),
            gpus: Vec::new(),
        }
    }
}
