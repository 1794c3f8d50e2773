//! The run-time event log: what user space measured into RTMR3, kept by whoever extends the register, because the
//! kernel's extend interface writes no CCEL entry.
//!
//! Text, one event a line, `name` or `name payload`, the payload in lower-case hexadecimal; each line ends in a line
//! feed. A stage of the boot appends a line and extends RTMR3 by the event's digest:
//!
//! ```text
//! SHA-384( "cocoon-attest/1 run-time-event" 0x00 ‖ u8 length ‖ name ‖ u16 big-endian length ‖ payload )
//! ```

use std::{fmt, str::FromStr};

use super::{Content, Event, Register};
use crate::{Measurement, digest::sha384};

/// The event that ends the boot: from it on the TD's identity may be used, and nothing extends RTMR3 any more.
pub const CLOSING_EVENT: &str = "cocoon:closed";
/// Boot stages and what they measured; a boot has a handful.
pub const RUN_TIME_EVENTS_COUNT_MAX: usize = 64;
/// Longest name of an event.
pub const RUN_TIME_NAME_BYTES_MAX: usize = 64;
/// A payload is a digest or a few short values; what is longer is measured by its digest.
pub const RUN_TIME_PAYLOAD_BYTES_MAX: usize = 1024;
/// Two digits a byte of payload, the name, a space and a line feed.
pub const RUN_TIME_LOG_BYTES_MAX: usize =
    RUN_TIME_EVENTS_COUNT_MAX * (RUN_TIME_NAME_BYTES_MAX + 2 * RUN_TIME_PAYLOAD_BYTES_MAX + 2);

const LABEL: &[u8] = b"cocoon-attest/1 run-time-event\0";

/// One run-time event, within its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunTimeEvent {
    name: String,
    payload: Vec<u8>,
}

impl RunTimeEvent {
    /// An event. Names are of lower-case letters, digits and `:._-`.
    pub fn new(
        name: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> Result<Self, RunTimeLogError> {
        let (name, payload) = (name.into(), payload.into());
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b":._-".contains(&byte)
        };
        if !(1..=RUN_TIME_NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(RunTimeLogError::Name);
        }
        if payload.len() > RUN_TIME_PAYLOAD_BYTES_MAX {
            return Err(RunTimeLogError::PayloadTooLong(payload.len()));
        }
        Ok(Self { name, payload })
    }

    /// The closing event.
    #[must_use]
    pub fn closing() -> Self {
        Self {
            name: CLOSING_EVENT.to_owned(),
            payload: Vec::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What it extends RTMR3 by.
    #[must_use]
    pub fn digest(&self) -> Measurement {
        // Both lengths fit: the constructor holds them to limits below these types' own.
        let name_bytes = u8::try_from(self.name.len()).unwrap_or(u8::MAX);
        let payload_bytes = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
        Measurement(sha384(&[
            LABEL,
            &[name_bytes],
            self.name.as_bytes(),
            &payload_bytes.to_be_bytes(),
            &self.payload,
        ]))
    }
}

impl From<&RunTimeEvent> for Event {
    fn from(event: &RunTimeEvent) -> Self {
        Self {
            register: Register::Rtmr3,
            digest: event.digest(),
            content: Content::RunTime {
                name: event.name.clone(),
                payload: event.payload.clone(),
            },
        }
    }
}

/// The events in the order in which they extended RTMR3. `Display` and `FromStr` speak the text form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunTimeLog(Vec<RunTimeEvent>);

impl RunTimeLog {
    /// A log of these events.
    pub fn new(events: Vec<RunTimeEvent>) -> Result<Self, RunTimeLogError> {
        if events.len() > RUN_TIME_EVENTS_COUNT_MAX {
            return Err(RunTimeLogError::TooManyEvents);
        }
        Ok(Self(events))
    }

    /// The events, first measured first.
    #[must_use]
    pub fn events(&self) -> &[RunTimeEvent] {
        &self.0
    }
}

impl fmt::Display for RunTimeLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.0 {
            formatter.write_str(&event.name)?;
            if !event.payload.is_empty() {
                write!(formatter, " {}", hex::encode(&event.payload))?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}

impl FromStr for RunTimeLog {
    type Err = RunTimeLogError;

    /// Accepts exactly what `Display` writes, so that there is one text for one log.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > RUN_TIME_LOG_BYTES_MAX {
            return Err(RunTimeLogError::TooManyEvents);
        }
        let events: Result<Vec<RunTimeEvent>, _> = text.lines().map(line).collect();
        let log = Self::new(events?)?;
        if log.to_string() != text {
            return Err(RunTimeLogError::NotCanonical);
        }
        Ok(log)
    }
}

fn line(line: &str) -> Result<RunTimeEvent, RunTimeLogError> {
    let (name, payload) = line.split_once(' ').unwrap_or((line, ""));
    let payload = hex::decode(payload).map_err(RunTimeLogError::Payload)?;
    RunTimeEvent::new(name, payload)
}

/// Why a text is not a run-time event log.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RunTimeLogError {
    /// More events than any boot measures.
    #[error("the run-time event log has more than {RUN_TIME_EVENTS_COUNT_MAX} events")]
    TooManyEvents,
    /// A name is empty, too long, or has other characters.
    #[error(
        "a run-time event's name is not 1 to {RUN_TIME_NAME_BYTES_MAX} lower-case letters, digits and `:._-`"
    )]
    Name,
    /// A payload is too long.
    #[error("a run-time event's payload of {0} bytes exceeds {RUN_TIME_PAYLOAD_BYTES_MAX}")]
    PayloadTooLong(usize),
    /// A payload is not hexadecimal.
    #[error("a run-time event's payload is not hexadecimal")]
    Payload(#[source] hex::FromHexError),
    /// The same events have another text.
    #[error("the run-time event log is not in its one canonical form")]
    NotCanonical,
}
