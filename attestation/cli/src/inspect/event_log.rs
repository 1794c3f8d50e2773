//! What an event log is; `explain` says what it says.

use anyhow::Context;
use attestation::{EventLog, event_log::Ccel};

use crate::output::Section;

/// The first byte of the evidence's member: a CBOR map of two.
const MEMBER: u8 = 0xa2;

pub(super) fn section(bytes: &[u8]) -> anyhow::Result<Section> {
    let section = Section::new("event_log");
    let section = if bytes.first() == Some(&MEMBER) {
        let log = EventLog::decode(bytes).context("the log cannot be decoded")?;
        section
            .field("format", "CCEL and run-time events")
            .field("firmware_events", log.ccel.events().len())
            .field("run_time_events", log.run_time.events().len())
    } else {
        let log = Ccel::parse(bytes).context("the log cannot be parsed")?;
        section
            .field("format", "CCEL")
            .field("firmware_events", log.events().len())
            .field("run_time_events", None::<usize>)
    };
    Ok(section
        .field("length_bytes", bytes.len())
        .field(
            "explained",
            "`cocoon-attest explain` replays it and names its events",
        )
        .field(
            "verified",
            "no; it counts as far as it replays to registers that a quote signs",
        ))
}
