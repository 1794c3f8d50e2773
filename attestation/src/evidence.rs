//! Evidence on the wire: an RFC 9999 CMW collection in CBOR.
//!
//! ```text
//! { "quote":           [ media type, bytes, 4 ],
//!   "claims":          [ media type, bytes, 4 ],
//!   "event-log":       [ media type, bytes, 4 ],    optional
//!   "device-evidence": [ media type, bytes, 4 ] }   optional
//! ```
//!
//! The third element is the CMW indicator; bit 2 says *evidence*. The encoding is deterministic (RFC 8949, section
//! 4.2.1), and decoding accepts exactly what encoding writes, so that there is one byte string for one collection.

use std::fmt;

use minicbor::{Decoder, Encoder, data::Type};

/// A real v4 or v5 quote with its PCK chain has 5 to 8 KiB.
pub const QUOTE_BYTES_MAX: usize = 16 * 1024;
/// Claims name a few libraries and at most a few GPUs.
pub const CLAIMS_BYTES_MAX: usize = 16 * 1024;
/// Event logs travel without padding; real ones have 2 to 20 KiB.
pub const EVENT_LOG_BYTES_MAX: usize = 30 * 1024;
/// Reports and certificate chains of eight GPUs have some 160 KiB.
pub const DEVICE_EVIDENCE_BYTES_MAX: usize = 176 * 1024;
/// Labels, media types and lengths around the four members.
const OVERHEAD_BYTES_MAX: usize = 1024;
/// The longest collection without device evidence; it travels in one piece.
pub const EVIDENCE_WITHOUT_DEVICES_BYTES_MAX: usize =
    QUOTE_BYTES_MAX + CLAIMS_BYTES_MAX + EVENT_LOG_BYTES_MAX + OVERHEAD_BYTES_MAX;
/// The longest collection that [`Evidence::decode`] reads.
pub const EVIDENCE_BYTES_MAX: usize =
    EVIDENCE_WITHOUT_DEVICES_BYTES_MAX + DEVICE_EVIDENCE_BYTES_MAX;

/// CMW indicator: bit 2, evidence (RFC 9999, `cm-type`).
const INDICATOR_EVIDENCE: u64 = 1 << 2;

/// A member of the collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EvidenceMember {
    /// The DCAP quote.
    Quote,
    /// The worker's claims.
    Claims,
    /// The event log that explains the run-time measurement registers ([`crate::EventLog`]).
    EventLog,
    /// What the GPUs say of themselves.
    DeviceEvidence,
}

impl EvidenceMember {
    /// In the order of their encoded labels: shorter first, as deterministic CBOR wants it.
    const ALL: [Self; 4] = [
        Self::Quote,
        Self::Claims,
        Self::EventLog,
        Self::DeviceEvidence,
    ];

    /// The label in the collection.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Claims => "claims",
            Self::EventLog => "event-log",
            Self::DeviceEvidence => "device-evidence",
        }
    }

    /// The media type of the member's content. None of them is registered yet.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Quote => "application/vnd.intel.tdx-quote",
            Self::Claims => "application/vnd.cocoon.claims+cbor",
            Self::EventLog => "application/vnd.cocoon.event-log+cbor",
            Self::DeviceEvidence => "application/vnd.cocoon.device-evidence+cbor",
        }
    }

    /// The most bytes that the member's content may have.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::Quote => QUOTE_BYTES_MAX,
            Self::Claims => CLAIMS_BYTES_MAX,
            Self::EventLog => EVENT_LOG_BYTES_MAX,
            Self::DeviceEvidence => DEVICE_EVIDENCE_BYTES_MAX,
        }
    }

    fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|member| member.label() == label)
    }
}

impl fmt::Display for EvidenceMember {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.label())
    }
}

/// What an attester sends: opaque members, none of them believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The quote, as the platform gave it.
    pub quote: Vec<u8>,
    /// The claims' deterministic CBOR ([`crate::Claims::encode`]).
    pub claims: Vec<u8>,
    /// The event log's deterministic CBOR ([`crate::EventLog::encode`]).
    pub event_log: Option<Vec<u8>>,
    /// GPU evidence. Made first, with this connection's nonce; the quote then covers it.
    pub device_evidence: Option<Vec<u8>>,
}

impl Evidence {
    /// The collection's bytes. Refuses what [`Evidence::decode`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, EvidenceError> {
        for (member, content) in self.members() {
            member_within_limit(member, content.len())?;
        }
        Ok(self.encode_members())
    }

    /// Decode a collection; nothing but its shape is looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > EVIDENCE_BYTES_MAX {
            return Err(EvidenceError::TooLong(bytes.len()));
        }
        let mut decoder = Decoder::new(bytes);
        let evidence = decode_collection(&mut decoder)?;
        // One collection has one encoding: this catches trailing bytes, lax lengths and any other order at once.
        if evidence.encode_members() != bytes {
            return Err(EvidenceError::NotDeterministic);
        }
        Ok(evidence)
    }

    /// The same with device evidence that travelled beside the collection. It keeps to a member's limits: an empty one
    /// would be another collection with the report data of none.
    pub fn with_device_evidence(self, content: Vec<u8>) -> Result<Self, EvidenceError> {
        member_within_limit(EvidenceMember::DeviceEvidence, content.len())?;
        Ok(Self {
            device_evidence: Some(content),
            ..self
        })
    }

    /// The device evidence as report data covers it: empty when absent.
    #[must_use]
    pub fn device_evidence_bytes(&self) -> &[u8] {
        self.device_evidence.as_deref().unwrap_or_default()
    }

    fn members(&self) -> impl Iterator<Item = (EvidenceMember, &[u8])> {
        EvidenceMember::ALL.into_iter().filter_map(|member| {
            let content = match member {
                EvidenceMember::Quote => Some(&self.quote),
                EvidenceMember::Claims => Some(&self.claims),
                EvidenceMember::EventLog => self.event_log.as_ref(),
                EvidenceMember::DeviceEvidence => self.device_evidence.as_ref(),
            };
            content.map(|bytes| (member, bytes.as_slice()))
        })
    }

    fn encode_members(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to a vector cannot fail.
        let Ok(()) = self.write(&mut Encoder::new(&mut bytes)) else {
            return Vec::new();
        };
        bytes
    }

    fn write(
        &self,
        encoder: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        let count = self.members().map(|_| 1_u64).sum();
        encoder.map(count)?;
        for (member, content) in self.members() {
            encoder.str(member.label())?;
            encoder
                .array(3)?
                .str(member.media_type())?
                .bytes(content)?
                .u64(INDICATOR_EVIDENCE)?;
        }
        Ok(())
    }
}

/// For serde: the collection's bytes in hexadecimal.
pub mod hexadecimal {
    use serde::{Deserializer, Serializer, de, ser};

    use super::Evidence;

    /// Write the collection's bytes.
    pub fn serialize<S: Serializer>(evidence: &Evidence, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = evidence.encode().map_err(ser::Error::custom)?;
        hex::serde::serialize(bytes, serializer)
    }

    /// Read and decode them.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Evidence, D::Error> {
        let bytes: Vec<u8> = hex::serde::deserialize(deserializer)?;
        Evidence::decode(&bytes).map_err(de::Error::custom)
    }
}

fn decode_collection(decoder: &mut Decoder<'_>) -> Result<Evidence, EvidenceError> {
    let count = decoder
        .map()
        .map_err(EvidenceError::Cbor)?
        .ok_or(EvidenceError::NotDeterministic)?;
    if count > 4 {
        return Err(EvidenceError::TooManyMembers(count));
    }
    let mut contents = [const { None }; 4];
    for _ in 0..count {
        let (member, content) = decode_member(decoder)?;
        let slot = EvidenceMember::ALL
            .into_iter()
            .zip(&mut contents)
            .find(|(known, _)| *known == member);
        if let Some((_, slot)) = slot {
            *slot = Some(content);
        }
    }
    let [quote, claims, event_log, device_evidence] = contents;
    Ok(Evidence {
        quote: quote.ok_or(EvidenceError::Missing(EvidenceMember::Quote))?,
        claims: claims.ok_or(EvidenceError::Missing(EvidenceMember::Claims))?,
        event_log,
        device_evidence,
    })
}

fn decode_member(decoder: &mut Decoder<'_>) -> Result<(EvidenceMember, Vec<u8>), EvidenceError> {
    let label = decoder.str().map_err(EvidenceError::Cbor)?;
    let member = EvidenceMember::from_label(label).ok_or(EvidenceError::UnknownMember)?;
    if decoder.array().map_err(EvidenceError::Cbor)? != Some(3) {
        return Err(EvidenceError::Record(member));
    }
    if decoder.datatype().map_err(EvidenceError::Cbor)? != Type::String
        || decoder.str().map_err(EvidenceError::Cbor)? != member.media_type()
    {
        return Err(EvidenceError::MediaType(member));
    }
    let content = decoder.bytes().map_err(EvidenceError::Cbor)?;
    member_within_limit(member, content.len())?;
    if decoder.u64().map_err(EvidenceError::Cbor)? != INDICATOR_EVIDENCE {
        return Err(EvidenceError::Indicator(member));
    }
    Ok((member, content.to_vec()))
}

fn member_within_limit(member: EvidenceMember, length: usize) -> Result<(), EvidenceError> {
    if (1..=member.bytes_max()).contains(&length) {
        Ok(())
    } else {
        Err(EvidenceError::MemberLength { member, length })
    }
}

/// Why bytes are not a collection of evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The whole is too long.
    #[error("evidence of {0} bytes exceeds {EVIDENCE_BYTES_MAX}")]
    TooLong(usize),
    /// A member is empty or too long.
    #[error("member {member} has {length} bytes, outside 1 to {}", member.bytes_max())]
    MemberLength {
        /// Which one.
        member: EvidenceMember,
        /// Its length in bytes.
        length: usize,
    },
    /// More members than there are labels.
    #[error("{0} members are more than a collection has")]
    TooManyMembers(u64),
    /// A label that this profile does not know.
    #[error("the collection has a member with an unknown label")]
    UnknownMember,
    /// A required member is not there.
    #[error("member {0} is missing")]
    Missing(EvidenceMember),
    /// A member is no CMW record of three elements.
    #[error("member {0} is not a CMW record of type, value and indicator")]
    Record(EvidenceMember),
    /// A member has another media type.
    #[error("member {0} is not of media type {media_type}", media_type = .0.media_type())]
    MediaType(EvidenceMember),
    /// A member does not say that it is evidence.
    #[error("member {0} is not marked as evidence")]
    Indicator(EvidenceMember),
    /// The same collection has another, deterministic encoding.
    #[error("the collection is not in deterministic CBOR, or bytes follow it")]
    NotDeterministic,
    /// Not CBOR, or of another shape.
    #[error("the collection is not CBOR of the expected shape")]
    Cbor(#[source] minicbor::decode::Error),
}

#[cfg(test)]
mod tests;
