//! Connecting, waiting, leasing, heartbeats, re-attestation.

use super::*;

fn connects(actions: &[Action]) -> bool {
    has(actions, |action| matches!(action, Action::Connect))
}

#[test]
fn a_start_connects_and_starts_the_executor_at_once() {
    let actions = Bench::new().poll();
    assert!(connects(&actions));
    assert!(has(&actions, |action| matches!(
        action,
        Action::StartRunner
    )));
    assert_eq!(actions.len(), 2);
}

#[test]
fn failures_are_met_with_full_jitter() {
    // (failures before, random, wait in microseconds): uniform below a ceiling that doubles from 200 ms to 30 s.
    let cases = [
        (0, 0, 0),
        (0, 200_000, 200_000),
        (0, 200_001, 0),
        (1, 400_000, 400_000),
        (2, 800_000, 800_000),
        (20, 30_000_000, 30_000_000),
    ];
    for (failures, random, wait) in cases {
        let mut bench = Bench::new();
        bench.poll();
        for _ in 0..failures {
            bench.random = 0;
            assert!(connects(
                &bench.handle(Event::ConnectFailed { slow: false })
            ));
        }
        bench.random = random;
        bench.machine.handle(
            Tick {
                now: bench.now,
                random,
            },
            Event::ConnectFailed { slow: false },
        );
        let wait = Duration::from_micros(wait);
        if wait > Duration::ZERO {
            assert!(!connects(&bench.poll()), "{failures} {random}");
            assert_eq!(bench.wake_at(), Some(bench.now + wait));
        }
        assert!(connects(&bench.after(wait)), "{failures} {random}");
    }
}

#[test]
fn a_refused_worker_waits_a_minute_at_least() {
    for random in [0, 17, u64::MAX] {
        let mut bench = Bench::new();
        bench.poll();
        bench.random = random;
        bench.handle(Event::ConnectFailed { slow: true });
        assert!(!connects(&bench.after(Duration::from_millis(59_999))));
        assert!(connects(&bench.after(Duration::from_secs(61))));
    }
}

#[test]
fn a_session_refused_on_the_live_connection_waits_as_long() {
    let mut bench = Bench::leasing();
    assert!(!connects(&bench.handle(Event::Disconnected { slow: true })));
    assert!(!connects(&bench.after(Duration::from_secs(59))));
    assert!(connects(&bench.after(Duration::from_secs(1))));
}

#[test]
fn only_a_steady_session_forgives_earlier_failures() {
    for (lasted_s, ceiling_us) in [(1, 3_200_000), (30, 200_000)] {
        let mut bench = Bench::new();
        bench.poll();
        for _ in 0..4 {
            bench.handle(Event::ConnectFailed { slow: false });
        }
        bench.handle(Event::Connected(session("a")));
        bench.after(Duration::from_secs(lasted_s));
        bench.random = ceiling_us;
        bench.handle(Event::Disconnected { slow: false });
        assert_eq!(
            bench.wake_at(),
            Some(bench.now + Duration::from_micros(ceiling_us))
        );
    }
}

#[test]
fn nothing_is_leased_without_an_executor() {
    let mut bench = Bench::new();
    bench.poll();
    assert!(!has_lease(&bench.handle(Event::Connected(session("a")))));
    assert!(!bench.machine.is_ready());
    assert!(has_lease(
        &bench.handle(Event::RunnerStarted { in_order: true })
    ));
    assert!(bench.machine.is_ready());
}

#[test]
fn one_lease_request_at_a_time_for_what_is_free() {
    let mut bench = Bench::leasing();
    assert!(!has_lease(&bench.poll()));
    let actions = bench.lease(&[1, 2, 3]);
    let wanted = actions.iter().find_map(|action| match action {
        Action::Lease { tasks_max } => Some(*tasks_max),
        _ => None,
    });
    assert_eq!(wanted, Some(1));
    assert!(!has_lease(&bench.lease(&[4])), "no place is free");
}

#[test]
fn nothing_is_asked_for_while_more_may_come_of_the_latest_request() {
    let mut bench = Bench::leasing();
    assert!(!has_lease(&bench.leased(&[1], true)));
    assert!(!has_lease(&bench.leased(&[2], true)));
    // The rest of it, and its end.
    assert!(has_lease(&bench.lease(&[3])));
    assert!(!has_lease(&bench.leased(&[], true)));
    // An answer that brought something was no empty one, however soon it ends.
    let mut bench = Bench::leasing();
    assert!(!has_lease(&bench.leased(&[1], true)));
    assert!(has_lease(&bench.lease(&[])));
}

#[test]
fn a_request_that_was_given_up_stays_so_whatever_comes_of_it() {
    let mut bench = Bench::leasing();
    assert!(!has_lease(&bench.leased(&[1], true)));
    let actions = bench.handle(Event::StopRequested);
    assert!(has(&actions, |action| matches!(
        action,
        Action::AbandonLease
    )));
    let actions = bench.leased(&[2], true);
    assert_eq!(nacks(&actions), [(lease(2), FaultKind::Released)]);
    assert!(!has(&bench.poll(), |action| matches!(
        action,
        Action::AbandonLease
    )));
}

#[test]
fn an_empty_answer_that_came_too_soon_is_not_asked_again_at_once() {
    let mut bench = Bench::leasing();
    assert!(!has_lease(&bench.lease(&[])));
    assert_eq!(bench.wake_at(), Some(Duration::from_secs(1)));
    assert!(has_lease(&bench.after(Duration::from_secs(1))));
    // A long poll that lasted is repeated at once.
    bench.now += Duration::from_secs(30);
    assert!(has_lease(&bench.lease(&[])));
}

#[test]
fn a_failed_lease_request_waits() {
    let mut bench = Bench::leasing();
    bench.random = 150_000;
    assert!(!has_lease(&bench.handle(Event::LeaseFailed)));
    assert!(has_lease(&bench.after(Duration::from_secs(1))));
}

#[test]
fn a_drained_worker_gives_back_and_asks_again_later() {
    let mut bench = Bench::running(&[1]);
    bench.machine.handle(
        Tick {
            now: bench.now,
            random: 0,
        },
        Event::Leased {
            offers: vec![offer(2, 8)],
            refused: Vec::new(),
            more: false,
        },
    );
    let actions = bench.handle(Event::Drained);
    assert_eq!(nacks(&actions), [(lease(2), FaultKind::Released)]);
    assert!(!has_lease(&actions));
    assert!(!has_lease(&bench.after(Duration::from_secs(4))));
    assert!(has_lease(&bench.after(Duration::from_secs(1))));
}

fn disconnects(actions: &[Action]) -> bool {
    has(actions, |action| matches!(action, Action::Disconnect))
}

#[test]
fn changed_devices_have_the_worker_report_and_then_connect_anew() {
    let mut bench = Bench::running(&[1, 2]);
    bench.done(1, 8);
    let actions = bench.handle(Event::DevicesChanged);
    assert!(has(&actions, |action| matches!(
        action,
        Action::AbandonLease
    )));
    assert!(!disconnects(&actions), "an output is to be reported");
    assert!(!bench.machine.is_ready());
    assert_eq!(acks(&bench.after(Duration::from_millis(4))), [lease(1)]);
    let actions = bench.handle(Event::Acked(Ok(vec![AckOutcome::Accepted])));
    assert!(disconnects(&actions) && !has_lease(&actions));

    // What runs goes on, and is reported under the next attestation.
    let actions = bench.handle(Event::Disconnected { slow: false });
    assert!(connects(&actions) && !disconnects(&actions));
    bench.done(2, 8);
    let actions = bench.run_ended();
    assert!(acks(&actions).is_empty());
    let actions = bench.handle(Event::Connected(session("second")));
    assert!(!disconnects(&actions));
    assert_eq!(acks(&actions), [lease(2)]);
    assert!(bench.machine.is_ready());
}

#[test]
fn a_gateway_that_does_not_answer_keeps_no_attestation_that_is_no_longer_true() {
    let mut bench = Bench::running(&[1]);
    bench.done(1, 8);
    assert_eq!(acks(&bench.run_ended()), [lease(1)]);
    assert!(!disconnects(&bench.handle(Event::DevicesChanged)));
    assert!(!disconnects(&bench.after(Duration::from_millis(4_999))));
    assert!(disconnects(&bench.after(Duration::from_millis(1))));
    bench.handle(Event::Disconnected { slow: false });
    let actions = bench.handle(Event::Connected(session("second")));
    assert_eq!(acks(&actions), [lease(1)], "it is reported again");
}

#[test]
fn evidence_on_its_way_when_the_devices_change_is_made_again() {
    let mut bench = Bench::new();
    assert!(connects(&bench.poll()));
    bench.handle(Event::DevicesChanged);
    assert!(disconnects(
        &bench.handle(Event::Connected(session("outdated")))
    ));
    assert!(connects(&bench.handle(Event::Disconnected { slow: false })));
    assert!(!disconnects(
        &bench.handle(Event::Connected(session("present")))
    ));

    // Not connected, there is nothing to leave.
    let mut bench = Bench::new();
    bench.poll();
    bench.random = 100_000;
    bench.handle(Event::ConnectFailed { slow: false });
    bench.handle(Event::DevicesChanged);
    assert!(connects(&bench.after(Duration::from_secs(1))));
    assert!(!disconnects(
        &bench.handle(Event::Connected(session("present")))
    ));
}

#[test]
fn nothing_runs_on_devices_that_no_attestation_names() {
    let mut bench = Bench::running(&[1]);
    bench.lease(&[2]);
    bench.done(1, 8);
    bench.handle(Event::DevicesChanged);
    assert!(runs(&bench.run_ended()).is_empty());
    bench.after(Duration::from_secs(5));
    // Its lease is the worker's: it runs as soon as the connection is left.
    assert_eq!(
        runs(&bench.handle(Event::Disconnected { slow: false })),
        [lease(2)]
    );
}

#[test]
fn a_worker_that_stops_does_not_connect_anew_for_changed_devices() {
    let mut bench = Bench::running(&[1]);
    bench.handle(Event::StopRequested);
    assert!(!disconnects(&bench.handle(Event::DevicesChanged)));
    assert!(!disconnects(&bench.after(Duration::from_secs(6))));
}

#[test]
fn heartbeats_come_every_five_seconds_with_what_is_known() {
    let mut bench = Bench::running(&[1, 2]);
    assert!(!has(
        &bench.after(Duration::from_millis(4_999)),
        |action| matches!(action, Action::Heartbeat(_))
    ));
    let actions = bench.after(Duration::from_millis(1));
    let held = actions.iter().find_map(|action| match action {
        Action::Heartbeat(telemetry) => Some(telemetry.tasks_held),
        _ => None,
    });
    assert_eq!(held, Some(2));
}

#[test]
fn an_answer_waits_for_the_ack_on_its_way_and_acks_wait_for_the_outcome() {
    let sends = |actions: &[Action]| has(actions, |action| matches!(action, Action::SendEvidence));
    let mut bench = Bench::running(&[1, 2]);
    bench.done(1, 8);
    assert_eq!(acks(&bench.after(Duration::from_millis(4))), [lease(1)]);
    assert!(
        !sends(&bench.handle(Event::EvidenceReady)),
        "an ack under the old attestation is on its way"
    );
    bench.done(2, 8);
    bench.now += Duration::from_millis(4);
    // Its answer comes: the evidence goes out, and the next ack waits for the gateway's word.
    let actions = bench.handle(Event::Acked(Ok(vec![AckOutcome::Accepted])));
    assert!(sends(&actions) && acks(&actions).is_empty());
    assert!(acks(&bench.after(Duration::from_secs(1))).is_empty());
    let actions = bench.handle(Event::Readmitted {
        attestation: "second".to_owned(),
    });
    let attestation = actions.iter().find_map(|action| match action {
        Action::Ack { session, .. } => Some(session.attestation.as_str()),
        _ => None,
    });
    assert_eq!(attestation, Some("second"));
}
