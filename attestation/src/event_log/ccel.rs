//! The CCEL: the log that firmware, boot loader and kernel write, in the TCG's crypto-agile form.
//!
//! Layout after the *TCG PC Client Platform Firmware Profile* 1.06, section 10.2: a `TCG_PCR_EVENT` that holds a
//! Specification ID event, then `TCG_PCR_EVENT2` entries. The ACPI table CCEL points at an area of fixed size; behind
//! the last entry it keeps what the firmware filled it with, `0xff` (OVMF) or zero (td-shim).

use super::{Content, Event, EventLogError, EventType, Register};
use crate::Measurement;
use crate::cursor::Cursor;

/// The largest area with its padding: OVMF reserves 64 KiB, Google 256 KiB, td-shim 1 MiB and a little.
pub const CCEL_AREA_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A boot by GRUB, whose every command is measured, writes some ninety events.
pub const CCEL_EVENTS_COUNT_MAX: usize = 1024;
/// The TCG registry has fewer algorithms; TDX firmware lists one.
const ALGORITHMS_COUNT_MAX: u32 = 8;

/// What the first entry says, with its terminating zero.
const SPEC_ID_SIGNATURE: &[u8] = b"Spec ID Event03\0";
/// The first entry has the form of before there were several algorithms: a SHA-1 digest, of zeros.
const SHA1_BYTES: usize = 20;
/// `TPM_ALG_SHA384`, the one algorithm that extends a run-time measurement register.
const ALGORITHM_SHA384: u16 = 0x000c;

/// A parsed CCEL. Nothing in it is believed before it replays to signed registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ccel {
    bytes: Vec<u8>,
    events: Vec<Event>,
}

impl Ccel {
    /// Parses the log area, with or without its padding.
    pub fn parse(area: &[u8]) -> Result<Self, EventLogError> {
        if area.len() > CCEL_AREA_BYTES_MAX {
            return Err(EventLogError::TooLong {
                bytes: area.len(),
                bytes_max: CCEL_AREA_BYTES_MAX,
            });
        }
        let mut cursor = Cursor::new(area);
        let algorithms = spec_id_event(&mut cursor)?;
        let mut events = Vec::new();
        while !at_padding(&cursor)? {
            if events.len() == CCEL_EVENTS_COUNT_MAX {
                return Err(EventLogError::TooManyEvents(CCEL_EVENTS_COUNT_MAX));
            }
            events.push(event(&mut cursor, &algorithms)?);
        }
        let (bytes, _) = area
            .split_at_checked(cursor.offset())
            .unwrap_or((area, &[]));
        Ok(Self {
            bytes: bytes.to_vec(),
            events,
        })
    }

    /// The log without its padding.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The entries behind the Specification ID event.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

/// Whether nothing but padding is left. An entry never starts like padding: there is no MR index `0xffffffff`, and a
/// pre-boot certificate (type 0) is never measured into MRTD (index 0).
fn at_padding(cursor: &Cursor<'_>) -> Result<bool, EventLogError> {
    let is_padding = |byte: u8| byte == 0 || byte == 0xff;
    let rest = cursor.rest();
    let starts_entry = match rest.first_chunk::<8>() {
        Some([0, 0, 0, 0, 0, 0, 0, 0] | [0xff, 0xff, 0xff, 0xff, ..]) => false,
        Some(_) => true,
        None => !rest.iter().copied().all(is_padding),
    };
    if starts_entry {
        return Ok(false);
    }
    match rest.iter().position(|&byte| !is_padding(byte)) {
        None => Ok(true),
        Some(position) => Err(EventLogError::BehindEnd {
            offset: cursor.offset().saturating_add(position),
        }),
    }
}

/// The algorithms that entries carry digests of, with the digests' lengths.
struct Algorithms(Vec<(u16, usize)>);

impl Algorithms {
    fn digest_bytes(&self, algorithm: u16) -> Option<usize> {
        let known = self.0.iter().find(|(known, _)| *known == algorithm);
        known.map(|(_, bytes)| *bytes)
    }
}

/// Platform class, specification version and vendor's information say nothing that replay needs.
fn spec_id_event(cursor: &mut Cursor<'_>) -> Result<Algorithms, EventLogError> {
    cursor.u32("the first event")?;
    let event_type = EventType(cursor.u32("the first event")?);
    cursor.take(SHA1_BYTES, "the first event")?;
    let mut data = Cursor::new(cursor.sized("the first event")?);
    if event_type != EventType::NO_ACTION || !data.rest().starts_with(SPEC_ID_SIGNATURE) {
        return Err(EventLogError::NotALog);
    }
    data.take(SPEC_ID_SIGNATURE.len(), "the Specification ID event")?;
    data.take(8, "the Specification ID event")?;
    let count = data.u32("the Specification ID event")?;
    if count > ALGORITHMS_COUNT_MAX {
        return Err(EventLogError::TooManyAlgorithms(count));
    }
    let mut algorithms = Vec::new();
    for _ in 0..count {
        let algorithm = data.u16("the Specification ID event")?;
        let bytes = data.u16("the Specification ID event")?;
        algorithms.push((algorithm, usize::from(bytes)));
    }
    let algorithms = Algorithms(algorithms);
    if algorithms.digest_bytes(ALGORITHM_SHA384) != Some(48) {
        return Err(EventLogError::NoSha384);
    }
    Ok(algorithms)
}

fn event(cursor: &mut Cursor<'_>, algorithms: &Algorithms) -> Result<Event, EventLogError> {
    let offset = cursor.offset();
    let index = cursor.u32("an event's register")?;
    let register =
        Register::from_mr_index(index).ok_or(EventLogError::UnknownRegister { index, offset })?;
    let event_type = EventType(cursor.u32("an event's type")?);
    let digest = digest(cursor, algorithms)?.ok_or(EventLogError::DigestMissing { offset })?;
    let data = cursor.sized("an event's data")?.to_vec();
    Ok(Event {
        register,
        digest,
        content: Content::Firmware { event_type, data },
    })
}

/// The SHA-384 digest among an entry's digests. Two of them would leave open which one counts.
fn digest(
    cursor: &mut Cursor<'_>,
    algorithms: &Algorithms,
) -> Result<Option<Measurement>, EventLogError> {
    let offset = cursor.offset();
    let count = cursor.u32("an event's digests")?;
    if count > ALGORITHMS_COUNT_MAX {
        return Err(EventLogError::TooManyAlgorithms(count));
    }
    let mut found = None;
    for _ in 0..count {
        let algorithm = cursor.u16("an event's digest")?;
        if algorithm == ALGORITHM_SHA384 {
            let digest = Measurement(*cursor.array("an event's digest")?);
            if found.replace(digest).is_some() {
                return Err(EventLogError::DigestRepeated { offset });
            }
            continue;
        }
        let bytes = algorithms
            .digest_bytes(algorithm)
            .ok_or(EventLogError::UnknownAlgorithm { algorithm, offset })?;
        cursor.take(bytes, "an event's digest")?;
    }
    Ok(found)
}
