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

    /// With this bench's random number a lost child is replaced at once.
    fn restart(&mut self) -> Vec<Action> {
        self.handle(Event::RunnerStarted { in_order: false })
    }

    /// In quarantine, with the pause just begun.
    fn quarantined() -> Self {
        let mut bench = Self::leasing();
        for number in 1..4 {
            bench.lose_child(number);
            assert!(!bench.machine.is_quarantined());
            bench.restart();
        }
        bench.lose_child(4);
        assert!(bench.machine.is_quarantined() && !bench.machine.is_ready());
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
    assert!(bench.machine.is_quarantined() && !bench.machine.is_ready());
    let actions = bench.handle(Event::CanaryEnded { passed: true });
    assert!(!bench.machine.is_quarantined() && bench.machine.is_ready());
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
        assert!(bench.machine.is_quarantined());
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
        assert!(starts(&actions) && !bench.machine.is_quarantined());
        bench.handle(Event::RunnerStarted { in_order: true });
    }
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
