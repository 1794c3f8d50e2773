//! Step 8 under a policy that demands event logs: the log explains the quote's registers and is closed, or is refused.

use attestation::{
    ErrorCode, EventLog, Measurement,
    event_log::{RunTimeEvent, RunTimeLog},
};

use crate::scene::{Scene, codes};

/// A scene whose policy demands the log and takes the RTMR3 that it replays to.
fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.event_log = Some(scene.platform.event_log().encode().unwrap());
    scene.replace_policy("event_log = \"not-required\"", "event_log = \"required\"");
    let rtmr3 = Measurement(scene.td.rtmrs[3]);
    scene.replace_policy(&format!("rtmr3s = [\"{rtmr3}\"]"), "rtmr3s = \"replayed\"");
    scene
}

/// The log with other run-time events, and the TD whose RTMR3 is theirs.
fn with_run_time_events(events: Vec<RunTimeEvent>) -> Scene {
    let mut scene = scene();
    let log = EventLog {
        run_time: RunTimeLog::new(events).unwrap(),
        ..scene.platform.event_log()
    };
    let Measurement(rtmr3) = log.replay().rtmrs[3];
    scene.td.rtmrs[3] = rtmr3;
    scene.event_log = Some(log.encode().unwrap());
    scene
}

fn event(name: &str) -> RunTimeEvent {
    RunTimeEvent::new(name, b"payload".to_vec()).unwrap()
}

#[test]
fn a_log_that_replays_and_is_closed_is_accepted() {
    let transcript = scene().appraise().unwrap().transcript().to_string();
    assert!(transcript.contains("all four registers"), "{transcript}");
    let other_configuration = vec![event("cocoon:configuration"), RunTimeEvent::closing()];
    assert!(with_run_time_events(other_configuration).appraise().is_ok());
}

#[test]
fn each_fault_of_a_log_has_its_code() {
    let refused = |scene: &Scene| codes(&scene.appraise().unwrap_err().transcript);
    let missing = Scene {
        event_log: None,
        ..scene()
    };
    assert_eq!(refused(&missing), [ErrorCode::EventLogMissing]);
    let malformed = Scene {
        event_log: Some(vec![0xff; 100]),
        ..scene()
    };
    assert_eq!(refused(&malformed), [ErrorCode::EventLogMalformed]);
    let mut another_boot = scene();
    another_boot.td.rtmrs[3] = [1; 48];
    assert_eq!(refused(&another_boot), [ErrorCode::EventLogMismatch]);
    for events in [
        vec![event("cocoon:configuration")],
        vec![RunTimeEvent::closing(), RunTimeEvent::closing()],
        vec![RunTimeEvent::closing(), event("cocoon:late")],
    ] {
        assert_eq!(
            refused(&with_run_time_events(events)),
            [ErrorCode::ClosingEventInvalid]
        );
    }
}

/// Where the policy lists RTMR3 beside the log, both must hold.
#[test]
fn a_listed_register_counts_beside_the_log() {
    let mut scene = with_run_time_events(vec![event("cocoon:other"), RunTimeEvent::closing()]);
    scene.replace_policy(
        "rtmr3s = \"replayed\"",
        &format!("rtmr3s = [\"{}\"]", "01".repeat(48)),
    );
    let refusal = scene.appraise().unwrap_err();
    assert_eq!(codes(&refusal.transcript), [ErrorCode::Rtmr3Unknown]);
}

/// The member is covered by no hash of the binding: its truth is in the registers, which the quote signs.
#[test]
fn a_log_of_another_machine_does_not_explain_this_one() {
    let mut scene = scene();
    let other = simulator::SimulatedPlatform::from_seed(99);
    scene.event_log = Some(other.event_log().encode().unwrap());
    let refusal = scene.appraise().unwrap_err();
    assert_eq!(codes(&refusal.transcript), [ErrorCode::EventLogMismatch]);
}
