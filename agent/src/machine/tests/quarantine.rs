//! A GPU whose children keep dying: no tasks, a pause, a canary; and tasks that were beside one that took a child along.

use super::*;

fn canaries(actions: &[Action]) -> bool {
    has(actions, |action| matches!(action, Action::Canary))
}

fn starts(actions: &[Action]) -> bool {
    has(actions, |action| matches!(action, Action::StartRunner))
}

impl Bench {
    /// A task is leased and takes the child along; what follows from it.
    fn lose_child(&mut self, number: u64) -> Vec<Action> {
        self.lease(&[number]);
        self.answered(number, Answer::Lost("gone".to_owned()));
        self.handle(Event::RunEnded { child_lost: true })
    }

    /// With this bench's random number a lost child is replaced at once. The new one proves itself first.
    fn restart(&mut self) -> Vec<Action> {
        let actions = self.handle(Event::RunnerStarted { in_order: false });
        assert!(canaries(&actions) && runs(&actions).is_empty());
        assert!(!self.machine.is_ready() && !has_lease(&actions));
        self.handle(Event::CanaryEnded { passed: true })
    }

    /// In quarantine, with the pause just begun.
    fn quarantined() -> Self {
        let mut bench = Self::leasing();
        for number in 1..4 {
            bench.lose_child(number);
            assert!(bench.machine.quarantine().is_none());
            bench.restart();
        }
        bench.lose_child(4);
        assert!(bench.machine.quarantine().is_some() && !bench.machine.is_ready());
        bench
    }
}

const PAUSE: Duration = Duration::from_secs(10);

#[test]
fn after_too_many_lost_children_nothing_is_leased_and_what_waits_is_given_back() {
    let mut bench = Bench::leasing();
    for number in 1..4 {
        bench.lose_child(number);
        bench.restart();
    }
    bench.lease(&[4, 5]);
    bench.lease(&[6]);
    bench.answered(4, Answer::Lost("gone".to_owned()));
    bench.answered(5, Answer::NotRun);
    bench.handle(Event::RunEnded { child_lost: true });
    assert_eq!(bench.machine.counts().quarantines, 1);
    // One batch of nacks is on its way at a time.
    let mut given_back = nacks(&bench.handle(Event::Nacked(Ok(()))));
    given_back.extend(nacks(&bench.handle(Event::Nacked(Ok(())))));
    for number in [5, 6] {
        assert!(
            given_back.contains(&(lease(number), FaultKind::Released)),
            "{given_back:?}"
        );
    }
    // An answer to the lease request that was on its way is given back as well.
    let late = bench.lease(&[7]);
    assert!(runs(&late).is_empty());
    assert_eq!(nacks(&late), [(lease(7), FaultKind::Released)]);
    assert!(!has_lease(&bench.after(PAUSE / 2)));
    assert!(bench.machine.telemetry().quarantined);
}

#[test]
fn a_canary_that_runs_well_ends_it() {
    let mut bench = Bench::quarantined();
    assert!(!starts(
        &bench.after(PAUSE.checked_sub(Duration::from_millis(1)).unwrap())
    ));
    assert!(starts(&bench.after(Duration::from_millis(1))));
    let actions = bench.handle(Event::RunnerStarted { in_order: false });
    assert!(canaries(&actions) && !has_lease(&actions));
    assert!(!canaries(&bench.poll()), "one for each child");
    assert!(bench.machine.quarantine().is_some() && !bench.machine.is_ready());
    let actions = bench.handle(Event::CanaryEnded { passed: true });
    assert!(bench.machine.quarantine().is_none() && bench.machine.is_ready());
    assert!(has_lease(&actions), "{actions:?}");
    assert_eq!(runs(&bench.lease(&[9])), [lease(9)]);
}

#[test]
fn canaries_and_starts_that_fail_are_repeated_with_growing_pauses() {
    let mut bench = Bench::quarantined();
    let mut pause = PAUSE;
    for round in 0..4 {
        assert!(!starts(
            &bench.after(pause.checked_sub(Duration::from_millis(1)).unwrap())
        ));
        assert!(starts(&bench.after(Duration::from_millis(1))), "{round}");
        if round % 2 == 0 {
            bench.handle(Event::RunnerStarted { in_order: false });
            bench.handle(Event::CanaryEnded { passed: false });
        } else {
            bench.handle(Event::RunnerStartFailed);
        }
        assert!(bench.machine.quarantine().is_some());
        pause *= 2;
        assert_eq!(
            bench.wake_at().map(|at| at <= bench.now + pause),
            Some(true)
        );
    }
}

#[test]
fn children_that_the_worker_kills_itself_do_not_count() {
    let mut bench = Bench::leasing();
    for number in 1..20 {
        bench.lease(&[number]);
        bench.handle(Event::Cancelled(vec![lease(number)]));
        let actions = bench.after(Duration::from_secs(2));
        assert!(has(&actions, |action| matches!(action, Action::KillRunner)));
        bench.answered(number, Answer::Lost("killed".to_owned()));
        let actions = bench.handle(Event::RunEnded { child_lost: true });
        assert!(starts(&actions) && bench.machine.quarantine().is_none());
        bench.handle(Event::RunnerStarted { in_order: true });
    }
}

/// A GPU that hangs loses one child in each time limit of a task.
#[test]
fn a_gpu_that_hangs_is_quarantined_however_long_each_loss_takes() {
    let mut bench = Bench::leasing();
    for number in 1..=4 {
        assert_eq!(bench.machine.quarantine(), None);
        bench.lease(&[number]);
        bench.after(Duration::from_mins(5));
        bench.answered(number, Answer::Lost("no answer within 300 s".to_owned()));
        bench.handle(Event::RunEnded { child_lost: true });
        if number < 4 {
            bench.after(Duration::from_mins(1));
            bench.restart();
        }
    }
    let reason = Some(QuarantineReason::ChildrenLost);
    assert_eq!(bench.machine.quarantine(), reason);
    assert_eq!(bench.machine.counts().quarantines, 1);
}

#[test]
fn works_done_in_between_keep_a_gpu_out_of_it() {
    let mut bench = Bench::leasing();
    for number in (1..40).step_by(2) {
        bench.lose_child(number);
        bench.restart();
        bench.lease(&[number + 1]);
        bench.done(number + 1, 8);
        bench.run_ended();
        bench.after(Duration::from_secs(1));
    }
    assert_eq!(bench.machine.quarantine(), None);
}

/// Whether it hung or was slow, the canary tells; to count it would quarantine a worker whose tasks are often cancelled.
#[test]
fn after_a_child_that_was_silent_when_it_was_killed_the_next_one_proves_itself() {
    let mut bench = Bench::leasing();
    for number in 1..=10 {
        bench.lease(&[number]);
        bench.now += Duration::from_secs(20);
        bench.handle(Event::Cancelled(vec![lease(number)]));
        let actions = bench.after(Duration::from_secs(1));
        assert!(has(&actions, |action| matches!(action, Action::KillRunner)));
        bench.answered(number, Answer::Lost("killed".to_owned()));
        bench.handle(Event::RunEnded { child_lost: true });
        assert_eq!(bench.machine.quarantine(), None);
        bench.restart();
    }
}

#[test]
fn a_device_that_fails_its_canary_after_one_loss_is_in_quarantine() {
    let mut bench = Bench::leasing();
    bench.lease(&[1, 2]);
    bench.answered(1, Answer::Lost("gone".to_owned()));
    bench.answered(2, Answer::NotRun);
    bench.handle(Event::RunEnded { child_lost: true });
    assert_eq!(bench.machine.quarantine(), None);
    assert!(canaries(
        &bench.handle(Event::RunnerStarted { in_order: true })
    ));
    bench.handle(Event::Nacked(Ok(())));
    let actions = bench.handle(Event::CanaryEnded { passed: false });
    assert_eq!(
        bench.machine.quarantine(),
        Some(QuarantineReason::CanaryFailed)
    );
    assert_eq!(bench.machine.counts().quarantines, 1);
    assert_eq!(nacks(&actions), [(lease(2), FaultKind::Released)]);
    assert!(!starts(
        &bench.after(PAUSE.checked_sub(Duration::from_millis(1)).unwrap())
    ));
    assert!(starts(&bench.after(Duration::from_millis(1))));
}

/// The batch's loss is nobody's; the one that takes the child along again, alone, is the task's.
#[test]
fn a_task_that_takes_children_along_counts_once() {
    let mut bench = Bench::leasing();
    for first in [1, 3, 5] {
        bench.lease(&[first, first + 1]);
        for number in [first, first + 1] {
            bench.answered(number, Answer::Suspect("gone".to_owned()));
        }
        bench.handle(Event::RunEnded { child_lost: true });
        assert_eq!(runs(&bench.restart()), [lease(first)]);
        bench.answered(first, Answer::Lost("gone".to_owned()));
        bench.handle(Event::RunEnded { child_lost: true });
        assert_eq!(runs(&bench.restart()), [lease(first + 1)]);
        bench.answered(first + 1, Answer::TaskFault("rows".to_owned()));
        bench.run_ended();
        bench.handle(Event::Nacked(Ok(())));
        bench.after(Duration::from_secs(1));
    }
    assert_eq!(bench.machine.counts().executor_restarts, 6);
    assert_eq!(bench.machine.quarantine(), None, "three losses count");
}

#[test]
fn suspects_that_quarantine_sends_away_have_failed() {
    let mut bench = Bench::leasing();
    for number in 1..4 {
        bench.lose_child(number);
        bench.restart();
    }
    bench.lease(&[4, 5]);
    for number in [4, 5] {
        bench.answered(number, Answer::Suspect("gone".to_owned()));
    }
    bench.handle(Event::RunEnded { child_lost: true });
    assert_eq!(runs(&bench.restart()), [lease(4)]);
    bench.answered(4, Answer::Lost("gone".to_owned()));
    bench.handle(Event::RunEnded { child_lost: true });
    assert!(bench.machine.quarantine().is_some());
    let mut failed = nacks(&bench.handle(Event::Nacked(Ok(()))));
    failed.extend(nacks(&bench.handle(Event::Nacked(Ok(())))));
    assert!(
        failed.contains(&(lease(5), FaultKind::Failed)),
        "{failed:?}"
    );
}

#[test]
fn an_executor_that_does_not_start_is_quarantined_until_a_canary_ran_well() {
    let mut bench = Bench::new();
    bench.handle(Event::Connected(session("first")));
    for _ in 0..3 {
        assert_eq!(bench.machine.quarantine(), None);
        bench.after(Duration::from_secs(1));
        bench.handle(Event::RunnerStartFailed);
    }
    let reason = Some(QuarantineReason::NoStart);
    assert_eq!(bench.machine.quarantine(), reason);
    assert!(bench.machine.telemetry().quarantined);
    assert_eq!(bench.machine.counts().quarantines, 1);
    assert!(starts(&bench.after(PAUSE)));
    bench.restart();
    assert!(bench.machine.quarantine().is_none() && bench.machine.is_ready());
}

/// Neither for one that begins, nor for the greeting before it.
#[test]
fn a_worker_that_stops_begins_no_canary() {
    let mut bench = Bench::quarantined();
    bench.handle(Event::Nacked(Ok(())));
    // A task that cannot be reported keeps the worker from leaving.
    bench.handle(Event::Disconnected { slow: true });
    bench.lease(&[9]);
    assert!(starts(&bench.after(PAUSE)));
    let kill = |action: &Action| matches!(action, Action::KillRunner);
    assert!(has(&bench.handle(Event::StopRequested), kill));
    let started = Event::RunnerStarted { in_order: false };
    assert!(!canaries(&bench.handle(started)));
    assert!(!canaries(&bench.after(Duration::from_secs(1))));
}

/// Before any quarantine: the child is killed while it proves itself, and that is nothing to report.
#[test]
fn a_worker_that_stops_during_a_canary_begins_no_quarantine() {
    let mut bench = Bench::leasing();
    bench.lease(&[1]);
    bench.answered(1, Answer::Lost("gone".to_owned()));
    bench.handle(Event::RunEnded { child_lost: true });
    assert!(canaries(
        &bench.handle(Event::RunnerStarted { in_order: true })
    ));
    let kill = |action: &Action| matches!(action, Action::KillRunner);
    assert!(has(&bench.handle(Event::StopRequested), kill));
    bench.handle(Event::CanaryEnded { passed: false });
    assert_eq!(bench.machine.counts().quarantines, 0);
    assert!(!bench.machine.telemetry().quarantined);
}

#[test]
fn children_that_die_before_anything_runs_are_one_too_many_at_last() {
    let mut bench = Bench::leasing();
    bench.lease(&[1]);
    for loss in 1..=4 {
        assert_eq!(bench.machine.quarantine(), None, "{loss}");
        bench.answered(1, Answer::NotRun);
        bench.handle(Event::RunEnded { child_lost: true });
        if loss < 4 {
            bench.after(Duration::from_secs(1));
            assert_eq!(runs(&bench.restart()), [lease(1)]);
        }
    }
    let reason = Some(QuarantineReason::ChildrenLost);
    assert_eq!(bench.machine.quarantine(), reason);
}

#[test]
fn a_start_that_fails_leaves_the_doubt() {
    let mut bench = Bench::leasing();
    bench.lose_child(1);
    bench.handle(Event::RunnerStartFailed);
    bench.after(Duration::from_secs(1));
    bench.restart();
    assert_eq!(bench.machine.quarantine(), None);
}

#[test]
fn a_worker_that_stops_does_not_wait_for_a_canary() {
    let mut bench = Bench::quarantined();
    bench.handle(Event::Nacked(Ok(())));
    bench.after(PAUSE);
    bench.handle(Event::RunnerStarted { in_order: false });
    let actions = bench.handle(Event::StopRequested);
    assert!(has(&actions, |action| matches!(action, Action::KillRunner)));
}

#[test]
fn suspects_run_alone_and_only_the_one_that_takes_a_child_along_fails() {
    let mut bench = Bench::running(&[1, 2, 3]);
    for number in 1..=3 {
        bench.answered(number, Answer::Suspect("gone".to_owned()));
    }
    let actions = bench.handle(Event::RunEnded { child_lost: true });
    assert!(nacks(&actions).is_empty() && runs(&actions).is_empty());
    bench.lease(&[4]);
    assert_eq!(runs(&bench.restart()), [lease(1)]);
    bench.done(1, 8);
    assert_eq!(runs(&bench.run_ended()), [lease(2)]);
    let actions = bench.answered(2, Answer::Lost("gone".to_owned()));
    assert_eq!(nacks(&actions), [(lease(2), FaultKind::Failed)]);
    bench.handle(Event::RunEnded { child_lost: true });
    assert_eq!(runs(&bench.restart()), [lease(3)]);
    bench.done(3, 8);
    assert_eq!(runs(&bench.run_ended()), [lease(4)]);
}
