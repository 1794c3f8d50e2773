//! Quarantine: an executor that keeps losing its children, or that does not start, computes nothing for anybody until a
//! canary ran well in a new one. A GPU that is broken fails every task that it gets, and fast, so that it would draw the
//! whole queue to itself.
//!
//! Whether a device is broken is found out by asking it: a child that takes the place of one that died or hung runs a canary
//! first, which has every operation in it. What a canary does not find, such as a device that fails under load, is counted.

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::TaskId;

use super::{Action, Machine, Tick};

/// So many tasks took a child along with no output in between, however long that took: a GPU that hangs loses one in each
/// time limit of a task. Tasks by themselves take a child along, but hardly so many in a row; the attempts of one count once.
const TASKS_LOST_MAX: usize = 4;
/// So many children were lost over no task that is wanted, with no run in between that ended well.
const IDLE_LOSSES_MAX: u32 = 4;
/// So many starts failed in a row: whatever is missing does not come by itself.
const STARTS_FAILED_MAX: u32 = 3;
/// … but a GPU in confidential mode takes no work until its evidence verified, and that attestation then waits only some
/// seconds for the child: what does not start is tried again so often, however long that takes.
const PAUSE_NO_START: Duration = Duration::from_secs(5);
/// The first canary comes after this, each further one after twice as long …
const PAUSE_FIRST: Duration = Duration::from_secs(10);
/// … up to this: about as often as a person would look.
const PAUSE_MAX: Duration = Duration::from_mins(15);
/// Pauses begin small again where works are still done so long after the last quarantine.
const STEADY: Duration = Duration::from_mins(10);

/// Why an executor is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineReason {
    ChildrenLost,
    CanaryFailed,
    NoStart,
}

impl QuarantineReason {
    pub const ALL: [Self; 3] = [Self::ChildrenLost, Self::CanaryFailed, Self::NoStart];

    /// Completes "the executor is in quarantine, because …".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChildrenLost => "too many of its children were lost",
            Self::CanaryFailed => "it did not compute what is known (the worker's log says what)",
            Self::NoStart => "its child does not start (the worker's log says why)",
        }
    }
}

/// Losses and failed starts, and what follows from them.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    /// Tasks that took a child along, since the last output.
    losses: BTreeSet<TaskId>,
    /// Children lost over none, since the last run that ended well.
    idle_losses: u32,
    /// The child before was lost: the next one is to prove itself.
    in_doubt: bool,
    /// In a row.
    starts_failed: u32,
    reason: Option<QuarantineReason>,
    /// Pauses since all was well.
    pauses: u32,
    ended_at: Option<Duration>,
}

impl Quarantine {
    pub(super) fn reason(&self) -> Option<QuarantineReason> {
        self.reason
    }

    pub(super) fn is_on(&self) -> bool {
        self.reason.is_some()
    }

    /// Whether a new child computes nothing for anybody before its canary ran well.
    pub(super) fn wants_canary(&self) -> bool {
        self.in_doubt || self.is_on()
    }

    /// A child was lost, and nobody in particular is to blame.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// Until when there is to be no child, if this was one loss too many. `culprit` took the child along.
    pub(super) fn child_lost(
        &mut self,
        now: Duration,
        culprit: Option<TaskId>,
    ) -> Option<Duration> {
        self.in_doubt = true;
        let too_many = if let Some(task) = culprit {
            self.losses.insert(task);
            self.losses.len() >= TASKS_LOST_MAX
        } else {
            self.idle_losses = self.idle_losses.saturating_add(1);
            self.idle_losses >= IDLE_LOSSES_MAX
        };
        too_many.then(|| self.begins(now, QuarantineReason::ChildrenLost))
    }

    /// Until when the next start waits, if there is a quarantine or this was one failure too many.
    pub(super) fn start_failed(&mut self, now: Duration) -> Option<Duration> {
        if self.is_on() {
            return Some(self.goes_on(now));
        }
        self.starts_failed = self.starts_failed.saturating_add(1);
        (self.starts_failed >= STARTS_FAILED_MAX)
            .then(|| self.begins(now, QuarantineReason::NoStart))
    }

    pub(super) fn started(&mut self) {
        self.starts_failed = 0;
    }

    /// The executor gave an output.
    pub(super) fn work_done(&mut self, now: Duration) {
        self.losses.clear();
        if self
            .ended_at
            .is_none_or(|at| now >= at.saturating_add(STEADY))
        {
            self.pauses = 0;
        }
    }

    pub(super) fn run_ended_well(&mut self) {
        self.idle_losses = 0;
    }

    fn begins(&mut self, now: Duration, reason: QuarantineReason) -> Duration {
        self.reason = Some(reason);
        self.goes_on(now)
    }

    /// Until when the next child waits, since this one gave no known answers.
    pub(super) fn canary_failed(&mut self, now: Duration) -> Duration {
        self.begins(now, QuarantineReason::CanaryFailed)
    }

    /// Until when the next child waits.
    fn goes_on(&mut self, now: Duration) -> Duration {
        if self.reason == Some(QuarantineReason::NoStart) {
            return now.saturating_add(PAUSE_NO_START);
        }
        let factor = 1_u32.checked_shl(self.pauses).unwrap_or(u32::MAX);
        self.pauses = self.pauses.saturating_add(1);
        now.saturating_add(PAUSE_FIRST.saturating_mul(factor).min(PAUSE_MAX))
    }

    /// What is counted goes on being counted, but for a quarantine that ends: it counts anew after that.
    pub(super) fn canary_passed(&mut self, now: Duration) {
        self.in_doubt = false;
        if !self.is_on() {
            return;
        }
        self.reason = None;
        self.losses.clear();
        self.idle_losses = 0;
        self.starts_failed = 0;
        self.ended_at = Some(now);
    }
}

/// What follows for tasks.
impl Machine {
    /// `before`: why there was one already.
    pub(super) fn quarantine_may_begin(&mut self, before: Option<QuarantineReason>) {
        let (None, Some(reason)) = (before, self.runner.quarantine()) else {
            return;
        };
        self.counts.quarantines = self.counts.quarantines.saturating_add(1);
        tracing::error!(
            "the executor is in quarantine, because {}; no tasks are leased until a canary ran well",
            reason.as_str()
        );
    }

    pub(super) fn canary_ended(&mut self, tick: Tick, passed: bool) {
        if !passed && self.stop.is_requested() {
            return self.runner.canary_abandoned(tick.now);
        }
        let before = self.runner.quarantine();
        self.runner.canary_ended(tick, passed);
        self.quarantine_may_begin(before);
    }

    /// What a new child is asked first. In quarantine tasks are better off with another worker; what is computed is still
    /// reported.
    pub(super) fn poll_quarantine(&mut self, actions: &mut Vec<Action>) {
        if !self.stop.is_requested() && self.runner.canary_due() {
            actions.push(Action::Canary);
        }
        if !self.runner.is_quarantined() {
            return;
        }
        self.held
            .release_not_begun("the worker's executor is in quarantine");
        if self.link.abandon_lease() {
            actions.push(Action::AbandonLease);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn over(task: u64) -> TaskId {
        TaskId::from_parts(task, 0)
    }

    #[test]
    fn losses_between_outputs_are_nothing() {
        let mut quarantine = Quarantine::default();
        for number in 0..100 {
            if number % 3 == 0 {
                quarantine.work_done(SECOND);
            }
            assert_eq!(quarantine.child_lost(SECOND, Some(over(number))), None);
            quarantine.canary_passed(SECOND);
        }
        quarantine.work_done(SECOND);
        for number in 100..103 {
            assert_eq!(quarantine.child_lost(SECOND, Some(over(number))), None);
            quarantine.canary_passed(SECOND);
        }
        assert_eq!(
            quarantine.child_lost(SECOND, Some(over(103))),
            Some(SECOND * 11)
        );
        assert_eq!(quarantine.reason(), Some(QuarantineReason::ChildrenLost));
    }

    #[test]
    fn attempts_of_one_task_count_once() {
        let mut quarantine = Quarantine::default();
        for _ in 0..100 {
            assert_eq!(quarantine.child_lost(SECOND, Some(over(1))), None);
            quarantine.canary_passed(SECOND);
        }
        assert!(!quarantine.is_on());
    }

    #[test]
    fn children_lost_over_nothing_count_until_a_run_ends_well() {
        let mut quarantine = Quarantine::default();
        for count in 0..100 {
            if count % 3 == 0 {
                quarantine.run_ended_well();
            }
            assert_eq!(quarantine.child_lost(SECOND, None), None);
            quarantine.canary_passed(SECOND);
        }
        quarantine.child_lost(SECOND, None);
        quarantine.child_lost(SECOND, None);
        assert!(quarantine.child_lost(SECOND, None).is_some());
    }

    #[test]
    fn a_canary_that_fails_begins_it_and_pauses_grow() {
        let mut quarantine = Quarantine::default();
        assert!(!quarantine.wants_canary());
        quarantine.doubt();
        assert!(quarantine.wants_canary() && !quarantine.is_on());
        assert_eq!(quarantine.canary_failed(SECOND), SECOND * 11);
        assert_eq!(quarantine.reason(), Some(QuarantineReason::CanaryFailed));
        let pauses_s: Vec<_> = (0..8)
            .map(|_| quarantine.goes_on(Duration::ZERO).as_secs())
            .collect();
        assert_eq!(pauses_s, [20, 40, 80, 160, 320, 640, 900, 900]);
        for _ in 0..100 {
            assert_eq!(quarantine.goes_on(Duration::ZERO), PAUSE_MAX);
        }
        quarantine.canary_passed(SECOND);
        assert!(!quarantine.wants_canary() && !quarantine.is_on());
    }

    #[test]
    fn starts_that_fail_in_a_row_begin_it() {
        let mut quarantine = Quarantine::default();
        for _ in 0..10 {
            assert_eq!(quarantine.start_failed(SECOND), None);
            assert_eq!(quarantine.start_failed(SECOND), None);
            quarantine.started();
        }
        for _ in 1..STARTS_FAILED_MAX {
            assert_eq!(quarantine.start_failed(SECOND), None);
        }
        for _ in 0..20 {
            assert_eq!(quarantine.start_failed(SECOND), Some(SECOND * 6));
            assert_eq!(quarantine.reason(), Some(QuarantineReason::NoStart));
        }
        // One that starts and computes nonsense is another matter.
        assert_eq!(quarantine.canary_failed(SECOND), SECOND * 11);
        assert_eq!(quarantine.start_failed(SECOND), Some(SECOND * 21));
    }

    /// One that passes canaries and does nothing else well is seen ever less often.
    #[test]
    fn pauses_begin_small_again_only_where_works_are_done_a_good_while_later() {
        let mut quarantine = Quarantine::default();
        let mut lose_all = |now, done_at: Option<Duration>| {
            if let Some(at) = done_at {
                quarantine.work_done(at);
            }
            let mut until = None;
            for task in 0..4 {
                until = quarantine.child_lost(now, Some(over(task)));
            }
            quarantine.canary_passed(now);
            until.map(|until: Duration| until.saturating_sub(now))
        };
        let at = |seconds| SECOND * seconds;
        assert_eq!(lose_all(at(1), None), Some(PAUSE_FIRST));
        assert_eq!(lose_all(at(60), Some(at(30))), Some(PAUSE_FIRST * 2));
        assert_eq!(lose_all(at(2_000), None), Some(PAUSE_FIRST * 4));
        assert_eq!(lose_all(at(4_000), Some(at(2_599))), Some(PAUSE_FIRST * 8));
        assert_eq!(lose_all(at(6_000), Some(at(4_600))), Some(PAUSE_FIRST));
    }
}
