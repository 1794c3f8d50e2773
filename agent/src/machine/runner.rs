//! The executor child's life: started, fed one run at a time, killed when what it runs is wanted by nobody, started again.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::TaskId;
use protocol::lease::LeaseRef;

use super::backoff::Backoff;
use super::event::Tick;
use super::quarantine::{Quarantine, QuarantineReason};

/// A child that dies at once is started again after at most this, doubling …
const RESTART_FIRST: Duration = Duration::from_millis(100);
/// … up to this.
const RESTART_MAX: Duration = Duration::from_secs(30);
/// A cancelled task may finish by itself within this; killing a child costs about as much.
const CANCEL_GRACE: Duration = Duration::from_secs(1);
/// A run that gave no answer for this long hangs, as far as anybody can tell: a work takes a few seconds at most.
const SILENCE_MAX: Duration = Duration::from_secs(10);

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
    /// A new child that takes the place of a lost one, before or during its canary.
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
    /// Of the child.
    in_order: bool,
    /// Of this run: works with a model run together.
    runs_in_order: bool,
    unanswered: VecDeque<LeaseRef>,
    /// When it began or gave its latest answer.
    heard_at: Duration,
    /// The task that was answered as lost.
    culprit: Option<TaskId>,
    killed: Option<Killed>,
}

/// Killed because nobody wants what it runs …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    /// … while it was at work, …
    Working,
    /// … or after it had said nothing for [`SILENCE_MAX`].
    Silent,
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
        self.quarantine.started();
        self.state = if self.quarantine.wants_canary() {
            State::Trial {
                in_order,
                begun: false,
            }
        } else {
            State::Idle { in_order }
        };
    }

    /// True once for each child that is to prove itself.
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
            if self.quarantine.is_on() {
                self.restart.succeeded();
            }
            self.quarantine.canary_passed(tick.now);
            State::Idle { in_order }
        } else {
            State::Stopped {
                retry_at: self.quarantine.canary_failed(tick.now),
            }
        };
    }

    /// The worker that stops killed the child: that says nothing of its device.
    pub(super) fn canary_abandoned(&mut self, now: Duration) {
        if matches!(self.state, State::Trial { .. }) {
            self.state = State::Stopped { retry_at: now };
        }
    }

    pub(super) fn is_quarantined(&self) -> bool {
        self.quarantine.is_on()
    }

    pub(super) fn quarantine(&self) -> Option<QuarantineReason> {
        self.quarantine.reason()
    }

    pub(super) fn start_failed(&mut self, tick: Tick) {
        let wait = self.restart.failed(tick.random);
        let quarantined_until = self.quarantine.start_failed(tick.now);
        let retry_at = quarantined_until.unwrap_or_else(|| tick.now.saturating_add(wait));
        self.state = State::Stopped { retry_at };
    }

    pub(super) fn start_due(&mut self, now: Duration) -> bool {
        let due = matches!(self.state, State::Stopped { retry_at } if now >= retry_at);
        if due {
            self.state = State::Starting;
        }
        due
    }

    /// Whether the child runs works without a model in order, so that they are better kept apart from those with one.
    pub(super) fn is_in_order(&self) -> bool {
        matches!(self.state, State::Idle { in_order: true })
    }

    /// `has_model`: of one of the works at least.
    pub(super) fn run(&mut self, now: Duration, leases: VecDeque<LeaseRef>, has_model: bool) {
        if let State::Idle { in_order } = self.state {
            self.state = State::Busy(Busy {
                in_order,
                runs_in_order: in_order && !has_model,
                unanswered: leases,
                heard_at: now,
                culprit: None,
                killed: None,
            });
        }
    }

    pub(super) fn work_done(&mut self, now: Duration) {
        self.quarantine.work_done(now);
    }

    /// This one took the child along.
    pub(super) fn work_lost(&mut self, culprit: TaskId) {
        if let State::Busy(busy) = &mut self.state {
            busy.culprit.get_or_insert(culprit);
        }
    }

    pub(super) fn answered(&mut self, now: Duration, lease: &LeaseRef) {
        if let State::Busy(busy) = &mut self.state {
            busy.heard_at = now;
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

    /// A child that we killed at work is replaced at once; after one that died or hung the next is to prove itself. It counts,
    /// unless we killed it, or `repeats`: what it ran runs again, each work alone, and a child lost then counts.
    pub(super) fn run_ended(&mut self, tick: Tick, child_lost: bool, repeats: bool) {
        let State::Busy(busy) = &mut self.state else {
            return;
        };
        let (in_order, killed, culprit) = (busy.in_order, busy.killed, busy.culprit.take());
        if !child_lost {
            self.restart.succeeded();
            self.quarantine.run_ended_well();
            self.state = State::Idle { in_order };
            return;
        }
        let quarantined_until = match killed {
            Some(Killed::Working) => None,
            None if !repeats => self.quarantine.child_lost(tick.now, culprit),
            Some(Killed::Silent) | None => {
                self.quarantine.doubt();
                None
            }
        };
        let retry_at = match quarantined_until {
            Some(until) => until,
            None if killed == Some(Killed::Working) => tick.now,
            None => tick.now.saturating_add(self.restart.failed(tick.random)),
        };
        self.state = State::Stopped { retry_at };
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
        let due = match (busy.runs_in_order, busy.unanswered.front()) {
            (_, None) => false,
            (true, Some(running)) => unwanted(running),
            (false, Some(_)) => busy.unanswered.iter().all(unwanted),
        };
        if !due || busy.killed.is_some() {
            return false;
        }
        let is_silent = now >= busy.heard_at.saturating_add(SILENCE_MAX);
        busy.killed = Some(if is_silent {
            Killed::Silent
        } else {
            Killed::Working
        });
        true
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. })
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state, State::Busy(_))
    }

    /// Whether a child gets ready or a canary runs, which nobody waits for when the worker stops.
    pub(super) fn is_preparing(&self) -> bool {
        matches!(
            self.state,
            State::Starting | State::Trial { begun: true, .. }
        )
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
