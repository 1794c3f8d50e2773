//! A session's life by a clock that the test holds.

use super::*;

const SCHEDULE: Schedule = Schedule {
    reattest_interval: Duration::from_mins(10),
    reattest_grace: Duration::from_mins(1),
    stale_session: Duration::from_mins(1),
    session_age_max: Duration::from_hours(24),
    // The tests of silence set their own.
    silence_max: Duration::MAX,
};
/// The middle of the range: no jitter, to within 10 ms.
const MIDDLE: u16 = u16::MAX / 2;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn life() -> SessionLife {
    SessionLife::new(SCHEDULE, at(1_000), MIDDLE)
}

#[test]
fn a_silent_session_ends_and_a_sign_of_life_puts_that_off() {
    let schedule = Schedule {
        silence_max: at(15),
        ..SCHEDULE
    };
    let mut life = SessionLife::new(schedule, at(1_000), MIDDLE);
    assert_eq!(life.wakes_at(), at(1_015));
    assert_eq!(life.handle(Event::Heard, at(1_010)), None);
    assert_eq!(life.poll(at(1_024)), None);
    assert_eq!(
        life.poll(at(1_025)),
        Some(Action::Close(ErrorCode::ConnectionLost))
    );
    assert_eq!(life.handle(Event::Heard, at(1_026)), None);
    assert_eq!(life.poll(at(9_999)), None);
}

#[test]
fn jitter_spans_a_fifth_either_way() {
    assert_eq!(jittered(at(600), 0), at(480));
    assert_eq!(jittered(at(600), u16::MAX), at(720));
    let middle = jittered(at(600), MIDDLE);
    assert!(
        middle > at(600).saturating_sub(Duration::from_millis(10)) && middle <= at(600),
        "{middle:?}"
    );
    assert!(jittered(Duration::MAX, u16::MAX) > at(1 << 40));
}

#[test]
fn a_worker_that_attests_in_time_is_asked_for_a_day() {
    let (mut life, mut rounds) = (life(), 0);
    let ended_at = loop {
        let now = life.wakes_at();
        match life.poll(now) {
            Some(Action::Request) => {
                assert_eq!(life.handle(Event::Attested { random: MIDDLE }, now), None);
                assert!(!life.awaits_evidence());
                rounds += 1;
            }
            Some(Action::Close(code)) => {
                assert_eq!(code, ErrorCode::SessionExpired);
                break now;
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ended_at, at(1_000 + 86_400));
    assert_eq!(rounds, 144);
}

#[test]
fn silence_makes_a_session_stale_and_then_ends_it() {
    let mut life = life();
    assert_eq!(life.poll(at(1_599)), None);
    assert_eq!(life.poll(at(1_600)), Some(Action::Request));
    assert_eq!(life.poll(at(1_600)), None);
    assert_eq!(life.deadline(), at(1_660));
    assert_eq!(life.poll(at(1_660)), Some(Action::MarkStale));
    assert!(life.awaits_evidence());
    assert_eq!(life.poll(at(1_719)), None);
    assert_eq!(
        life.poll(at(1_720)),
        Some(Action::Close(ErrorCode::SessionExpired))
    );
    assert_eq!(life.poll(at(9_999_999)), None);
    assert_eq!(life.wakes_at(), at(1_000 + 86_400));
}

#[test]
fn late_evidence_revives_a_stale_session() {
    let mut life = life();
    assert_eq!(life.poll(at(1_600)), Some(Action::Request));
    assert_eq!(life.poll(at(1_700)), Some(Action::MarkStale));
    assert_eq!(
        life.handle(Event::Attested { random: MIDDLE }, at(1_701)),
        None
    );
    assert_eq!(life.poll(at(1_800)), None);
    assert_eq!(life.poll(at(2_302)), Some(Action::Request));
}

#[test]
fn a_refusal_ends_the_session_and_nothing_follows() {
    let mut life = life();
    let refused = Event::Refused(ErrorCode::TdDebuggable);
    assert_eq!(
        life.handle(refused, at(1_100)),
        Some(Action::Close(ErrorCode::TdDebuggable))
    );
    assert_eq!(life.handle(refused, at(1_101)), None);
    assert_eq!(life.handle(Event::Attested { random: 0 }, at(1_102)), None);
    assert_eq!(life.poll(at(9_999_999)), None);
}

const OUTDATED: Event = Event::Outdated { replacements: 1 };

#[test]
fn evidence_that_stands_is_appraised_once_and_stays_on_schedule() {
    let mut life = life();
    let deadline = life.deadline();
    assert_eq!(life.handle(OUTDATED, at(1_010)), Some(Action::Reappraise));
    assert_eq!(life.handle(OUTDATED, at(1_011)), None, "it runs");
    assert_eq!(life.handle(Event::Reappraised, at(1_012)), None);
    assert_eq!(life.deadline(), deadline, "as without it");
    assert_eq!(life.poll(at(1_599)), None);
    assert_eq!(life.poll(at(1_600)), Some(Action::Request));
    // The next one comes in the middle of an attestation that is asked for, and moves nothing either.
    let next = Event::Outdated { replacements: 2 };
    assert_eq!(life.handle(next, at(1_601)), Some(Action::Reappraise));
    assert_eq!(life.handle(Event::Reappraised, at(1_602)), None);
    assert_eq!(life.deadline(), at(1_660));
    assert_eq!(life.poll(at(1_660)), Some(Action::MarkStale));
}

#[test]
fn evidence_that_is_refused_under_a_new_policy_ends_the_session_at_once() {
    let mut life = life();
    assert_eq!(life.handle(OUTDATED, at(1_010)), Some(Action::Reappraise));
    let refused = Event::Refused(ErrorCode::PlatformRevoked);
    assert_eq!(
        life.handle(refused, at(1_010)),
        Some(Action::Close(ErrorCode::PlatformRevoked))
    );
    assert_eq!(life.handle(OUTDATED, at(1_011)), None);
    assert_eq!(life.handle(Event::Reappraised, at(1_011)), None);
}

#[test]
fn without_a_verdict_on_what_is_recorded_the_worker_is_asked_once() {
    let mut life = life();
    assert_eq!(life.handle(OUTDATED, at(1_010)), Some(Action::Reappraise));
    let without = Event::NotReappraised { replacements: 1 };
    assert_eq!(life.handle(without, at(1_011)), Some(Action::Request));
    assert_eq!(life.deadline(), at(1_071));
    // Nothing was replaced since: another try would end as the first one did.
    assert_eq!(life.handle(OUTDATED, at(1_012)), None);
    let next = Event::Outdated { replacements: 2 };
    assert_eq!(life.handle(next, at(1_013)), Some(Action::Reappraise));
    assert_eq!(
        life.handle(Event::NotReappraised { replacements: 2 }, at(1_014)),
        None,
        "it is asked, and its deadline stays"
    );
    assert_eq!(life.poll(at(1_071)), Some(Action::MarkStale));
    assert_eq!(
        life.poll(at(1_131)),
        Some(Action::Close(ErrorCode::SessionExpired))
    );
}

#[test]
fn an_answer_without_a_verdict_is_asked_for_again_within_the_grace_and_no_longer() {
    let mut life = life();
    assert_eq!(life.handle(Event::Undecided, at(1_100)), None);
    assert_eq!(life.poll(at(1_599)), None, "nobody was asked");
    assert_eq!(life.poll(at(1_600)), Some(Action::Request));
    let mut asked_s = vec![1_600];
    let closed_at = loop {
        // Each answer takes a second.
        let answered = at(asked_s[asked_s.len() - 1] + 1);
        assert_eq!(life.handle(Event::Undecided, answered), None);
        if life.wakes_at() == at(1_660) {
            assert_eq!(life.poll(at(1_660)), Some(Action::MarkStale));
        }
        let now = life.wakes_at();
        match life.poll(now) {
            Some(Action::Request) => asked_s.push(now.as_secs()),
            Some(Action::Close(ErrorCode::SessionExpired)) => break now,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(closed_at, at(1_720));
    let wanted: Vec<_> = (1_600..1_720).step_by(11).collect();
    assert_eq!(asked_s, wanted);
}

#[test]
fn a_verdict_after_one_without_ends_the_asking() {
    let mut life = life();
    assert_eq!(life.poll(at(1_600)), Some(Action::Request));
    assert_eq!(life.handle(Event::Undecided, at(1_601)), None);
    assert_eq!(life.poll(at(1_610)), None);
    assert_eq!(life.poll(at(1_611)), Some(Action::Request));
    assert_eq!(life.poll(at(1_612)), None);
    let attested = Event::Attested { random: MIDDLE };
    assert_eq!(life.handle(attested, at(1_612)), None);
    assert_eq!(life.poll(at(1_700)), None);
    assert_eq!(life.deadline().as_secs(), 1_612 + 599 + 60);
}

#[test]
fn a_clock_that_leaps_yields_each_action_in_turn() {
    let mut life = life();
    let late = at(3_000);
    assert_eq!(life.poll(late), Some(Action::Request));
    // The worker gets its grace from when it was asked, not from when it should have been.
    assert_eq!(life.poll(late), None);
    assert_eq!(life.poll(at(3_060)), Some(Action::MarkStale));
    assert_eq!(
        life.poll(at(90_000)),
        Some(Action::Close(ErrorCode::SessionExpired))
    );
}
