//! The one way to stop.

use super::*;

fn leaves(actions: &[Action]) -> Option<usize> {
    actions.iter().find_map(|action| match action {
        Action::Leave { abandoned } => Some(*abandoned),
        _ => None,
    })
}

#[test]
fn an_idle_worker_leaves_at_once() {
    let mut bench = Bench::leasing();
    let actions = bench.handle(Event::StopRequested);
    assert!(has(&actions, |action| matches!(
        action,
        Action::AbandonLease
    )));
    assert!(has(&actions, |action| matches!(
        action,
        Action::CloseRunner
    )));
    assert!(!has(&actions, |action| matches!(
        action,
        Action::KillRunner
    )));
    assert_eq!(leaves(&actions), Some(0));
    assert!(bench.poll().is_empty(), "nothing follows the end");
}

#[test]
fn a_worker_that_never_connected_leaves_at_once() {
    let mut bench = Bench::new();
    bench.poll();
    assert_eq!(leaves(&bench.handle(Event::StopRequested)), Some(0));
}

#[test]
fn what_runs_finishes_and_what_has_not_begun_is_released() {
    let mut bench = Bench::running(&[1]);
    bench.lease(&[2]);
    let actions = bench.handle(Event::StopRequested);
    assert_eq!(nacks(&actions), [(lease(2), FaultKind::Released)]);
    assert!(!has_lease(&actions));
    bench.handle(Event::Nacked(Ok(())));
    assert_eq!(acks(&bench.done(1, 8)), [lease(1)]);
    assert_eq!(leaves(&bench.run_ended()), None, "the ack is on its way");
    assert_eq!(
        leaves(&bench.handle(Event::Acked(Ok(vec![AckOutcome::Accepted])))),
        Some(0)
    );
    assert_eq!(bench.machine.counts().tasks_succeeded, 1);
}

#[test]
fn what_runs_too_long_is_killed_in_time_to_be_given_back() {
    let mut bench = Bench::running(&[1, 2]);
    bench.handle(Event::StopRequested);
    assert_eq!(
        bench
            .wake_at()
            .map(|at| at <= bench.now + Duration::from_secs(55)),
        Some(true)
    );
    let kills = |actions: &[Action]| has(actions, |action| matches!(action, Action::KillRunner));
    assert!(!kills(&bench.after(Duration::from_millis(54_999))));
    assert!(kills(&bench.after(Duration::from_millis(1))));
    assert!(!kills(&bench.poll()), "once is enough");
    let mut returned = nacks(&bench.answered(1, Answer::Lost("killed".to_owned())));
    bench.handle(Event::Nacked(Ok(())));
    bench.answered(2, Answer::NotRun);
    returned.extend(nacks(&bench.handle(Event::RunEnded { child_lost: true })));
    assert_eq!(
        returned,
        [
            (lease(1), FaultKind::Released),
            (lease(2), FaultKind::Released)
        ]
    );
    assert_eq!(leaves(&bench.handle(Event::Nacked(Ok(())))), Some(0));
}

#[test]
fn the_deadline_ends_it_whatever_is_held() {
    let mut bench = Bench::running(&[1, 2]);
    bench.handle(Event::Disconnected { slow: true });
    bench.handle(Event::StopRequested);
    bench.after(Duration::from_secs(30));
    // A second request moves no deadline.
    bench.handle(Event::StopRequested);
    assert_eq!(leaves(&bench.after(Duration::from_secs(29))), None);
    assert_eq!(leaves(&bench.after(Duration::from_secs(1))), Some(2));
}

#[test]
fn leases_that_arrive_after_the_signal_are_released() {
    let mut bench = Bench::running(&[1]);
    bench.handle(Event::StopRequested);
    assert_eq!(nacks(&bench.lease(&[2])), [(lease(2), FaultKind::Released)]);
}

#[test]
fn a_stopping_worker_reconnects_to_report_and_starts_no_executor() {
    let mut bench = Bench::running(&[1]);
    bench.done(1, 8);
    bench.run_ended();
    bench.handle(Event::StopRequested);
    bench.random = 100_000;
    bench.handle(Event::Disconnected { slow: false });
    let actions = bench.after(Duration::from_millis(100));
    assert!(has(&actions, |action| matches!(action, Action::Connect)));
    let actions = bench.handle(Event::Connected(session("second")));
    assert_eq!(acks(&actions), [lease(1)]);
    assert!(!has(&actions, |action| matches!(action, Action::StartRunner)) && !has_lease(&actions));
}
