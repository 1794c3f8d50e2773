//! What a worker's collection holds, member by member.

use anyhow::Context;
use attestation::{Evidence, EvidenceMember};
use serde_json::{Value, json};

use super::{NOT_VERIFIED, claims, devices, event_log, quote};
use crate::output::Section;

pub(super) fn sections(bytes: &[u8]) -> anyhow::Result<Vec<Section>> {
    let evidence = Evidence::decode(bytes).context("the collection cannot be decoded")?;
    let summary = Section::new("collection")
        .field("members", json!(members(&evidence)))
        .field("length_bytes", bytes.len())
        .field("verified", NOT_VERIFIED);
    let mut sections = vec![summary];
    sections.extend(contents(&evidence));
    Ok(sections)
}

/// Each member that is there, with its length.
fn members(evidence: &Evidence) -> Vec<Value> {
    let length = |bytes: &Vec<u8>| bytes.len();
    let members = [
        (EvidenceMember::Quote, Some(evidence.quote.len())),
        (EvidenceMember::Claims, Some(evidence.claims.len())),
        (
            EvidenceMember::EventLog,
            evidence.event_log.as_ref().map(length),
        ),
        (
            EvidenceMember::DeviceEvidence,
            evidence.device_evidence.as_ref().map(length),
        ),
    ];
    let there = members
        .into_iter()
        .filter_map(|(member, length)| Some((member, length?)));
    there
        .map(|(member, length)| {
            json!({
                "label": member.label(),
                "media_type": member.media_type(),
                "length_bytes": length,
            })
        })
        .collect()
}

/// The members inspected. One that cannot be read is shown as such: the others are worth seeing all the same.
pub(super) fn contents(evidence: &Evidence) -> Vec<Section> {
    let mut sections = match quote::sections(&evidence.quote) {
        Ok(sections) => sections,
        Err(error) => vec![unreadable("quote", &error)],
    };
    sections.push(match claims::section(&evidence.claims) {
        Ok(section) => section,
        Err(error) => unreadable("claims", &error),
    });
    let log = evidence.event_log.as_deref().map(event_log::section);
    sections.extend(log.map(|log| log.unwrap_or_else(|error| unreadable("event_log", &error))));
    if let Some(bytes) = &evidence.device_evidence {
        match devices::sections(bytes) {
            Ok(devices) => sections.extend(devices),
            Err(error) => sections.push(unreadable("device_evidence", &error)),
        }
    }
    sections
}

fn unreadable(name: &'static str, error: &anyhow::Error) -> Section {
    Section::new(name).field("unreadable", format!("{error:#}"))
}
