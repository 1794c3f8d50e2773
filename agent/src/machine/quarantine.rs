//! Quarantine: an executor that keeps losing its children computes nothing for anybody until a canary ran well in a new
//! one. A GPU that is broken fails every task that it gets, and fast, so that it would draw the whole queue to itself.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Action, Machine};

/// So many children lost …
const LOSSES_MAX: usize = 4;
/// … within this: more often than tasks by themselves take a child along, even if a few of them hang.
const WINDOW: Duration = Duration::from_mins(10);
/// The first canary comes after this, each further one after twice as long …
const PAUSE_FIRST: Duration = Duration::from_secs(10);
/// … up to this: about as often as a person would look.
const PAUSE_MAX: Duration = Duration::from_mins(15);

/// Losses, and what follows from them.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    losses: VecDeque<Duration>,
    is_on: bool,
    /// Pauses since all was well.
    pauses: u32,
    ended_at: Option<Duration>,
}

impl Quarantine {
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Until when there is to be no child, if this was one loss too many.
    pub(super) fn child_lost(&mut self, now: Duration) -> Option<Duration> {
        let since = now.saturating_sub(WINDOW);
        self.losses.retain(|at| *at >= since);
        self.losses.push_back(now);
        if self.losses.len() < LOSSES_MAX {
            return None;
        }
        // Pauses go on growing for one that is back soon.
        if self.ended_at.is_none_or(|at| at < since) {
            self.pauses = 0;
        }
        self.is_on = true;
        Some(self.goes_on(now))
    }

    /// Until when the next child waits.
    pub(super) fn goes_on(&mut self, now: Duration) -> Duration {
        let factor = 1_u32.checked_shl(self.pauses).unwrap_or(u32::MAX);
        self.pauses = self.pauses.saturating_add(1);
        now.saturating_add(PAUSE_FIRST.saturating_mul(factor).min(PAUSE_MAX))
    }

    /// A canary ran well.
    pub(super) fn ended(&mut self, now: Duration) {
        self.is_on = false;
        self.losses.clear();
        self.ended_at = Some(now);
    }
}

/// What follows for tasks.
impl Machine {
    pub(super) fn quarantined(&mut self) {
        self.counts.quarantines = self.counts.quarantines.saturating_add(1);
        tracing::error!(
            "the executor is in quarantine: too many of its children were lost; no tasks are leased until a canary ran well"
        );
    }

    /// Tasks are better off with another worker; what is computed is still reported.
    pub(super) fn poll_quarantine(&mut self, actions: &mut Vec<Action>) {
        if !self.runner.is_quarantined() {
            return;
        }
        self.held
            .release_not_begun("the worker's executor is in quarantine");
        if self.link.abandon_lease() {
            actions.push(Action::AbandonLease);
        }
        if self.runner.canary_due() {
            actions.push(Action::Canary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_few_losses_in_a_long_time_are_nothing() {
        let mut quarantine = Quarantine::default();
        for count in 0..100 {
            let now = WINDOW / 3 * count + SECOND * count;
            assert_eq!(quarantine.child_lost(now), None);
        }
        assert!(!quarantine.is_on());
    }

    #[test]
    fn one_too_many_begins_it_and_pauses_grow() {
        let mut quarantine = Quarantine::default();
        for _ in 1..LOSSES_MAX {
            assert_eq!(quarantine.child_lost(SECOND), None);
        }
        assert_eq!(quarantine.child_lost(SECOND), Some(SECOND * 11));
        assert!(quarantine.is_on());
        let pauses_s: Vec<_> = (0..8)
            .map(|_| quarantine.goes_on(Duration::ZERO).as_secs())
            .collect();
        assert_eq!(pauses_s, [20, 40, 80, 160, 320, 640, 900, 900]);
        for _ in 0..100 {
            assert_eq!(quarantine.goes_on(Duration::ZERO), PAUSE_MAX);
        }
    }

    #[test]
    fn pauses_begin_small_again_only_after_a_good_while() {
        let mut quarantine = Quarantine::default();
        let mut lose_all = |now| {
            let mut until = None;
            for _ in 0..LOSSES_MAX {
                until = quarantine.child_lost(now);
            }
            quarantine.ended(now);
            until.map(|until: Duration| until.saturating_sub(now))
        };
        assert_eq!(lose_all(SECOND), Some(PAUSE_FIRST));
        assert_eq!(lose_all(SECOND * 60), Some(PAUSE_FIRST * 2));
        assert_eq!(lose_all(SECOND * 120), Some(PAUSE_FIRST * 4));
        assert_eq!(lose_all(SECOND * 121 + WINDOW), Some(PAUSE_FIRST));
    }
}
