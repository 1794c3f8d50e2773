//! Tests of the comparison with a reference, and of the causes it names.

use super::*;

fn log() -> Vec<Event> {
    let name = [&[9][..], b"TdxTable\0"].concat();
    vec![
        event(Register::Rtmr0, EventType::EFI_HANDOFF_TABLES2, 1, &name),
        event(
            Register::Rtmr0,
            EventType::PLATFORM_CONFIG_FLAGS,
            2,
            b"ACPI DATA",
        ),
        event(
            Register::Rtmr1,
            EventType::EFI_BOOT_SERVICES_APPLICATION,
            3,
            &[0; 32],
        ),
        event(
            Register::Rtmr0,
            EventType::PLATFORM_CONFIG_FLAGS,
            4,
            b"ACPI DATA",
        ),
        event(Register::Rtmr1, EventType::SEPARATOR, 5, &[0; 4]),
        event(Register::Rtmr2, EventType::IPL, 6, b".cmdline\0"),
        event(Register::Rtmr2, EventType::IPL, 7, b".initrd\0"),
    ]
}

fn first(log: &[Event]) -> (String, usize, usize, Change, String) {
    let reference = self::log();
    let difference = first_difference(log, &reference).unwrap();
    (
        difference.register.to_string(),
        difference.position,
        difference.entry,
        difference.change,
        difference.cause().to_owned(),
    )
}

#[test]
fn equal_logs_do_not_differ_however_they_interleave() {
    let mut log = log();
    assert_eq!(first_difference(&log, &log), None);
    log.swap(2, 3);
    assert_eq!(first_difference(&log, &self::log()), None);
}

#[test]
fn a_changed_event_is_named_with_its_cause() {
    for (at, register, position, cause) in [
        (0, "RTMR0", 1, "memory size"),
        (3, "RTMR0", 3, "vCPU count"),
        (2, "RTMR1", 1, "kernel"),
        (5, "RTMR2", 1, "command line"),
        (6, "RTMR2", 2, "initrd"),
    ] {
        let mut log = log();
        log[at].digest = Measurement([0xee; 48]);
        let first = first(&log);
        assert_eq!(
            (first.0.as_str(), first.1, first.2, first.3),
            (register, position, at + 1, Change::Changed)
        );
        assert!(first.4.contains(cause), "{}", first.4);
    }
}

#[test]
fn the_first_in_the_log_comes_first_and_each_register_has_one() {
    let mut log = log();
    for event in &mut log[3..] {
        event.digest = Measurement([0xee; 48]);
    }
    let reference = self::log();
    let registers: Vec<_> = differences(&log, &reference)
        .iter()
        .map(|difference| (difference.register, difference.entry))
        .collect();
    assert_eq!(
        registers,
        [
            (Register::Rtmr0, 4),
            (Register::Rtmr1, 5),
            (Register::Rtmr2, 6)
        ]
    );
}

#[test]
fn extra_missing_moved_and_replaced_events_are_told_apart() {
    let extra = event(Register::Rtmr2, EventType::IPL, 9, b"grub_cmd evil\0");
    let mut inserted = log();
    inserted.insert(5, extra.clone());
    assert_eq!(first(&inserted).3, Change::Extra);
    assert!(first(&inserted).4.contains("boot loader"));
    let mut appended = log();
    appended.push(extra.clone());
    assert_eq!(
        (first(&appended).1, first(&appended).2, first(&appended).3),
        (3, 8, Change::Extra)
    );
    let mut removed = log();
    removed.remove(5);
    assert_eq!(first(&removed).3, Change::Missing);
    assert!(first(&removed).4.contains("command line"));
    let mut cut = log();
    cut.pop();
    assert_eq!((first(&cut).2, first(&cut).3), (7, Change::Missing));
    let mut moved = log();
    moved.swap(5, 6);
    assert_eq!(first(&moved).3, Change::Moved);
    let mut replaced = log();
    replaced[6] = extra;
    assert_eq!(first(&replaced).3, Change::Replaced);
    let mut left_out = log();
    left_out[6] = event(Register::Rtmr2, EventType::IPL, 9, b"");
    assert_eq!(first(&left_out).3, Change::Changed);
}

/// Two run-time events, or two variables, are the same event where their names are.
#[test]
fn names_tell_events_of_one_type_apart() {
    let run_time = |name: &str, payload: &[u8]| {
        Event::from(&RunTimeEvent::new(name, payload.to_vec()).unwrap())
    };
    let change =
        |event: Event, reference: Event| first_difference(&[event], &[reference]).unwrap().change;
    assert_eq!(
        change(run_time("a", b"1"), run_time("a", b"2")),
        Change::Changed
    );
    assert_eq!(
        change(run_time("a", b"1"), run_time("b", b"1")),
        Change::Replaced
    );
    let variable = |name: u8, digest: u8| {
        let mut data = vec![0; 16];
        data.extend(1_u64.to_le_bytes());
        data.extend(0_u64.to_le_bytes());
        data.extend([name, 0]);
        let event_type = EventType::EFI_VARIABLE_DRIVER_CONFIG;
        event(Register::Rtmr0, event_type, digest, &data)
    };
    assert_eq!(
        change(variable(b'a', 1), variable(b'a', 2)),
        Change::Changed
    );
    assert_eq!(
        change(variable(b'a', 1), variable(b'b', 2)),
        Change::Replaced
    );
}

#[test]
fn a_difference_is_one_line() {
    let mut log = log();
    log[6].digest = Measurement([0xee; 48]);
    assert_eq!(
        first_difference(&log, &self::log()).unwrap().to_string(),
        "event 2 of RTMR2 (initrd: .initrd) measured another content; likely cause: another initrd"
    );
}
