//! Event logs: the lists of events that explain a TD's run-time measurement registers.
//!
//! Firmware, boot loader and kernel write the [`Ccel`] (RTMR0 to RTMR2); whoever extends RTMR3 keeps a
//! [`RunTimeLog`] beside it. The `event-log` member of the evidence carries both, as deterministic CBOR (RFC 8949,
//! section 4.2.1):
//!
//! ```text
//! { 0: CCEL without its padding (byte string), 1: run-time event log (text string) }
//! ```
//!
//! Nobody signs a log. It counts only as far as it [replays](EventLog::replay) to registers that a quote signs, and
//! what an entry says of itself only as far as its digest [covers](Event::coverage) it. The digests of run-time
//! events are computed here and not read, so that their names and payloads are always covered.

mod ccel;
mod difference;
mod event;
mod replay;
mod run_time;
mod subject;

use minicbor::{Decode, Encode};

pub use ccel::{CCEL_AREA_BYTES_MAX, CCEL_EVENTS_COUNT_MAX, Ccel};
pub use difference::{Change, Difference, differences, first_difference};
pub use event::{Content, Coverage, Event, EventType, Register};
pub use replay::{RegisterMismatch, Replay};
pub use run_time::{
    CLOSING_EVENT, RUN_TIME_EVENTS_COUNT_MAX, RUN_TIME_LOG_BYTES_MAX, RUN_TIME_NAME_BYTES_MAX,
    RUN_TIME_PAYLOAD_BYTES_MAX, RunTimeEvent, RunTimeLog, RunTimeLogError,
};
pub use subject::Subject;

use crate::cursor::CutShort;
use crate::{ErrorCode, evidence::EVENT_LOG_BYTES_MAX};

/// Both logs of a TD. Nothing in it is believed before it replays to signed registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLog {
    /// What firmware, boot loader and kernel wrote.
    pub ccel: Ccel,
    /// What was measured into RTMR3 at run time.
    pub run_time: RunTimeLog,
}

/// The member's content as it is encoded.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Member {
    #[cbor(n(0), with = "minicbor::bytes")]
    ccel: Vec<u8>,
    #[n(1)]
    run_time: String,
}

impl EventLog {
    /// The content bytes of the evidence's `event-log` member. Refuses what [`EventLog::decode`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, EventLogError> {
        let bytes = self.to_cbor();
        within_limit(&bytes)?;
        Ok(bytes)
    }

    /// Decodes the content bytes of the `event-log` member.
    pub fn decode(bytes: &[u8]) -> Result<Self, EventLogError> {
        within_limit(bytes)?;
        let member: Member = minicbor::decode(bytes).map_err(EventLogError::Cbor)?;
        let log = Self {
            ccel: Ccel::parse(&member.ccel)?,
            run_time: member.run_time.parse().map_err(EventLogError::RunTime)?,
        };
        // One log has one encoding: this catches padding, trailing bytes and lax lengths at once.
        if log.to_cbor() != bytes {
            return Err(EventLogError::NotDeterministic);
        }
        Ok(log)
    }

    /// Every event, firmware's first: user space runs after it.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let run_time = self.run_time.events().iter().map(Event::from);
        self.ccel.events().iter().cloned().chain(run_time).collect()
    }

    /// The registers that this log explains.
    #[must_use]
    pub fn replay(&self) -> Replay {
        Replay::of(&self.events())
    }

    /// That the boot has ended: the closing event stands exactly once, and last.
    ///
    /// A CCEL that extends RTMR3 is refused here too. The digests of its entries are only said, so they could hide
    /// an earlier closing event, and whatever was measured between that one and the last.
    pub fn closing(&self) -> Result<Closed<'_>, ClosingError> {
        let extends_rtmr3 = |event: &Event| event.extends() && event.register == Register::Rtmr3;
        if self.ccel.events().iter().any(extends_rtmr3) {
            return Err(ClosingError::Concealed);
        }
        let events = self.run_time.events();
        let closings = events.iter().filter(|event| event.name() == CLOSING_EVENT);
        match closings.count() {
            0 => return Err(ClosingError::Missing),
            1 => {}
            count => return Err(ClosingError::Repeated(count)),
        }
        match events.split_last() {
            Some((last, before)) if *last == RunTimeEvent::closing() => Ok(Closed { before }),
            Some((last, _)) if last.name() == CLOSING_EVENT => Err(ClosingError::Payload),
            _ => Err(ClosingError::NotLast),
        }
    }

    fn to_cbor(&self) -> Vec<u8> {
        let member = Member {
            ccel: self.ccel.bytes().to_vec(),
            run_time: self.run_time.to_string(),
        };
        // Writing to a vector cannot fail, and no field has an encoder that can.
        minicbor::to_vec(member).unwrap_or_default()
    }
}

fn within_limit(bytes: &[u8]) -> Result<(), EventLogError> {
    if bytes.len() > EVENT_LOG_BYTES_MAX {
        return Err(EventLogError::TooLong {
            bytes: bytes.len(),
            bytes_max: EVENT_LOG_BYTES_MAX,
        });
    }
    Ok(())
}

/// A run-time event log that is closed; only [`EventLog::closing`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<'log> {
    before: &'log [RunTimeEvent],
}

impl<'log> Closed<'log> {
    /// What was measured before the boot ended.
    #[must_use]
    pub const fn events(&self) -> &'log [RunTimeEvent] {
        self.before
    }
}

/// Why the run-time event log is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClosingError {
    /// There is no closing event.
    #[error("the run-time event log has no event `{CLOSING_EVENT}`: the boot has not ended")]
    Missing,
    /// There is more than one.
    #[error("the run-time event log has {0} events `{CLOSING_EVENT}`; there is one")]
    Repeated(usize),
    /// Something was measured after it.
    #[error("an event follows `{CLOSING_EVENT}`: RTMR3 was extended after the boot had ended")]
    NotLast,
    /// It has a payload, so that it is another event.
    #[error("the event `{CLOSING_EVENT}` has a payload; it has none")]
    Payload,
    /// RTMR3 was extended by events whose content nobody vouches for.
    #[error("the CCEL extends RTMR3, where it could conceal an event `{CLOSING_EVENT}`")]
    Concealed,
}

impl ClosingError {
    /// The refusal's code.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        ErrorCode::ClosingEventInvalid
    }
}

/// Why bytes are not an event log.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    /// The whole is too long.
    #[error("an event log of {bytes} bytes exceeds {bytes_max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest that is read.
        bytes_max: usize,
    },
    /// The bytes end within a field.
    #[error("{what} at offset {offset} is cut short")]
    CutShort {
        /// The field.
        what: &'static str,
        /// Where it starts, in its entry's data or in the log.
        offset: usize,
    },
    /// The first entry is not a Specification ID event.
    #[error("the log does not start with a Specification ID event: it is no CCEL")]
    NotALog,
    /// An entry or the log's head names more algorithms than there are.
    #[error("{0} digest algorithms are more than a log has")]
    TooManyAlgorithms(u32),
    /// A log of another kind of TEE: nothing but SHA-384 extends a run-time measurement register.
    #[error("the log has no SHA-384 digests: it is no TD's")]
    NoSha384,
    /// More entries than any boot writes.
    #[error("the log has more than {0} events")]
    TooManyEvents(usize),
    /// An entry names a register that no TD has.
    #[error("the event at offset {offset} names register {index}; a TD has 0 to 4")]
    UnknownRegister {
        /// The entry's MR index.
        index: u32,
        /// Where the entry starts.
        offset: usize,
    },
    /// An entry has a digest of an algorithm that the log's head does not list.
    #[error(
        "the digest at offset {offset} is of algorithm {algorithm:#06x}, which the log does not list"
    )]
    UnknownAlgorithm {
        /// Its TCG algorithm identifier.
        algorithm: u16,
        /// Where the entry's digests start.
        offset: usize,
    },
    /// An entry has no SHA-384 digest, so that it cannot be replayed.
    #[error("the event at offset {offset} has no SHA-384 digest")]
    DigestMissing {
        /// Where the entry starts.
        offset: usize,
    },
    /// An entry has two SHA-384 digests.
    #[error("the event's digests at offset {offset} hold two of SHA-384")]
    DigestRepeated {
        /// Where the entry's digests start.
        offset: usize,
    },
    /// Something other than padding stands behind the last entry.
    #[error("offset {offset} is behind the log's end, but it is not padding")]
    BehindEnd {
        /// Where it starts.
        offset: usize,
    },
    /// The run-time event log is malformed.
    #[error("the run-time event log does not parse")]
    RunTime(#[source] RunTimeLogError),
    /// The same log has another, deterministic encoding.
    #[error("the event log is not in deterministic CBOR, or padding or other bytes follow it")]
    NotDeterministic,
    /// Not CBOR, or of another shape.
    #[error("the event log is not CBOR of the expected shape")]
    Cbor(#[source] minicbor::decode::Error),
}

impl From<CutShort> for EventLogError {
    fn from(CutShort { what, offset }: CutShort) -> Self {
        Self::CutShort { what, offset }
    }
}

impl EventLogError {
    /// The refusal's code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::EventLogMalformed
    }
}

#[cfg(test)]
mod tests;
