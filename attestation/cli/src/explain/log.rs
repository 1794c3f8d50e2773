//! Reading a log in whatever form it comes: raw CCEL, the evidence's `event-log` member, an attestation record of the
//! gateway, or dstack's JSON.

use std::path::Path;

use anyhow::{Context, anyhow};
use attestation::{
    AttestationRecord, EventLog,
    event_log::{Ccel, ClosingError, Event},
};
use serde_json::Value;

use super::dstack;
use crate::{World, input};

/// First byte of the `event-log` member: a CBOR map of two. A CCEL starts with a small number in four bytes.
const MEMBER_FIRST_BYTE: u8 = 0xa2;

/// A log, whatever its form.
#[derive(Debug)]
pub(super) struct Log {
    /// Its form, in a few words.
    pub(super) format: &'static str,
    pub(super) events: Vec<Event>,
    /// How many run-time events come before the closing one; `None` where the form or the log has no run-time events.
    pub(super) closing: Option<Result<usize, ClosingError>>,
    /// The quote that came with it.
    pub(super) quote: Option<Vec<u8>>,
}

pub(super) fn read(path: &Path, world: &mut World<'_>) -> anyhow::Result<Log> {
    let bytes = input::read(path, world.input)?;
    parse(&bytes).with_context(|| format!("{} is no event log", path.display()))
}

fn parse(bytes: &[u8]) -> anyhow::Result<Log> {
    match bytes.trim_ascii_start().first() {
        Some(b'{' | b'[') => json(bytes),
        Some(&MEMBER_FIRST_BYTE) => Ok(member(&EventLog::decode(bytes)?)),
        _ => Ok(Log {
            format: "CCEL",
            events: Ccel::parse(bytes)?.events().to_vec(),
            closing: None,
            quote: None,
        }),
    }
}

fn member(log: &EventLog) -> Log {
    let has_run_time_events = !log.run_time.events().is_empty();
    Log {
        format: "CCEL and run-time events",
        events: log.events(),
        closing: has_run_time_events.then(|| log.closing().map(|closed| closed.events().len())),
        quote: None,
    }
}

fn json(bytes: &[u8]) -> anyhow::Result<Log> {
    let value: Value = serde_json::from_slice(bytes)?;
    if value.get("evidence").is_none() {
        return dstack::log(value);
    }
    let record: AttestationRecord = serde_json::from_value(value)?;
    let evidence = record.evidence();
    let log = evidence
        .event_log
        .as_deref()
        .ok_or_else(|| anyhow!("the attestation record holds no event log"))?;
    Ok(Log {
        format: "attestation record",
        quote: Some(evidence.quote.clone()),
        ..member(&EventLog::decode(log)?)
    })
}
