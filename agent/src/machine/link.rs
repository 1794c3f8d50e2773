//! The connection's life, and which requests are on their way over it.

use std::sync::Arc;
use std::time::Duration;

use protocol::lease::{LeaseRef, Nack};
use protocol::limits::HEARTBEAT_INTERVAL_S;

use super::backoff::{Backoff, STEADY, slow_retry};
use super::event::{Finished, Session, Tick};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1).saturating_mul(HEARTBEAT_INTERVAL_S);
/// Refused reports and leases are tried again after this, doubling …
const REQUEST_FIRST: Duration = Duration::from_millis(200);
/// … up to this: a stale session is admitted again within seconds.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// An answer without leases that came sooner is no long poll: do not ask again at once.
const EMPTY_LEASE_MIN: Duration = Duration::from_secs(1);
/// What is finished is reported in a round trip or two; an attestation that is no longer true stays no longer than this.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// A drained worker asks so often whether it still is.
const DRAINED_POLL: Duration = Duration::from_secs(5);

/// Down, connecting, or up.
#[derive(Debug)]
pub(super) struct Link {
    state: State,
    reconnect: Backoff,
    requests: Backoff,
}

#[derive(Debug)]
enum State {
    Down {
        retry_at: Duration,
    },
    /// `outdated`: the evidence on its way was made before the devices changed.
    Connecting {
        outdated: bool,
    },
    Up(Box<Up>),
}

#[derive(Debug)]
struct Up {
    session: Session,
    since: Duration,
    heartbeat_at: Duration,
    lease_in_flight: bool,
    lease_at: Duration,
    acking: Vec<LeaseRef>,
    nacking: Vec<Nack>,
    request_at: Duration,
    reattestation: Reattestation,
    /// Set when the devices changed: by when this connection is left.
    leave_by: Option<Duration>,
}

/// Receipts name the attestation in force, so no ack may be on its way while it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reattestation {
    None,
    /// The evidence is at hand and waits for the ack in flight.
    Ready,
    /// Sent; acks wait for the gateway's word.
    Sent,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            state: State::Down {
                retry_at: Duration::ZERO,
            },
            reconnect: Backoff::of_reconnects(),
            requests: Backoff::new(REQUEST_FIRST, REQUEST_MAX),
        }
    }
}

/// Coming and going.
impl Link {
    pub(super) fn connect_due(&mut self, now: Duration) -> bool {
        let due = matches!(self.state, State::Down { retry_at } if now >= retry_at);
        if due {
            self.state = State::Connecting { outdated: false };
        }
        due
    }

    pub(super) fn connected(&mut self, now: Duration, session: Session) {
        let outdated = matches!(self.state, State::Connecting { outdated: true });
        self.requests.succeeded();
        self.state = State::Up(Box::new(Up {
            session,
            since: now,
            heartbeat_at: now,
            lease_in_flight: false,
            lease_at: now,
            acking: Vec::new(),
            nacking: Vec::new(),
            request_at: now,
            reattestation: Reattestation::None,
            leave_by: outdated.then_some(now),
        }));
    }

    pub(super) fn failed(&mut self, tick: Tick, slow: bool) {
        let wait = self.reconnect.failed(tick.random);
        let wait = if slow { slow_retry(tick.random) } else { wait };
        self.state = State::Down {
            retry_at: tick.now.saturating_add(wait),
        };
    }

    pub(super) fn disconnected(&mut self, tick: Tick, slow: bool) {
        if self
            .up()
            .is_some_and(|up| tick.now >= up.since.saturating_add(STEADY))
        {
            self.reconnect.succeeded();
        }
        self.failed(tick, slow);
    }

    pub(super) fn is_up(&self) -> bool {
        self.up().is_some()
    }

    /// Whether no report is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.up()
            .is_none_or(|up| up.acking.is_empty() && up.nacking.is_empty())
    }

    pub(super) fn heartbeat_due(&mut self, now: Duration) -> bool {
        let Some(up) = self.up_mut() else {
            return false;
        };
        let due = now >= up.heartbeat_at;
        if due {
            up.heartbeat_at = now.saturating_add(HEARTBEAT_INTERVAL);
        }
        due
    }

    /// The next moment after `now` at which something is due; what is due by `now` waits for an event.
    pub(super) fn wake_at(&self, now: Duration) -> Option<Duration> {
        match &self.state {
            State::Down { retry_at } => Some(*retry_at),
            State::Connecting { .. } => None,
            State::Up(up) => [up.heartbeat_at, up.lease_at, up.request_at]
                .into_iter()
                .chain(up.leave_by)
                .filter(|at| *at > now)
                .min(),
        }
    }

    fn up(&self) -> Option<&Up> {
        match &self.state {
            State::Up(up) => Some(up),
            State::Down { .. } | State::Connecting { .. } => None,
        }
    }

    fn up_mut(&mut self) -> Option<&mut Up> {
        match &mut self.state {
            State::Up(up) => Some(up),
            State::Down { .. } | State::Connecting { .. } => None,
        }
    }
}

/// Re-attestation.
impl Link {
    pub(super) fn evidence_ready(&mut self) {
        if let Some(up) = self.up_mut() {
            up.reattestation = Reattestation::Ready;
        }
    }

    /// True once, when the evidence may be sent: no ack is on its way.
    pub(super) fn answer_due(&mut self) -> bool {
        let Some(up) = self.up_mut() else {
            return false;
        };
        let due = up.reattestation == Reattestation::Ready && up.acking.is_empty();
        if due {
            up.reattestation = Reattestation::Sent;
        }
        due
    }

    pub(super) fn readmitted(&mut self, attestation: String) {
        if let Some(up) = self.up_mut() {
            up.session.attestation = attestation;
            up.reattestation = Reattestation::None;
        }
    }
}

/// Leaving, because the devices changed.
impl Link {
    /// A connection that is not begun carries new evidence by itself.
    pub(super) fn devices_changed(&mut self, now: Duration) {
        match &mut self.state {
            State::Down { .. } => {}
            State::Connecting { outdated } => *outdated = true,
            State::Up(up) => {
                up.leave_by.get_or_insert(now.saturating_add(LEAVE_MAX));
            }
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.up().is_some_and(|up| up.leave_by.is_some())
    }

    /// Whether to leave now: everything finished is reported, or it took too long.
    pub(super) fn leave_due(&self, now: Duration, all_reported: bool) -> bool {
        self.up()
            .and_then(|up| up.leave_by)
            .is_some_and(|leave_by| all_reported || now >= leave_by)
    }
}

/// Leasing.
impl Link {
    pub(super) fn lease_possible(&self, now: Duration) -> bool {
        self.up()
            .is_some_and(|up| !up.lease_in_flight && now >= up.lease_at)
    }

    pub(super) fn lease_begun(&mut self, now: Duration) {
        if let Some(up) = self.up_mut() {
            up.lease_in_flight = true;
            up.lease_at = now.saturating_add(EMPTY_LEASE_MIN);
        }
    }

    /// Leases came, or none did within the wait; more may come.
    pub(super) fn leased(&mut self, now: Duration, any: bool, more: bool) {
        if let Some(up) = self.up_mut() {
            // One that was given up stays so, whatever has come of it meanwhile.
            up.lease_in_flight &= more;
            if any {
                up.lease_at = now;
            }
        }
        if any {
            self.requests.succeeded();
        }
    }

    pub(super) fn lease_failed(&mut self, tick: Tick) {
        let wait = self.requests.failed(tick.random);
        if let Some(up) = self.up_mut() {
            up.lease_in_flight = false;
            up.lease_at = tick.now.saturating_add(wait);
        }
    }

    /// Whether there was a request to give up.
    pub(super) fn abandon_lease(&mut self) -> bool {
        self.up_mut()
            .is_some_and(|up| std::mem::replace(&mut up.lease_in_flight, false))
    }

    pub(super) fn drained(&mut self, now: Duration) {
        if let Some(up) = self.up_mut() {
            up.lease_at = now.saturating_add(DRAINED_POLL);
        }
    }
}

/// Acks and nacks: one of each on its way at a time.
impl Link {
    pub(super) fn ack_possible(&self, now: Duration) -> bool {
        self.up().is_some_and(|up| {
            up.acking.is_empty() && now >= up.request_at && up.reattestation != Reattestation::Sent
        })
    }

    /// The session that the batch is signed for; nothing for an empty batch.
    pub(super) fn ack_begun(&mut self, finished: &[Arc<Finished>]) -> Option<Session> {
        let up = self.up_mut().filter(|_| !finished.is_empty())?;
        up.acking = finished
            .iter()
            .map(|finished| finished.offer.lease)
            .collect();
        Some(up.session.clone())
    }

    pub(super) fn ack_ended(&mut self) -> Vec<LeaseRef> {
        self.up_mut()
            .map(|up| std::mem::take(&mut up.acking))
            .unwrap_or_default()
    }

    pub(super) fn nack_possible(&self, now: Duration) -> bool {
        self.up()
            .is_some_and(|up| up.nacking.is_empty() && now >= up.request_at)
    }

    pub(super) fn nack_begun(&mut self, nacks: Vec<Nack>) {
        if let Some(up) = self.up_mut() {
            up.nacking = nacks;
        }
    }

    pub(super) fn nack_ended(&mut self) -> Vec<Nack> {
        self.up_mut()
            .map(|up| std::mem::take(&mut up.nacking))
            .unwrap_or_default()
    }

    /// Whether inputs and outputs may be moved: the last failure is far enough back.
    pub(super) fn transfer_possible(&self, now: Duration) -> bool {
        self.up().is_some_and(|up| now >= up.request_at)
    }

    pub(super) fn request_succeeded(&mut self) {
        self.requests.succeeded();
    }

    pub(super) fn request_failed(&mut self, tick: Tick) {
        let wait = self.requests.failed(tick.random);
        if let Some(up) = self.up_mut() {
            up.request_at = tick.now.saturating_add(wait);
        }
    }
}
