//! Tests of the CCEL parser, the member's encoding, replay and the closing event.

use proptest::prelude::*;

use super::*;
use crate::{ErrorCode, digest::sha384, evidence::EVENT_LOG_BYTES_MAX};

fn with_run_time(text: &str) -> EventLog {
    EventLog {
        run_time: text.parse().unwrap(),
        ..event_log()
    }
}

#[test]
fn a_log_has_one_encoding() {
    let log = event_log();
    let bytes = log.encode().unwrap();
    assert_eq!(bytes[..2], [0xa2, 0x00], "a map of two, integer keys");
    assert_eq!(EventLog::decode(&bytes).unwrap(), log);
    let trailing = [bytes.clone(), vec![0]].concat();
    assert!(matches!(
        EventLog::decode(&trailing),
        Err(EventLogError::NotDeterministic)
    ));
    let mut swapped = vec![0xa2, 0x01, 0x60, 0x00];
    swapped.extend(minicbor::to_vec(minicbor::bytes::ByteVec::from(head())).unwrap());
    assert!(matches!(
        EventLog::decode(&swapped),
        Err(EventLogError::NotDeterministic)
    ));
    for nonsense in [&b""[..], &[0xa0], &[0xa1, 0x00, 0x40], b"nonsense"] {
        let error = EventLog::decode(nonsense).unwrap_err();
        assert!(matches!(error, EventLogError::Cbor(_)), "{error}");
        assert_eq!(error.code(), ErrorCode::EventLogMalformed);
    }
}

#[test]
fn padding_is_read_but_not_sent() {
    let log = event_log();
    for padding in [&[0xff_u8; 100][..], &[0; 100], &[0xff; 3], &[0; 1]] {
        let area = [log.ccel.bytes(), padding].concat();
        assert_eq!(Ccel::parse(&area).unwrap(), log.ccel);
        let member = Member {
            ccel: area,
            run_time: String::new(),
        };
        assert!(matches!(
            EventLog::decode(&minicbor::to_vec(member).unwrap()),
            Err(EventLogError::NotDeterministic)
        ));
    }
    // td-shim's area: zeros, and behind them what was there before.
    let mixed = [log.ccel.bytes(), &[0; 64], &[0xff; 64]].concat();
    assert_eq!(Ccel::parse(&mixed).unwrap(), log.ccel);
}

#[test]
fn a_member_over_its_limit_is_refused_both_ways() {
    let filler = entry(1, EventType::IPL, [0; 48], &vec![1; EVENT_LOG_BYTES_MAX]);
    let log = EventLog {
        ccel: Ccel::parse(&[head(), filler].concat()).unwrap(),
        ..event_log()
    };
    assert!(matches!(log.encode(), Err(EventLogError::TooLong { .. })));
    assert!(matches!(
        EventLog::decode(&log.to_cbor()),
        Err(EventLogError::TooLong { .. })
    ));
}

/// Each refusal of the parser, by what provokes it.
#[test]
fn malformed_logs_are_refused_by_name() {
    type Fits = fn(&EventLogError) -> bool;
    let good = entry(1, EventType::SEPARATOR, [1; 48], &[0; 4]);
    let digests = |count: u32, digests: &[u8]| {
        let mut entry = good[..8].to_vec();
        entry.extend(count.to_le_bytes());
        entry.extend(digests);
        entry.extend([0; 4]);
        entry
    };
    let sha384 = [&[0x0c, 0][..], &[1; 48]].concat();
    let cases: [(Vec<u8>, Fits); 12] = [
        (Vec::new(), |e| matches!(e, EventLogError::CutShort { .. })),
        (good.clone(), |e| {
            matches!(e, EventLogError::CutShort { .. })
        }),
        ([head()[..32].to_vec(), vec![0; 40]].concat(), |e| {
            matches!(e, EventLogError::NotALog)
        }),
        (head_of(&[(0x12, 32)]), |e| {
            matches!(e, EventLogError::NoSha384)
        }),
        (head_of(&[(0x0c, 32)]), |e| {
            matches!(e, EventLogError::NoSha384)
        }),
        (head_of(&[(0x0c, 48); 9]), |e| {
            matches!(e, EventLogError::TooManyAlgorithms(9))
        }),
        (
            [head(), entry(5, EventType::IPL, [0; 48], b"")].concat(),
            |e| {
                matches!(
                    e,
                    EventLogError::UnknownRegister {
                        index: 5,
                        offset: 65
                    }
                )
            },
        ),
        ([head(), digests(0, &[])].concat(), |e| {
            matches!(e, EventLogError::DigestMissing { offset: 65 })
        }),
        ([head(), digests(9, &[])].concat(), |e| {
            matches!(e, EventLogError::TooManyAlgorithms(9))
        }),
        (
            [head(), digests(2, &[&sha384[..], &sha384].concat())].concat(),
            |e| matches!(e, EventLogError::DigestRepeated { .. }),
        ),
        ([head(), digests(1, &[0x0b, 0])].concat(), |e| {
            matches!(
                e,
                EventLogError::UnknownAlgorithm {
                    algorithm: 0x0b,
                    ..
                }
            )
        }),
        (
            [head(), good.clone(), vec![0xff; 16], vec![1]].concat(),
            |e| matches!(e, EventLogError::BehindEnd { .. }),
        ),
    ];
    for (bytes, fits) in cases {
        let error = Ccel::parse(&bytes).unwrap_err();
        assert!(fits(&error), "{error:?}");
        assert_eq!(error.code(), ErrorCode::EventLogMalformed);
    }
}

#[test]
fn more_events_and_bytes_than_the_limits_are_refused() {
    let event = entry(1, EventType::SEPARATOR, [1; 48], &[]);
    let log = |count: usize| [head(), event.repeat(count)].concat();
    assert!(Ccel::parse(&log(CCEL_EVENTS_COUNT_MAX)).is_ok());
    assert!(matches!(
        Ccel::parse(&log(CCEL_EVENTS_COUNT_MAX + 1)),
        Err(EventLogError::TooManyEvents(CCEL_EVENTS_COUNT_MAX))
    ));
    let area = [head(), vec![0xff; CCEL_AREA_BYTES_MAX]].concat();
    assert!(matches!(
        Ccel::parse(&area),
        Err(EventLogError::TooLong { .. })
    ));
}

#[test]
fn replay_extends_each_register_by_its_own_events() {
    let log = event_log();
    let extend = |old: [u8; 48], digest: [u8; 48]| sha384(&[&old, &digest]);
    let run_time = log
        .run_time
        .events()
        .iter()
        .fold([0; 48], |old, event| extend(old, event.digest().0));
    let wanted = [
        extend([0; 48], [1; 48]),
        extend([0; 48], [2; 48]),
        extend(extend([0; 48], [3; 48]), [4; 48]),
        run_time,
    ]
    .map(Measurement);
    assert_eq!(log.replay().rtmrs, wanted);
    assert_eq!(log.replay().compare(&wanted), Ok(()));
    let mut other = wanted;
    other[0] = Measurement::ZERO;
    other[3] = Measurement::ZERO;
    let mismatch = log.replay().compare(&other).unwrap_err();
    assert_eq!(mismatch.code(), ErrorCode::EventLogMismatch);
    assert_eq!(
        mismatch.to_string(),
        "the event log does not replay to RTMR0, RTMR3"
    );
}

#[test]
fn what_only_informs_extends_nothing() {
    let informing = [
        entry(1, EventType::NO_ACTION, [9; 48], b"StartupLocality\0"),
        entry(0, EventType::SEPARATOR, [9; 48], b""),
    ];
    let mut log = event_log();
    let replay = log.replay();
    log.ccel = Ccel::parse(&[log.ccel.bytes(), &informing.concat()].concat()).unwrap();
    assert_eq!(log.replay(), replay);
    assert_eq!(log.ccel.events().len(), 6, "but it is shown");
}

#[test]
fn a_log_is_closed_exactly_once_and_last() {
    let closed = with_run_time("a 01\nb\ncocoon:closed\n");
    let names: Vec<_> = closed
        .closing()
        .unwrap()
        .events()
        .iter()
        .map(RunTimeEvent::name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert!(with_run_time("cocoon:closed\n").closing().is_ok());
    for (text, wanted) in [
        ("", ClosingError::Missing),
        ("a\n", ClosingError::Missing),
        ("cocoon:closed\na\n", ClosingError::NotLast),
        ("cocoon:closed\ncocoon:closed\n", ClosingError::Repeated(2)),
        (
            "cocoon:closed\na\ncocoon:closed\n",
            ClosingError::Repeated(2),
        ),
        ("cocoon:closed 00\n", ClosingError::Payload),
    ] {
        let error = with_run_time(text).closing().unwrap_err();
        assert_eq!(error, wanted, "{text:?}");
        assert_eq!(error.code(), ErrorCode::ClosingEventInvalid);
    }
}

/// Somebody who extends RTMR3 after the boot could otherwise pass the first closing event, and what he did since, for
/// entries of the firmware, whose digests are only said, and close the log again.
#[test]
fn a_closing_event_cannot_hide_among_the_firmwares() {
    let honest = with_run_time("cocoon:closed\nevil\ncocoon:closed\n");
    let hidden = honest.run_time.events()[..2].iter();
    let hidden = hidden.map(|event| entry(4, EventType::IPL, event.digest().0, b""));
    let mut log = with_run_time("cocoon:closed\n");
    log.ccel = Ccel::parse(
        &[
            log.ccel.bytes().to_vec(),
            hidden.collect::<Vec<_>>().concat(),
        ]
        .concat(),
    )
    .unwrap();
    assert_eq!(log.replay(), honest.replay(), "it replays to the register");
    assert_eq!(log.closing(), Err(ClosingError::Concealed));
}

#[test]
fn the_digest_says_what_it_covers() {
    let mut covered = event(Register::Rtmr0, EventType::SEPARATOR, 0, &[0; 4]);
    covered.digest = Measurement(sha384(&[&[0; 4]]));
    assert_eq!(covered.coverage(), Coverage::Content);
    let mut data = vec![0; 16];
    data.extend(1_u64.to_le_bytes());
    data.extend(2_u64.to_le_bytes());
    data.extend(b"B\0\x07\x08");
    let mut value = event(Register::Rtmr0, EventType::EFI_VARIABLE_BOOT, 0, &data);
    value.digest = Measurement(sha384(&[&[7, 8]]));
    assert_eq!(value.coverage(), Coverage::VariableValue);
    let said = event(Register::Rtmr2, EventType::IPL, 1, b"cocoon");
    assert_eq!(said.coverage(), Coverage::Nothing);
    assert_eq!(
        event_log().events().last().unwrap().coverage(),
        Coverage::Content
    );
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = EventLog::decode(&bytes);
        let area = [head(), bytes].concat();
        if let Ok(ccel) = Ccel::parse(&area) {
            prop_assert!(area.starts_with(ccel.bytes()));
            for event in ccel.events() {
                let _ = (Subject::of(event), event.coverage());
            }
        }
    }

    #[test]
    fn a_flipped_digest_changes_its_register(which in 0_usize..4, at in 0_usize..48, bit in 0_u8..8) {
        let log = event_log();
        let mut events = log.events();
        events[which].digest.0[at] ^= 1 << bit;
        let register = events[which].register;
        let mismatch = Replay::of(&events).compare(&log.replay().rtmrs).unwrap_err();
        prop_assert_eq!(mismatch.registers, vec![register]);
    }
}

#[test]
fn every_flipped_byte_is_refused_or_another_log() {
    let log = event_log();
    let bytes = log.encode().unwrap();
    for at in 0..bytes.len() {
        for mask in [1, 0x80, 0xff] {
            let mut flipped = bytes.clone();
            flipped[at] ^= mask;
            if let Ok(other) = EventLog::decode(&flipped) {
                assert_ne!(other, log, "byte {at}");
                let _ = (other.replay(), other.closing());
            }
        }
    }
}
