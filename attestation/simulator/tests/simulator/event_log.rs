//! The forged event log against the real parser and replay.

use attestation::{
    EventLog, Measurement, Quote,
    event_log::{CLOSING_EVENT, Ccel, Replay, RunTimeEvent},
};
use simulator::{QuoteVersion, SimulatedPlatform};

#[test]
fn the_log_replays_to_the_quoted_registers_and_is_closed() {
    let platform = SimulatedPlatform::from_seed(7);
    let quote = platform.quote(QuoteVersion::V4, &platform.td(), &[1; 64]);
    let rtmrs = Quote::parse(&quote).unwrap().td().unwrap().rtmrs;
    assert!(!rtmrs.contains(&Measurement::ZERO));
    let log = platform.event_log();
    assert_eq!(log.replay().compare(&rtmrs), Ok(()));
    let names: Vec<_> = log
        .run_time
        .events()
        .iter()
        .map(RunTimeEvent::name)
        .collect();
    assert_eq!(names, ["cocoon:configuration", CLOSING_EVENT]);
    assert_eq!(log.closing().unwrap().events().len(), 1);
    assert_eq!(EventLog::decode(&log.encode().unwrap()).unwrap(), log);
}

#[test]
fn the_area_is_that_of_the_log_with_padding() {
    let platform = SimulatedPlatform::from_seed(7);
    let area = platform.ccel_area();
    assert_eq!(area.len(), 64 * 1024);
    assert_eq!(Ccel::parse(&area).unwrap(), platform.event_log().ccel);
}

#[test]
fn another_seed_boots_another_image_with_other_registers() {
    let replay = |seed| SimulatedPlatform::from_seed(seed).event_log().replay();
    let (Replay { rtmrs: one }, Replay { rtmrs: other }) = (replay(7), replay(8));
    for (one, other) in one.iter().zip(&other) {
        assert_ne!(one, other);
    }
}
