//! Step 8 once more: the event log explains the four registers, and the boot that it tells of has ended.

use crate::{ErrorCode, EventLog, Evidence, Measurement, policy::Demand};

use super::{
    measurements::NUMBER,
    steps::{OpenStep, Steps, chain},
};

pub(super) fn appraise(
    steps: &mut Steps,
    demand: Demand,
    evidence: &Evidence,
    signed: &[Measurement; 4],
) {
    if demand == Demand::NotRequired {
        let seen = match &evidence.event_log {
            None => "none came".to_owned(),
            Some(bytes) => format!("{} bytes came; not replayed", bytes.len()),
        };
        return steps
            .step(NUMBER, "event log", "nothing: the policy says not-required")
            .skip(seen);
    }
    let step = steps.step(NUMBER, "event log", "CCEL and run-time events");
    let Some(log) = decode(step, evidence.event_log.as_deref()) else {
        return;
    };
    let step = steps.step(
        NUMBER,
        "event log replays",
        "to RTMR0 to RTMR3 of the quote",
    );
    match log.replay().compare(signed) {
        Ok(()) => step.pass("all four registers"),
        Err(mismatch) => step.fail(mismatch.code(), mismatch.to_string()),
    }
    let step = steps.step(
        NUMBER,
        "event log closed",
        "exactly once, as the last event",
    );
    match log.closing() {
        Ok(closed) => step.pass(format!("after {} run-time events", closed.events().len())),
        Err(error) => step.fail(error.code(), error.to_string()),
    }
}

fn decode(step: OpenStep<'_>, bytes: Option<&[u8]>) -> Option<EventLog> {
    let Some(bytes) = bytes else {
        step.fail(ErrorCode::EventLogMissing, "none came");
        return None;
    };
    match EventLog::decode(bytes) {
        Ok(log) => {
            step.pass(format!("{} events", log.events().len()));
            Some(log)
        }
        Err(error) => {
            step.fail(error.code(), chain(&error));
            None
        }
    }
}
