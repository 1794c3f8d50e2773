//! The sessions that are open now, one for each worker: a worker that connects again takes its old session's place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::Gauge;
use protocol::api::{SessionView, WorkerState};
use protocol::lease::{LeaseRef, OperationId};
use protocol::requirements::{GpuTraits, WorkerTraits};
use protocol::telemetry::Telemetry;
use protocol::{SessionId, WorkerId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admission::{Attested, InForce};
use crate::limits::{SESSION_COMMANDS_MAX, SESSIONS_MAX};
use crate::receipts::AttestedKey;
use crate::world::Clock;

/// All open sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<WorkerId, Arc<LiveSession>>>,
    gauge: Gauge,
    clock: Arc<dyn Clock>,
    in_force: Arc<InForce>,
}

/// One open session.
#[derive(Debug)]
pub(crate) struct LiveSession {
    pub(crate) id: SessionId,
    pub(crate) worker: WorkerId,
    peer: SocketAddr,
    admitted_ms: u64,
    changing: Mutex<Changing>,
    clock: Arc<dyn Clock>,
    in_force: Arc<InForce>,
    /// In boxes: a queue holds room for 32 from the beginning.
    commands: mpsc::Sender<Box<Command>>,
    /// Ends the connection: another one took its place, or the worker was deleted.
    pub(crate) ended: CancellationToken,
}

/// What to tell a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Nobody wants these any more.
    Cancel(Vec<LeaseRef>),
    /// Take no new work.
    Drain(String),
}

#[derive(Debug)]
struct Changing {
    attested: Attested,
    /// How often its evidence was appraised again and stood.
    reappraisals: u64,
    /// The one before, under which a batch may have been signed while the session attested again.
    previous: Option<AttestedKey>,
    /// The driver says so; the deadline holds whether or not the driver gets to say it.
    stale: bool,
    /// By when evidence must have come, by the monotonic clock and, to be shown, by the wall clock.
    deadline: Duration,
    reattest_by_ms: u64,
    heartbeat_ms: Option<u64>,
    telemetry: Option<Telemetry>,
    offer: Offer,
}

/// What a worker asked for the last time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offer {
    /// Those that it computes.
    pub(crate) operations: Vec<OperationId>,
    pub(crate) asked_ms: Option<u64>,
}

impl Sessions {
    pub(crate) fn new(gauge: Gauge, clock: Arc<dyn Clock>, in_force: Arc<InForce>) -> Self {
        gauge.set(0.0);
        Self {
            open: Mutex::default(),
            gauge,
            clock,
            in_force,
        }
    }

    /// Opens a session; the worker's former one ends. `None`: there are as many as the gateway takes.
    pub(crate) fn open(
        &self,
        id: SessionId,
        peer: SocketAddr,
        attested: Attested,
        deadline: Duration,
    ) -> Option<(Arc<LiveSession>, mpsc::Receiver<Box<Command>>)> {
        let (commands, receiver) = mpsc::channel(SESSION_COMMANDS_MAX);
        let session = Arc::new(LiveSession {
            id,
            worker: attested.worker.clone(),
            peer,
            admitted_ms: self.clock.now_us() / 1_000,
            changing: Mutex::new(Changing {
                attested,
                reappraisals: 0,
                previous: None,
                stale: false,
                deadline,
                reattest_by_ms: wall_ms(self.clock.as_ref(), deadline),
                heartbeat_ms: None,
                telemetry: None,
                offer: Offer::default(),
            }),
            clock: Arc::clone(&self.clock),
            in_force: Arc::clone(&self.in_force),
            commands,
            ended: CancellationToken::new(),
        });
        let mut open = self.lock();
        if open.len() >= SESSIONS_MAX && !open.contains_key(&session.worker) {
            return None;
        }
        match open.insert(session.worker.clone(), Arc::clone(&session)) {
            Some(former) => former.ended.cancel(),
            None => self.gauge.increment(1.0),
        }
        Some((session, receiver))
    }

    /// Forgets a session, unless another one has its place already.
    pub(crate) fn close(&self, session: &LiveSession) {
        if let Entry::Occupied(entry) = self.lock().entry(session.worker.clone())
            && entry.get().id == session.id
        {
            entry.remove();
            self.gauge.decrement(1.0);
        }
    }

    pub(crate) fn of(&self, worker: &WorkerId) -> Option<Arc<LiveSession>> {
        self.lock().get(worker).map(Arc::clone)
    }

    pub(crate) fn all(&self) -> Vec<Arc<LiveSession>> {
        self.lock().values().map(Arc::clone).collect()
    }

    /// When each grace for an outdated TCB ends by which a session was admitted, in Unix milliseconds.
    pub(crate) fn tcb_graces_ms(&self) -> Vec<u64> {
        self.all()
            .iter()
            .filter_map(|session| session.changing().attested.tcb_grace_ends_ms)
            .collect()
    }

    /// How many are live and how many are stale.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let (open, stale) = self.count(LiveSession::is_stale);
        (open.saturating_sub(stale), stale)
    }

    /// How many are open, and how many of them wait to be appraised again.
    pub(crate) fn outdated(&self) -> (u64, u64) {
        self.count(LiveSession::is_outdated)
    }

    fn count(&self, is: fn(&LiveSession) -> bool) -> (u64, u64) {
        let sessions = self.all();
        let counted = sessions.iter().filter(|session| is(session)).count();
        let widen = |count| u64::try_from(count).unwrap_or(u64::MAX);
        (widen(sessions.len()), widen(counted))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerId, Arc<LiveSession>>> {
        // A map of sessions has no half-made state.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveSession {
    /// Tells the session's driver. A driver that does not keep up misses it: a lost cancellation costs a worker's time,
    /// a lost drain is said again with the next lease.
    pub(crate) fn tell(&self, command: Command) {
        if self.commands.try_send(Box::new(command)).is_err() {
            tracing::warn!(worker = %self.worker, "a session does not take its commands");
        }
    }

    /// Whether it may have no task byte: overdue to attest, accepted under a policy that is not in force any more, refused, or
    /// ended, though its driver has not come round to that yet.
    pub(crate) fn is_stale(&self) -> bool {
        let changing = self.changing();
        changing.stale
            || self.ended.is_cancelled()
            || self.clock.monotonic() >= changing.deadline
            || self.in_force.is_policy_replaced(&changing.attested.grounds)
    }

    /// Whether policy or collateral were replaced since its evidence was appraised.
    pub(crate) fn is_outdated(&self) -> bool {
        self.in_force.is_outdated(&self.changing().attested.grounds)
    }

    pub(crate) fn attested(&self) -> Attested {
        self.changing().attested.clone()
    }

    pub(crate) fn mark_stale(&self) {
        self.changing().stale = true;
    }

    /// New evidence was accepted.
    pub(crate) fn attested_again(&self, attested: Attested, deadline: Duration) {
        let reattest_by_ms = wall_ms(self.clock.as_ref(), deadline);
        let mut changing = self.changing();
        let former = std::mem::replace(&mut changing.attested, attested);
        changing.previous = Some(former.key);
        changing.stale = false;
        changing.deadline = deadline;
        changing.reattest_by_ms = reattest_by_ms;
    }

    /// Its evidence was appraised again and stands. The attestation stays the one it was, and so does its deadline; a verdict
    /// on another one, which the session has not any more, changes nothing.
    pub(crate) fn reappraised(&self, attested: Attested) {
        let mut changing = self.changing();
        if changing.attested.key.attestation == attested.key.attestation {
            changing.attested = attested;
            changing.reappraisals = changing.reappraisals.saturating_add(1);
        }
    }

    /// Its evidence was appraised again and is refused: unless it has attested in the meantime, it gets nothing more.
    pub(crate) fn refused(&self, attestation: &str) {
        let mut changing = self.changing();
        if changing.attested.key.attestation == attestation {
            changing.stale = true;
        }
    }

    pub(crate) fn heard(&self, now_ms: u64, telemetry: Telemetry) {
        let mut changing = self.changing();
        changing.heartbeat_ms = Some(now_ms);
        changing.telemetry = Some(telemetry);
    }

    /// It asks for tasks.
    pub(crate) fn asked(&self, operations: &[OperationId], now_ms: u64) {
        let mut changing = self.changing();
        changing.offer.asked_ms = Some(now_ms);
        if changing.offer.operations != operations {
            changing.offer.operations = operations.to_vec();
        }
    }

    pub(crate) fn offer(&self) -> Offer {
        self.changing().offer.clone()
    }

    /// What tasks may demand of it: as its evidence has it, and of memory as its latest heartbeat has it.
    pub(crate) fn traits(&self) -> WorkerTraits {
        let changing = self.changing();
        let measured = changing.telemetry.as_ref().map(|telemetry| &telemetry.gpus);
        let memory_bytes = |uuid: &str| {
            let gpu = measured?.iter().find(|gpu| gpu.uuid == uuid)?;
            gpu.memory_total_bytes
        };
        let gpus = changing.attested.gpus.iter().map(|gpu| GpuTraits {
            architecture: gpu.architecture,
            memory_bytes: memory_bytes(&gpu.uuid),
        });
        WorkerTraits {
            gpus: gpus.collect(),
            appraisal_policy: Some(changing.attested.grounds.policy),
        }
    }

    pub(crate) fn offers(&self, operation: &OperationId) -> bool {
        self.changing().offer.operations.contains(operation)
    }

    /// As its latest heartbeat has it.
    pub(crate) fn is_quarantined(&self) -> bool {
        let changing = self.changing();
        let telemetry = changing.telemetry.as_ref();
        telemetry.is_some_and(|telemetry| telemetry.quarantined)
    }

    /// Under which keys this session's receipts may be signed, the one in force first.
    pub(crate) fn keys(&self) -> Vec<AttestedKey> {
        let changing = self.changing();
        let in_force = std::iter::once(changing.attested.key.clone());
        in_force.chain(changing.previous.clone()).collect()
    }

    pub(crate) fn state(&self) -> WorkerState {
        if self.is_stale() {
            WorkerState::Stale
        } else {
            WorkerState::Live
        }
    }

    pub(crate) fn view(&self) -> SessionView {
        let changing = self.changing();
        let attested = &changing.attested;
        SessionView {
            id: self.id,
            peer: self.peer.to_string(),
            admitted_ms: self.admitted_ms,
            attested_ms: attested.at_ms,
            attestation: attested.key.attestation.clone(),
            appraised_ms: attested.appraised_ms,
            appraisal_policy_sha256: attested.grounds.policy,
            reappraisals: changing.reappraisals,
            reattest_by_ms: changing.reattest_by_ms,
            heartbeat_ms: changing.heartbeat_ms,
            tcb_status: attested.tcb_status.clone(),
            tcb_grace_ends_ms: attested.tcb_grace_ends_ms,
            gpus_attested: attested.devices.clone(),
            advisory_ids: attested.advisory_ids.clone(),
            trust_anchor: attested.trust_anchor.clone(),
            executor: attested.executor.clone(),
            telemetry: changing.telemetry.clone(),
        }
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        // Each change is one assignment after another; none of them can panic halfway.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment of the monotonic clock in Unix milliseconds.
fn wall_ms(clock: &dyn Clock, at: Duration) -> u64 {
    let remaining = at.saturating_sub(clock.monotonic());
    let remaining_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
    (clock.now_us() / 1_000).saturating_add(remaining_ms)
}

#[cfg(test)]
pub(super) mod tests {
    use metrics::Gauge;

    use super::*;
    use crate::admission::in_force::tests::{NOW_S, another_policy, in_force, replace_collateral};
    use crate::store::tests::harness::Worker;
    use crate::world::SystemClock;

    /// What an attestation said of this worker.
    fn attested(worker: &Worker) -> Attested {
        Attested {
            worker: worker.id.clone(),
            key: worker.attested.clone(),
            at_ms: 0,
            appraised_ms: 0,
            tcb_status: "UpToDate".to_owned(),
            tcb_grace_ends_ms: None,
            devices: Vec::new(),
            advisory_ids: Vec::new(),
            trust_anchor: "test".to_owned(),
            executor: "cpu".to_owned(),
            collateral_grace_used_s: 0,
            gpus: Vec::new(),
            boot_id: [4; 16],
            sequence: 0,
            grounds: in_force().1,
        }
    }

    /// Sessions under the policy that [`attested`] is accepted under.
    fn sessions() -> Sessions {
        let clock = Arc::new(SystemClock::start());
        Sessions::new(Gauge::noop(), clock, in_force().0)
    }

    /// A session of this worker that is fresh.
    pub(in crate::worker) fn session(worker: &Worker) -> Arc<LiveSession> {
        let peer = "127.0.0.1:1".parse().unwrap();
        let deadline = Duration::from_hours(1);
        let opened = sessions().open(worker.session, peer, attested(worker), deadline);
        opened.unwrap().0
    }

    fn open(sessions: &Sessions, worker: &Worker, number: u64) -> Arc<LiveSession> {
        let id = SessionId::from_parts(number, 0);
        let peer = "127.0.0.1:1".parse().unwrap();
        let deadline = Duration::from_hours(1);
        let opened = sessions.open(id, peer, attested(worker), deadline);
        opened.unwrap().0
    }

    #[test]
    fn a_session_that_was_replaced_or_ended_is_stale_at_once() {
        let (sessions, worker) = (sessions(), Worker::new("worker-1"));
        let former = open(&sessions, &worker, 1);
        assert!(!former.is_stale());
        let present = open(&sessions, &worker, 2);
        assert!(former.is_stale() && !present.is_stale());
        // What the deletion of a worker does.
        present.ended.cancel();
        assert!(present.is_stale());
    }

    #[test]
    fn between_a_new_policy_and_the_verdict_under_it_a_session_is_stale() {
        let (sessions, worker) = (sessions(), Worker::new("worker-1"));
        let session = open(&sessions, &worker, 1);
        let in_force = Arc::clone(&sessions.in_force);
        in_force.replace_policy(another_policy(&in_force));
        assert!(session.is_stale() && session.is_outdated());
        assert_eq!((sessions.counts(), sessions.outdated()), ((0, 1), (1, 1)));

        let mut again = session.attested();
        again.grounds.policy = in_force.policy().document.sha256;
        again.appraised_ms = 7;
        let mut other = again.clone();
        other.key.attestation = "00".repeat(64);
        session.reappraised(other);
        assert!(session.is_stale(), "a verdict on other evidence");
        session.reappraised(again);
        assert!(!session.is_stale());
        let view = session.view();
        assert_eq!(
            (view.reappraisals, view.appraised_ms, view.attested_ms),
            (1, 7, 0)
        );
        assert_eq!(sessions.outdated(), (1, 0));
    }
    #[test]
    fn newer_collateral_stops_nothing_before_the_verdict() {
        let (sessions, worker) = (sessions(), Worker::new("worker-1"));
        let session = open(&sessions, &worker, 1);
        replace_collateral(&sessions.in_force, NOW_S);
        assert!(!session.is_stale() && session.is_outdated());
        assert_eq!((sessions.counts(), sessions.outdated()), ((1, 0), (1, 1)));
        session.refused(&"00".repeat(64));
        assert!(!session.is_stale(), "a verdict on other evidence");
        session.refused(&session.attested().key.attestation);
        assert!(session.is_stale());
    }
}
