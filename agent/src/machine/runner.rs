//! The executor child's life: started, fed one run at a time, killed when what it runs is wanted by nobody, started again.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::lease::LeaseRef;

use super::backoff::Backoff;
use super::event::Tick;
use super::quarantine::Quarantine;

/// A child that dies at once is started again after at most this, doubling …
const RESTART_FIRST: Duration = Duration::from_millis(100);
/// … up to this.
const RESTART_MAX: Duration = Duration::from_secs(30);
/// After so many failed starts in a row the tasks are better off with another worker.
const STARTS_FAILED_MAX: u32 = 3;
/// A cancelled task may finish by itself within this; killing a child costs about as much.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// Where the child is in its life.
#[derive(Debug)]
pub(super) struct Runner {
    state: State,
    restart: Backoff,
    quarantine: Quarantine,
}

#[derive(Debug)]
enum State {
    Stopped {
        retry_at: Duration,
    },
    Starting,
    /// A new child, in quarantine, before or during its canary.
    Trial {
        in_order: bool,
        begun: bool,
    },
    Idle {
        in_order: bool,
    },
    Busy(Busy),
    Closed,
}

#[derive(Debug)]
struct Busy {
    in_order: bool,
    unanswered: VecDeque<LeaseRef>,
    killed: bool,
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            state: State::Stopped {
                retry_at: Duration::ZERO,
            },
            restart: Backoff::new(RESTART_FIRST, RESTART_MAX),
            quarantine: Quarantine::default(),
        }
    }
}

impl Runner {
    pub(super) fn started(&mut self, in_order: bool) {
        self.state = if self.quarantine.is_on() {
            State::Trial {
                in_order,
                begun: false,
            }
        } else {
            State::Idle { in_order }
        };
    }

    /// True once for each child that starts in quarantine.
    pub(super) fn canary_due(&mut self) -> bool {
        match &mut self.state {
            State::Trial { begun, .. } => !std::mem::replace(begun, true),
            _ => false,
        }
    }

    pub(super) fn canary_ended(&mut self, tick: Tick, passed: bool) {
        let State::Trial { in_order, .. } = self.state else {
            return;
        };
        self.state = if passed {
            self.quarantine.ended(tick.now);
            self.restart.succeeded();
            State::Idle { in_order }
        } else {
            State::Stopped {
                retry_at: self.quarantine.goes_on(tick.now),
            }
        };
    }

    pub(super) fn is_quarantined(&self) -> bool {
        self.quarantine.is_on()
    }

    /// Whether so many starts failed that waiting tasks should go elsewhere.
    pub(super) fn start_failed(&mut self, tick: Tick) -> bool {
        let wait = self.restart.failed(tick.random);
        let retry_at = if self.quarantine.is_on() {
            self.quarantine.goes_on(tick.now)
        } else {
            tick.now.saturating_add(wait)
        };
        self.state = State::Stopped { retry_at };
        self.restart.failures() >= STARTS_FAILED_MAX
    }

    pub(super) fn start_due(&mut self, now: Duration) -> bool {
        let due = matches!(self.state, State::Stopped { retry_at } if now >= retry_at);
        if due {
            self.state = State::Starting;
        }
        due
    }

    pub(super) fn run(&mut self, leases: VecDeque<LeaseRef>) {
        if let State::Idle { in_order } = self.state {
            self.state = State::Busy(Busy {
                in_order,
                unanswered: leases,
                killed: false,
            });
        }
    }

    pub(super) fn answered(&mut self, lease: &LeaseRef) {
        if let State::Busy(busy) = &mut self.state {
            // In order, so the first one is nearly always it.
            if let Some(position) = busy
                .unanswered
                .iter()
                .position(|unanswered| unanswered == lease)
            {
                busy.unanswered.remove(position);
            }
        }
    }

    /// A child that we killed ourselves is replaced at once; one that died waits, and counts. True where it was one too
    /// many.
    pub(super) fn run_ended(&mut self, tick: Tick, child_lost: bool) -> bool {
        let State::Busy(busy) = &self.state else {
            return false;
        };
        let (in_order, killed) = (busy.in_order, busy.killed);
        if !child_lost {
            self.restart.succeeded();
            self.state = State::Idle { in_order };
            return false;
        }
        let quarantined_until = if killed {
            None
        } else {
            self.quarantine.child_lost(tick.now)
        };
        let retry_at = match quarantined_until {
            Some(until) => until,
            None if killed => tick.now,
            None => tick.now.saturating_add(self.restart.failed(tick.random)),
        };
        self.state = State::Stopped { retry_at };
        quarantined_until.is_some()
    }

    pub(super) fn closed(&mut self) {
        self.state = State::Closed;
    }

    /// Whether to kill the child because nobody wants what it runs. `dropped_at` says since when a task is not wanted.
    /// Where works run in order, the first without an answer is the one that runs, and those behind it lose nothing.
    pub(super) fn kill_due(
        &mut self,
        now: Duration,
        dropped_at: impl Fn(&LeaseRef) -> Option<Duration>,
    ) -> bool {
        let State::Busy(busy) = &mut self.state else {
            return false;
        };
        let unwanted = |lease: &LeaseRef| {
            dropped_at(lease).is_some_and(|at| now >= at.saturating_add(CANCEL_GRACE))
        };
        let due = match (busy.in_order, busy.unanswered.front()) {
            (_, None) => false,
            (true, Some(running)) => unwanted(running),
            (false, Some(_)) => busy.unanswered.iter().all(unwanted),
        };
        let kill = due && !busy.killed;
        busy.killed |= due;
        kill
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. })
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state, State::Busy(_))
    }

    /// Whether a canary runs, which nobody waits for when the worker stops.
    pub(super) fn is_on_trial(&self) -> bool {
        matches!(self.state, State::Trial { begun: true, .. })
    }

    /// There is a child, or there was one a moment ago and the next is on its way.
    pub(super) fn is_usable(&self) -> bool {
        self.is_idle() || self.is_busy()
    }

    pub(super) fn wake_at(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Stopped { retry_at } => Some(retry_at).filter(|at| *at > now),
            State::Starting
            | State::Trial { .. }
            | State::Idle { .. }
            | State::Busy(_)
            | State::Closed => None,
        }
    }
}
