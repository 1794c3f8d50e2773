//! The one way to stop: a request starts it, one deadline bounds it.

use std::time::Duration;

/// Before the deadline, the executor is killed early enough to tell the gateway; a fifth of the whole, at most this.
const LAST_REQUESTS_MAX: Duration = Duration::from_secs(5);

/// How far the stop has come.
#[derive(Debug, Default)]
pub(super) struct Stop {
    requested: Option<Deadlines>,
    begun: bool,
    killing: bool,
    over: bool,
}

#[derive(Debug, Clone, Copy)]
struct Deadlines {
    kill_at: Duration,
    leave_at: Duration,
}

impl Stop {
    /// Only the first request counts: a second one moves no deadline.
    pub(super) fn request(&mut self, now: Duration, limit: Duration) {
        let last_requests = limit
            .checked_div(5)
            .unwrap_or_default()
            .min(LAST_REQUESTS_MAX);
        let leave_at = now.saturating_add(limit);
        self.requested.get_or_insert(Deadlines {
            kill_at: leave_at.saturating_sub(last_requests),
            leave_at,
        });
    }

    pub(super) fn is_requested(&self) -> bool {
        self.requested.is_some()
    }

    /// True once, at the beginning.
    pub(super) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// True once, when what still runs must be killed.
    pub(super) fn kill_due(&mut self, now: Duration) -> bool {
        let due = self
            .requested
            .is_some_and(|deadlines| now >= deadlines.kill_at);
        due && !std::mem::replace(&mut self.killing, true)
    }

    /// Whether a lost task is our own doing.
    pub(super) fn is_killing(&self) -> bool {
        self.killing
    }

    pub(super) fn deadline_passed(&self, now: Duration) -> bool {
        self.requested
            .is_some_and(|deadlines| now >= deadlines.leave_at)
    }

    /// True once, at the end.
    pub(super) fn finish(&mut self) -> bool {
        !std::mem::replace(&mut self.over, true)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn wake_at(&self, now: Duration) -> Option<Duration> {
        let deadlines = self.requested.filter(|_| !self.over)?;
        [deadlines.kill_at, deadlines.leave_at]
            .into_iter()
            .find(|at| *at > now)
    }
}
