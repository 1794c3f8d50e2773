//! What an event log is; `explain` says what it says.

use crate::output::Section;

pub(super) fn section(bytes: &[u8]) -> Section {
    Section::new("event_log")
        .field("format", "TCG2 crypto-agile (CCEL)")
        .field("length_bytes", bytes.len())
        .field(
            "explained",
            "`cocoon-attest explain` replays it and names its events",
        )
        .field(
            "verified",
            "no; it proves nothing beside a quote whose registers it replays to",
        )
}
