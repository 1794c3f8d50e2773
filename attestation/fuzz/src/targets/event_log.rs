//! Event logs: the evidence's member, the firmware's own table and the run-time text.

use attestation::{
    EventLog,
    event_log::{Ccel, Replay, RunTimeLog, Subject, first_difference},
};

use crate::{Seeds, Target, scene::SCENE};

pub(crate) const TARGET: Target = Target {
    name: "event-log",
    run,
    seeds,
    dictionary: &[
        b"Spec ID Event03\x00",
        b"\x0c\x00\x30\x00",
        b"\x03\x00\x00\x00",
        b"cocoon:closed\n",
        b"kernel_cmdline: ",
    ],
};

/// The first byte says what the rest is.
fn run(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    match first % 3 {
        0 => member(rest),
        1 => area(rest),
        _ => text(rest),
    }
}

fn member(bytes: &[u8]) {
    let Ok(log) = EventLog::decode(bytes) else {
        return;
    };
    assert_eq!(log.encode().expect("what decodes encodes"), bytes);
    let events = log.events();
    assert_eq!(log.replay(), Replay::of(&events));
    assert!(first_difference(&events, &events).is_none());
    if log.closing().is_ok() {
        assert!(log.run_time.to_string().ends_with("cocoon:closed\n"));
    }
}

/// What follows the last event is padding, and reads as nothing.
fn area(area: &[u8]) {
    let Ok(log) = Ccel::parse(area) else { return };
    assert!(area.starts_with(log.bytes()));
    assert_eq!(Ccel::parse(log.bytes()).as_ref().ok(), Some(&log));
    for event in log.events() {
        let shown = format!("{} {}", event.type_name(), Subject::of(event));
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}

fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(log) = text.parse::<RunTimeLog>() {
        assert_eq!(log.to_string(), text);
    }
}

fn seeds(seeds: &mut Seeds) {
    let log = SCENE.platform.event_log();
    seeds.add(
        [
            &[0],
            log.encode().expect("the event log encodes").as_slice(),
        ]
        .concat(),
    );
    seeds.add([&[1], log.ccel.bytes()].concat());
    seeds.add([&[2], log.run_time.to_string().as_bytes()].concat());
    for folder in ["eventlog", "eventlog/confai-direct"] {
        seeds.add_vectors(folder, |area| Some([&[1], area.as_slice()].concat()));
    }
}
