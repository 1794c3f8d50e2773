//! What is looked for when, by a clock that the test turns.

use simulator::{CollateralOptions, SimulatedPlatform};

use super::*;

const NOW_S: u64 = 1_790_000_000;
const DAY_S: u64 = 86_400;

fn collateral(valid_for_s: u64) -> Collateral {
    let mut options = CollateralOptions::at(NOW_S);
    options.issued_before_s = 0;
    options.valid_for_s = valid_for_s;
    SimulatedPlatform::from_seed(1).collateral(&options)
}

fn family(number: u8) -> Family {
    format!("0000000000{number:02x}-platform").parse().unwrap()
}

/// The first second from which on the family is handed out.
fn looked_for_at(agenda: &Agenda, from_s: u64) -> Option<u64> {
    (from_s..from_s + 40 * DAY_S)
        .step_by(60)
        .find(|now_s| agenda.due(*now_s).is_some())
}

#[test]
fn a_part_is_due_a_week_before_its_end_or_at_two_thirds_of_its_life() {
    assert_eq!(due_s(&collateral(30 * DAY_S)), NOW_S + 23 * DAY_S);
    assert_eq!(due_s(&collateral(3 * 3600)), NOW_S + 2 * 3600);
}

#[test]
fn what_is_held_is_looked_for_once_a_day() {
    let fresh = collateral(30 * DAY_S);
    for random in [0, 1_000, u16::MAX] {
        let mut agenda = Agenda::default();
        agenda.hold([(family(1), &fresh)], NOW_S, random);
        let first = looked_for_at(&agenda, NOW_S).unwrap();
        assert!(first <= NOW_S + DAY_S, "{random}: {first}");
        agenda.succeeded(family(1), &fresh, first, random);
        let second = looked_for_at(&agenda, first).unwrap();
        assert!((first + DAY_S / 2 - 60..=first + DAY_S + 60).contains(&second));
        // What is read from the folder meanwhile changes nothing.
        agenda.hold([(family(1), &fresh)], first + 60, 0);
        assert_eq!(looked_for_at(&agenda, first), Some(second));
    }
}

#[test]
fn what_ends_soon_is_looked_for_before_it_ends() {
    let short = collateral(6 * 3600);
    let mut agenda = Agenda::default();
    agenda.hold([(family(1), &short)], NOW_S, u16::MAX);
    let first = looked_for_at(&agenda, NOW_S).unwrap();
    assert!(first <= NOW_S + 4 * 3600, "{first}");
    // The source has nothing newer: again within the hour, not at once.
    let now_s = NOW_S + 5 * 3600;
    agenda.succeeded(family(1), &short, now_s, 0);
    assert_eq!(agenda.due(now_s + 60), None);
    assert_eq!(agenda.due(now_s + DUE_AGAIN_S), Some(family(1)));
}

#[test]
fn failures_are_repeated_ever_more_slowly_and_for_ever() {
    let held = collateral(30 * DAY_S);
    let mut agenda = Agenda::default();
    agenda.hold([(family(1), &held)], NOW_S, 0);
    let mut now_s = NOW_S + 24 * DAY_S;
    let mut waits = Vec::new();
    for _ in 0..6 {
        assert_eq!(agenda.due(now_s), Some(family(1)));
        agenda.failed(family(1), now_s, u16::MAX);
        let next_s = looked_for_at(&agenda, now_s).unwrap();
        waits.push(next_s - now_s);
        now_s = next_s;
    }
    assert_eq!(waits, [300, 600, 1200, 2400, 3600, 3600]);
}

#[test]
fn what_a_worker_waits_for_comes_first_and_is_fetched_once() {
    let held = collateral(6 * 3600);
    let mut agenda = Agenda::default();
    agenda.hold([(family(1), &held)], NOW_S, 0);
    let now_s = NOW_S + 5 * 3600;
    assert_eq!(agenda.want(family(2), now_s), Wish::Taken);
    assert_eq!(agenda.want(family(2), now_s), Wish::Known);
    assert_eq!(agenda.due(now_s), Some(family(2)));
    agenda.succeeded(family(2), &collateral(30 * DAY_S), now_s, 0);
    assert_eq!(agenda.due(now_s), Some(family(1)));
    assert_eq!(agenda.want(family(2), now_s), Wish::Known);
}

#[test]
fn what_failed_is_not_looked_for_again_soon_however_often_it_is_asked_for() {
    let mut agenda = Agenda::default();
    agenda.want(family(1), NOW_S);
    agenda.failed(family(1), NOW_S, 0);
    assert_eq!(agenda.due(NOW_S), None);
    for later_s in 0..FAILED_FIRST_S / 2 {
        assert_eq!(agenda.want(family(1), NOW_S + later_s), Wish::FailedLately);
    }
    // Its time has come, but nobody asks: it is not looked for by itself.
    let now_s = NOW_S + FAILED_FIRST_S;
    assert_eq!(agenda.due(now_s), None);
    assert_eq!(agenda.want(family(1), now_s), Wish::Taken);
    assert_eq!(agenda.due(now_s), Some(family(1)));
}

#[test]
fn hostile_wishes_are_bounded() {
    let mut agenda = Agenda::default();
    let mut fetches = 0;
    // An hour of a new family each second, every one of which Intel does not know.
    for second in 0..3_600_u64 {
        let now_s = NOW_S + second;
        let [high, low] = u16::try_from(second).unwrap().to_be_bytes();
        let wanted = Family {
            fmspc: [1, 2, 3, 4, high, low],
            ca: attestation::PckCa::Platform,
        };
        agenda.want(wanted, now_s);
        while let Some(family) = agenda.due(now_s) {
            fetches += 1;
            agenda.failed(family, now_s, u16::MAX);
        }
        assert!(agenda.entries.len() <= WANTED_FAMILIES_MAX);
    }
    let rounds = usize::try_from(3_600 / FAILED_FIRST_S).unwrap();
    assert!(fetches <= WANTED_FAMILIES_MAX * rounds, "{fetches}");
}

#[test]
fn a_family_that_left_the_folder_is_forgotten_and_may_be_wanted() {
    let held = collateral(30 * DAY_S);
    let mut agenda = Agenda::default();
    agenda.hold([(family(1), &held)], NOW_S, 0);
    agenda.hold([], NOW_S, 0);
    assert_eq!(agenda.want(family(1), NOW_S), Wish::Taken);
}

#[test]
fn a_clock_that_went_back_stops_nothing() {
    let mut agenda = Agenda::default();
    agenda.want(family(1), NOW_S);
    agenda.failed(family(1), NOW_S, 0);
    assert_eq!(agenda.want(family(1), NOW_S - 30 * DAY_S), Wish::Taken);
}
