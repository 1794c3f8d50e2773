//! Fetching, running, renewing, cancelling; a child that is lost.

use super::*;

fn fetches(actions: &[Action]) -> usize {
    actions
        .iter()
        .filter(|action| matches!(action, Action::Fetch(_)))
        .count()
}

fn renewals(actions: &[Action]) -> usize {
    let renewal = actions.iter().find_map(|action| match action {
        Action::Renew(leases) => Some(leases.len()),
        _ => None,
    });
    renewal.unwrap_or(0)
}

fn kills(actions: &[Action]) -> bool {
    has(actions, |action| matches!(action, Action::KillRunner))
}

fn starts(actions: &[Action]) -> bool {
    has(actions, |action| matches!(action, Action::StartRunner))
}

#[test]
fn inputs_are_fetched_and_then_run() {
    let mut bench = Bench::leasing();
    let actions = bench.handle(Event::Leased {
        offers: vec![offer_to_fetch(1)],
        refused: Vec::new(),
        more: false,
    });
    assert_eq!((fetches(&actions), runs(&actions).len()), (1, 0));
    let actions = bench.handle(Event::Fetched {
        lease: lease(1),
        result: Ok(work(1)),
    });
    assert_eq!(runs(&actions), [lease(1)]);
}

#[test]
fn a_fetch_that_fails_is_repeated_given_back_or_forgotten() {
    let fault = Fault {
        kind: FaultKind::Failed,
        message: "input 0 is another".to_owned(),
    };
    let cases = [
        (
            FetchFailure::Fault(fault),
            vec![(lease(1), FaultKind::Failed)],
            0,
            0,
        ),
        (FetchFailure::LeaseLost, vec![], 0, 0),
        (FetchFailure::Retry, vec![], 1, 1),
    ];
    for (failure, wanted, held, fetched_again) in cases {
        let mut bench = Bench::leasing();
        bench.handle(Event::Leased {
            offers: vec![offer_to_fetch(1)],
            refused: Vec::new(),
            more: false,
        });
        let mut actions = bench.handle(Event::Fetched {
            lease: lease(1),
            result: Err(failure),
        });
        actions.extend(bench.after(Duration::from_secs(1)));
        assert_eq!(nacks(&actions), wanted);
        assert_eq!(
            (bench.machine.tasks_held(), fetches(&actions)),
            (held, fetched_again)
        );
    }
}

#[test]
fn inputs_that_the_gateway_cannot_serve_do_not_hold_a_place_for_ever() {
    let mut bench = Bench::leasing();
    let mut actions = bench.handle(Event::Leased {
        offers: vec![offer_to_fetch(1)],
        refused: Vec::new(),
        more: false,
    });
    let mut tries = 0;
    while fetches(&actions) == 1 {
        tries += 1;
        assert!(tries < 100, "fetched for ever");
        actions = bench.handle(Event::Fetched {
            lease: lease(1),
            result: Err(FetchFailure::Retry),
        });
        if actions.is_empty() {
            actions = bench.after(Duration::from_secs(5));
        }
        bench.now += Duration::from_secs(5);
    }
    assert!(tries > 10, "given back after {tries}");
    assert_eq!(nacks(&actions), [(lease(1), FaultKind::Failed)]);
    bench.handle(Event::Nacked(Ok(())));
    assert_eq!(bench.machine.tasks_held(), 0);
}

#[test]
fn fetches_are_bounded_and_survive_a_disconnect() {
    let mut bench = Bench::leasing();
    let offers = (1..=6).map(offer_to_fetch).collect();
    assert_eq!(
        fetches(&bench.handle(Event::Leased {
            offers,
            refused: Vec::new(),
            more: false
        })),
        4
    );
    bench.handle(Event::Disconnected { slow: false });
    assert_eq!(fetches(&bench.poll()), 0);
    assert_eq!(fetches(&bench.handle(Event::Connected(session("a")))), 4);
    // An answer to a task that was dropped meanwhile frees its place.
    bench.handle(Event::Cancelled(vec![lease(5)]));
    assert_eq!(bench.machine.tasks_held(), 5);
}

#[test]
fn one_run_at_a_time_with_all_that_is_ready() {
    let mut bench = Bench::running(&[1]);
    assert!(runs(&bench.lease(&[2])).is_empty());
    bench.done(1, 8);
    bench.lease(&[3]);
    assert_eq!(runs(&bench.run_ended()), [lease(2), lease(3)]);
}

#[test]
fn memory_is_shared_out_in_order_and_one_large_task_may_run_alone() {
    use protocol::task::{InputDescriptor, TaskBody};
    let large = |number: u64, bytes: u64| {
        let mut lease = crate::session::tests::lease(number, &[0; 8]);
        let body = TaskBody {
            operation: "transpose".to_owned(),
            version: 1,
            parameters: serde_json::from_value(
                serde_json::json!({"rows": 1, "columns": bytes / 4}),
            )
            .unwrap(),
            inputs: vec![InputDescriptor {
                sha256: Sha256Digest::of(b""),
                bytes,
            }],
        };
        lease.body = serde_bytes::ByteBuf::from(body.canonical().unwrap());
        lease.inputs = vec![LeaseInput::Fetch];
        Offer::read(lease).unwrap()
    };
    let half = held::HELD_BYTES_MAX / 4;
    let mut bench = Bench::leasing();
    let offers = vec![large(1, half), large(2, half), large(3, half)];
    assert_eq!(
        fetches(&bench.handle(Event::Leased {
            offers,
            refused: Vec::new(),
            more: false
        })),
        2
    );
    assert_eq!(fetches(&bench.handle(Event::Cancelled(vec![lease(1)]))), 1);
}

#[test]
fn faults_are_told_apart() {
    let cases = [
        (
            Answer::TaskFault("rows".to_owned()),
            Some(FaultKind::Invalid),
            1,
        ),
        (
            Answer::Lost("killed".to_owned()),
            Some(FaultKind::Failed),
            1,
        ),
        (
            Answer::NotHere("no memory".to_owned()),
            Some(FaultKind::Failed),
            1,
        ),
        (Answer::NotRun, None, 0),
    ];
    for (answer, wanted, failed) in cases {
        let mut bench = Bench::running(&[1]);
        let actions = bench.answered(1, answer);
        assert_eq!(nacks(&actions).first().map(|(_, kind)| *kind), wanted);
        assert_eq!(bench.machine.counts().tasks_failed, failed);
    }
}

#[test]
fn a_lost_child_is_replaced_and_what_was_not_begun_runs_on_the_next_one() {
    let mut bench = Bench::running(&[1, 2, 3]);
    bench.random = 100_000;
    bench.answered(1, Answer::Lost("the executor ended".to_owned()));
    bench.answered(2, Answer::NotRun);
    bench.answered(3, Answer::NotRun);
    assert!(
        !starts(&bench.handle(Event::RunEnded { child_lost: true })),
        "a lost child is not replaced at once"
    );
    assert!(starts(&bench.after(Duration::from_millis(100))));
    bench.handle(Event::RunnerStarted { in_order: true });
    assert_eq!(
        runs(&bench.handle(Event::CanaryEnded { passed: true })),
        [lease(2), lease(3)]
    );
    assert_eq!(bench.machine.counts().executor_restarts, 1);
}

#[test]
fn an_executor_that_does_not_start_gives_its_tasks_back() {
    let mut bench = Bench::running(&[1, 2]);
    bench.answered(1, Answer::NotRun);
    bench.answered(2, Answer::NotRun);
    bench.handle(Event::RunEnded { child_lost: true });
    let mut returned = Vec::new();
    for _ in 0..3 {
        bench.after(Duration::from_secs(30));
        returned.extend(nacks(&bench.handle(Event::RunnerStartFailed)));
    }
    returned.sort_by_key(|(lease, _)| lease.task);
    assert_eq!(
        returned,
        [
            (lease(1), FaultKind::Released),
            (lease(2), FaultKind::Released)
        ]
    );
    assert!(!bench.machine.is_ready());
}

#[test]
fn leases_are_renewed_together_at_a_third_of_their_length() {
    let mut bench = Bench::running(&[1, 2]);
    assert_eq!(renewals(&bench.after(Duration::from_millis(9_999))), 0);
    assert_eq!(renewals(&bench.after(Duration::from_millis(1))), 2);
    assert_eq!(renewals(&bench.after(Duration::from_secs(9))), 0);
    assert_eq!(
        renewals(&bench.after(Duration::from_secs(1))),
        2,
        "the answer was lost"
    );
    bench.handle(Event::Disconnected { slow: false });
    assert_eq!(
        renewals(&bench.handle(Event::Connected(session("a")))),
        2,
        "a new connection renews at once"
    );
}

#[test]
fn a_task_whose_lease_ran_out_waits_for_its_renewal() {
    let mut bench = Bench::running(&[1]);
    bench.lease(&[2]);
    bench.now += Duration::from_secs(31);
    bench.done(1, 8);
    assert!(runs(&bench.run_ended()).is_empty());
    let renewed = RenewedLease {
        lease: lease(2),
        lease_duration_ms: Some(30_000),
    };
    assert_eq!(
        runs(&bench.handle(Event::Renewed(vec![renewed]))),
        [lease(2)]
    );
}

#[test]
fn a_lost_lease_or_a_cancelled_task_is_dropped() {
    let lost = Event::Renewed(vec![RenewedLease {
        lease: lease(2),
        lease_duration_ms: None,
    }]);
    for event in [lost, Event::Cancelled(vec![lease(2)])] {
        let mut bench = Bench::running(&[1]);
        bench.lease(&[2]);
        bench.handle(event);
        assert_eq!(bench.machine.tasks_held(), 1);
        bench.done(1, 8);
        assert!(runs(&bench.run_ended()).is_empty());
    }
}

#[test]
fn a_running_task_that_nobody_wants_is_killed_after_a_grace() {
    let mut bench = Bench::running(&[1, 2]);
    assert!(!kills(&bench.handle(Event::Cancelled(vec![lease(1)]))));
    assert!(!kills(&bench.after(Duration::from_millis(999))));
    assert!(kills(&bench.after(Duration::from_millis(1))));
    assert!(
        !kills(&bench.after(Duration::from_secs(1))),
        "once is enough"
    );
    // Nobody is told of the task that was cancelled; the one behind it runs on the next child, started at once.
    assert!(nacks(&bench.answered(1, Answer::Lost("killed".to_owned()))).is_empty());
    bench.answered(2, Answer::NotRun);
    assert!(starts(&bench.handle(Event::RunEnded { child_lost: true })));
    assert_eq!(
        runs(&bench.handle(Event::RunnerStarted { in_order: true })),
        [lease(2)]
    );
    assert_eq!(bench.machine.counts().tasks_failed, 0);
}

#[test]
fn a_cancelled_task_behind_others_is_killed_when_its_turn_comes() {
    let mut bench = Bench::running(&[1, 2]);
    bench.handle(Event::Cancelled(vec![lease(2)]));
    assert!(!kills(&bench.after(Duration::from_secs(5))));
    assert!(kills(&bench.done(1, 8)));
}

#[test]
fn works_out_of_order_are_killed_only_together() {
    let mut bench = Bench::new();
    bench.poll();
    bench.handle(Event::RunnerStarted { in_order: false });
    bench.handle(Event::Connected(session("a")));
    bench.lease(&[1, 2]);
    bench.handle(Event::Cancelled(vec![lease(1)]));
    assert!(!kills(&bench.after(Duration::from_secs(5))));
    bench.handle(Event::Cancelled(vec![lease(2)]));
    assert!(kills(&bench.after(Duration::from_secs(1))));
}

/// A text for the model.
fn text(number: u64) -> Offer {
    use protocol::task::{InputDescriptor, TaskBody};
    let mut lease = crate::session::tests::lease(number, b"a");
    let body = TaskBody {
        operation: "embed".to_owned(),
        version: 1,
        parameters: serde_json::from_str(r#"{"model": "all-MiniLM-L6-v2"}"#).unwrap(),
        inputs: vec![InputDescriptor::of(b"a")],
    };
    lease.body = serde_bytes::ByteBuf::from(body.canonical().unwrap());
    Offer::read(lease).unwrap()
}

#[test]
fn works_with_a_model_run_apart_where_the_others_run_in_order() {
    let leased = |in_order| {
        let mut bench = Bench::new();
        bench.poll();
        bench.handle(Event::RunnerStarted { in_order });
        bench.handle(Event::Connected(session("a")));
        let offers = vec![offer(1, 8), text(2), offer(3, 8), text(4)];
        let refused = Vec::new();
        let actions = bench.handle(Event::Leased {
            offers,
            refused,
            more: false,
        });
        (bench, runs(&actions))
    };
    assert_eq!(leased(false).1, [1, 2, 3, 4].map(lease));
    let (mut bench, first) = leased(true);
    assert_eq!(first, [1, 3].map(lease));
    // In order: the first one is killed although somebody wants the other.
    bench.handle(Event::Cancelled(vec![lease(1)]));
    assert!(kills(&bench.after(Duration::from_secs(1))));
    bench.answered(1, Answer::Lost("killed".to_owned()));
    bench.answered(3, Answer::NotRun);
    bench.handle(Event::RunEnded { child_lost: true });
    let next = runs(&bench.handle(Event::RunnerStarted { in_order: true }));
    assert_eq!(next, [lease(3)]);
    bench.done(3, 8);
    assert_eq!(runs(&bench.run_ended()), [2, 4].map(lease));
    bench.handle(Event::Cancelled(vec![lease(2)]));
    assert!(!kills(&bench.after(Duration::from_secs(1))), "together");
}

#[test]
fn the_same_lease_twice_is_one_task() {
    let mut bench = Bench::running(&[1]);
    bench.lease(&[1]);
    assert_eq!(bench.machine.tasks_held(), 1);
    let actions = bench.done(1, 8);
    assert!(runs(&actions).is_empty());
}
