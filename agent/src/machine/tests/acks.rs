//! Acks, nacks and uploads: batched, kept until the gateway has said so, repeated with the same fencing tokens.

use super::*;

#[test]
fn finished_tasks_share_an_ack() {
    let mut bench = Bench::running(&[1, 2, 3]);
    assert!(
        acks(&bench.done(1, 8)).is_empty(),
        "others still run: it waits for company"
    );
    assert_eq!(bench.wake_at(), Some(bench.now + Duration::from_millis(4)));
    bench.done(2, 8);
    assert_eq!(
        acks(&bench.after(Duration::from_millis(4))),
        [lease(1), lease(2)]
    );
    // One ack at a time; the next one gathers meanwhile.
    bench.done(3, 8);
    assert!(acks(&bench.after(Duration::from_millis(10))).is_empty());
    let actions = bench.handle(Event::Acked(Ok(vec![
        AckOutcome::Accepted,
        AckOutcome::AlreadyAccepted,
    ])));
    assert_eq!(acks(&actions), [lease(3)]);
    assert_eq!(bench.machine.counts().tasks_succeeded, 2);
    assert_eq!(bench.machine.tasks_held(), 1);
}

#[test]
fn a_task_alone_is_acked_at_once() {
    let mut bench = Bench::running(&[1]);
    bench.done(1, 8);
    assert_eq!(acks(&bench.run_ended()), [lease(1)]);
}

#[test]
fn every_outcome_ends_a_task_its_own_way() {
    let refused = AckOutcome::Refused {
        reason: "leaf".to_owned(),
    };
    let cases = [
        (AckOutcome::Accepted, 1, 0, vec![]),
        (AckOutcome::AlreadyAccepted, 1, 0, vec![]),
        (AckOutcome::Superseded, 0, 0, vec![]),
        (AckOutcome::Cancelled, 0, 0, vec![]),
        (AckOutcome::UnknownTask, 0, 0, vec![]),
        (refused, 0, 1, vec![(lease(1), FaultKind::Failed)]),
    ];
    for (outcome, succeeded, failed, returned) in cases {
        let mut bench = Bench::running(&[1]);
        bench.done(1, 8);
        bench.run_ended();
        let actions = bench.handle(Event::Acked(Ok(vec![outcome])));
        let counts = bench.machine.counts();
        assert_eq!(
            (counts.tasks_succeeded, counts.tasks_failed),
            (succeeded, failed)
        );
        assert_eq!(nacks(&actions), returned);
        assert_eq!(bench.machine.tasks_held(), 0);
    }
}

#[test]
fn an_unanswered_ack_is_repeated_with_the_same_tokens() {
    for answer in [
        Err(Failure::Retry),
        Ok(vec![]),
        Ok(vec![AckOutcome::Accepted; 3]),
    ] {
        let mut bench = Bench::running(&[1, 2]);
        bench.random = 100_000;
        bench.done(1, 8);
        bench.done(2, 8);
        assert_eq!(acks(&bench.run_ended()), [lease(1), lease(2)]);
        assert!(
            acks(&bench.handle(Event::Acked(answer))).is_empty(),
            "not at once"
        );
        assert_eq!(
            acks(&bench.after(Duration::from_millis(100))),
            [lease(1), lease(2)]
        );
    }
}

#[test]
fn outputs_survive_a_reconnect_and_are_signed_for_the_new_session() {
    let mut bench = Bench::running(&[1, 2]);
    bench.done(1, 8);
    bench.done(2, 8);
    bench.run_ended();
    bench.handle(Event::Disconnected { slow: false });
    bench.now += Duration::from_secs(1);
    let actions = bench.handle(Event::Connected(session("second")));
    assert_eq!(acks(&actions), [lease(1), lease(2)]);
    assert!(actions.iter().any(
        |action| matches!(action, Action::Ack { session, .. } if session.attestation == "second")
    ));
}

#[test]
fn an_ack_that_can_never_be_accepted_gives_the_tasks_back() {
    let mut bench = Bench::running(&[1]);
    bench.done(1, 8);
    bench.run_ended();
    let actions = bench.handle(Event::Acked(Err(Failure::Permanent(
        "the statement".to_owned(),
    ))));
    assert_eq!(nacks(&actions), [(lease(1), FaultKind::Failed)]);
}

#[test]
fn a_large_output_is_uploaded_before_its_ack() {
    let uploads = |actions: &[Action]| has(actions, |action| matches!(action, Action::Upload(_)));
    let mut bench = Bench::running(&[1]);
    assert!(uploads(&bench.done(1, 65_537)));
    assert!(acks(&bench.run_ended()).is_empty());
    bench.random = 0;
    assert!(uploads(&bench.handle(Event::Uploaded {
        lease: lease(1),
        result: Err(Failure::Retry)
    })));
    bench.handle(Event::Disconnected { slow: false });
    assert!(uploads(&bench.handle(Event::Connected(session("a")))));
    let actions = bench.handle(Event::Uploaded {
        lease: lease(1),
        result: Ok(()),
    });
    assert_eq!(acks(&actions), [lease(1)]);
}

#[test]
fn an_upload_that_is_refused_gives_the_task_back() {
    let mut bench = Bench::running(&[1]);
    bench.done(1, 65_537);
    let result = Err(Failure::Permanent("too large".to_owned()));
    let actions = bench.handle(Event::Uploaded {
        lease: lease(1),
        result,
    });
    assert_eq!(nacks(&actions), [(lease(1), FaultKind::Failed)]);
}

#[test]
fn nacks_are_kept_until_they_are_heard() {
    let mut bench = Bench::running(&[1]);
    let wanted = [(lease(1), FaultKind::Invalid)];
    assert_eq!(
        nacks(&bench.answered(1, Answer::TaskFault("rows".to_owned()))),
        wanted
    );
    bench.random = 0;
    assert_eq!(
        nacks(&bench.handle(Event::Nacked(Err(Failure::Retry)))),
        wanted
    );
    bench.handle(Event::Disconnected { slow: false });
    assert_eq!(nacks(&bench.handle(Event::Connected(session("a")))), wanted);
    assert!(nacks(&bench.handle(Event::Nacked(Ok(())))).is_empty());
    assert_eq!(bench.machine.tasks_held(), 0);
}

#[test]
fn refused_leases_are_given_back() {
    let mut bench = Bench::leasing();
    let fault = Fault {
        kind: FaultKind::Invalid,
        message: "body".to_owned(),
    };
    let refused = vec![Nack {
        lease: lease(9),
        fault,
    }];
    let actions = bench.handle(Event::Leased {
        offers: Vec::new(),
        refused,
        more: false,
    });
    assert_eq!(nacks(&actions), [(lease(9), FaultKind::Invalid)]);
}

#[test]
fn an_ack_stays_within_its_bytes() {
    let mut bench = Bench::leasing();
    let numbers: Vec<_> = (1..=200).collect();
    bench.lease(&numbers);
    for number in &numbers {
        assert!(
            acks(&bench.done(*number, 65_536)).is_empty(),
            "nothing is in a hurry"
        );
    }
    // 8 MiB of outputs of 64 KiB, and a little more than 1 KiB beside each.
    let first = acks(&bench.after(Duration::from_millis(4)));
    assert_eq!(first.len(), 125);
    let outcomes = vec![AckOutcome::Accepted; first.len()];
    bench.handle(Event::Acked(Ok(outcomes)));
    let rest = acks(&bench.after(Duration::from_millis(4)));
    assert_eq!((rest.len(), rest[0]), (75, lease(126)));
}
