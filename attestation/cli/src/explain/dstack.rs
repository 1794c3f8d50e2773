//! dstack's event logs: JSON, bare or beside the quote. Its run-time events extend RTMR3 by
//! `SHA-384( le32(0x08000001) ":" name ":" payload )`.

use anyhow::{Context, anyhow, bail, ensure};
use attestation::{
    Measurement,
    event_log::{CCEL_EVENTS_COUNT_MAX, Content, Event, EventType, Register},
};
use ring::digest;
use serde::Deserialize;
use serde_json::Value;

use super::log::Log;

/// The event type of dstack's run-time events.
const RUN_TIME: u32 = 0x0800_0001;

/// The log with the quote beside it; the log is a list, or a string that holds one.
#[derive(Deserialize)]
struct Report {
    event_log: Value,
    quote: Option<String>,
}

/// One event.
#[derive(Deserialize)]
struct Entry {
    imr: usize,
    event_type: u32,
    /// Left empty for run-time events by newer releases.
    digest: String,
    event: String,
    event_payload: String,
}

/// The log in `value`, with the quote where there is one.
pub(super) fn log(value: Value) -> anyhow::Result<Log> {
    let Report { event_log, quote } = if value.is_array() {
        Report {
            event_log: value,
            quote: None,
        }
    } else {
        serde_json::from_value(value)
            .context("it is JSON, but neither an attestation record nor a dstack log")?
    };
    let entries: Vec<Entry> = match event_log {
        Value::String(text) => serde_json::from_str(&text),
        list => serde_json::from_value(list),
    }
    .context("the list of events is not dstack's")?;
    ensure!(
        entries.len() <= CCEL_EVENTS_COUNT_MAX,
        "it has more than {CCEL_EVENTS_COUNT_MAX} events"
    );
    let quote = quote.map(|quote| hex::decode(quote).context("its quote is not hexadecimal"));
    Ok(Log {
        format: "dstack JSON",
        events: (1..)
            .zip(entries)
            .map(|(number, entry)| event(entry).with_context(|| format!("event {number}")))
            .collect::<Result<_, _>>()?,
        closing: None,
        quote: quote.transpose()?,
    })
}

fn event(entry: Entry) -> anyhow::Result<Event> {
    let register = Register::RTMRS
        .get(entry.imr)
        .ok_or_else(|| anyhow!("there is no register {}", entry.imr))?;
    let payload = hex::decode(&entry.event_payload).context("its payload is not hexadecimal")?;
    if entry.event_type != RUN_TIME {
        let content = Content::Firmware {
            event_type: EventType(entry.event_type),
            data: payload,
        };
        return Ok(Event {
            register: *register,
            digest: entry.digest.parse().context("its digest is no SHA-384")?,
            content,
        });
    }
    let digest = run_time_digest(&entry.event, &payload);
    if !entry.digest.is_empty() && entry.digest.parse() != Ok(digest) {
        bail!("its digest is not that of its name and payload");
    }
    Ok(Event {
        register: *register,
        digest,
        content: Content::RunTime {
            name: entry.event,
            payload,
        },
    })
}

fn run_time_digest(name: &str, payload: &[u8]) -> Measurement {
    let parts: [&[u8]; 5] = [
        &RUN_TIME.to_le_bytes(),
        b":",
        name.as_bytes(),
        b":",
        payload,
    ];
    let digest = digest::digest(&digest::SHA384, &parts.concat());
    let mut bytes = [0; 48];
    bytes.copy_from_slice(digest.as_ref());
    Measurement(bytes)
}
