//! One exchange of SPDM 1.1: `GET_MEASUREMENTS` and the signed `MEASUREMENTS` that answers it.
//!
//! After DMTF DSP0274 1.1, tables 41 to 46. NVML returns request ‖ response; the device's signature covers both, up to
//! the signature itself. All numbers are little-endian.
//!
//! ```text
//! request   version 11 ‖ code e0 ‖ attributes ‖ operation ‖ nonce (32) ‖ slot
//! response  version 11 ‖ code 60 ‖ count ‖ slot ‖ block count ‖ record length (3) ‖ record ‖ nonce (32)
//!           ‖ opaque length (2) ‖ opaque data ‖ signature (96)
//! block     index ‖ specification 01 ‖ length (2) ‖ value type ‖ value length (2) ‖ value
//! ```

use std::collections::BTreeMap;

use crate::cursor::{Cursor, CutShort};

use super::p384::SIGNATURE_BYTES;

const VERSION_1_1: u8 = 0x11;
const GET_MEASUREMENTS: u8 = 0xe0;
const MEASUREMENTS: u8 = 0x60;
/// Request attributes, bit 0: the response is to be signed.
const SIGNATURE_REQUESTED: u8 = 1;
/// Operation: all measurements. A device that is asked for fewer shows fewer.
const ALL_MEASUREMENTS: u8 = 0xff;
/// Slot ids have four bits.
const SLOT_MASK: u8 = 0x0f;
/// Measurement specification, bit 0: DMTF.
const DMTF: u8 = 1;
/// Value type and value length in front of a value.
const DMTF_HEADER_BYTES: usize = 3;

/// An exchange whose structure is sound. Untrusted.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    /// What the requester wanted to find in the answer.
    pub(super) nonce: &'a [u8; 32],
    /// The values by SPDM index, which counts from 1.
    pub(super) measurements: BTreeMap<u8, &'a [u8]>,
    /// The vendor's own data.
    pub(super) opaque: &'a [u8],
    /// Everything in front of the signature.
    pub(super) signed: &'a [u8],
    /// `r ‖ s`.
    pub(super) signature: &'a [u8; SIGNATURE_BYTES],
}

impl<'a> Exchange<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, SpdmError> {
        let (signed, signature) = bytes.split_last_chunk().ok_or(CutShort {
            what: "the SPDM signature",
            offset: 0,
        })?;
        let mut cursor = Cursor::new(signed);
        let (nonce, slot) = request(&mut cursor)?;
        let measurements = response(&mut cursor, slot)?;
        // The responder's own nonce makes each signature another one; nothing depends on it.
        let _: &[u8; 32] = cursor.array("the response's nonce")?;
        let opaque_length = cursor.u16("the length of the opaque data")?;
        let opaque = cursor.take(opaque_length.into(), "the opaque data")?;
        if !cursor.is_empty() {
            return Err(SpdmError::TrailingBytes);
        }
        Ok(Self {
            nonce,
            measurements,
            opaque,
            signed,
            signature,
        })
    }
}

/// The request: its nonce, and the slot whose certificates are meant.
fn request<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a [u8; 32], u8), SpdmError> {
    header(cursor, GET_MEASUREMENTS)?;
    let attributes = cursor.u8("the request's attributes")?;
    let operation = cursor.u8("the request's operation")?;
    if attributes != SIGNATURE_REQUESTED || operation != ALL_MEASUREMENTS {
        return Err(SpdmError::Request {
            attributes,
            operation,
        });
    }
    let nonce = cursor.array("the request's nonce")?;
    let slot = cursor.u8("the request's slot")?;
    Ok((nonce, slot & SLOT_MASK))
}

fn response<'a>(cursor: &mut Cursor<'a>, slot: u8) -> Result<BTreeMap<u8, &'a [u8]>, SpdmError> {
    header(cursor, MEASUREMENTS)?;
    // The number of measurements, where the request asks for it alone; ours asks for the measurements.
    cursor.u8("the response's first parameter")?;
    let answered = cursor.u8("the response's slot")? & SLOT_MASK;
    if answered != slot {
        return Err(SpdmError::Slot {
            requested: slot,
            answered,
        });
    }
    let count = cursor.u8("the number of blocks")?;
    let length = cursor.u24("the length of the measurement record")?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut record = Cursor::new(cursor.take(length, "the measurement record")?);
    let mut measurements = BTreeMap::new();
    for _ in 0..count {
        let (index, value) = block(&mut record)?;
        if measurements.insert(index, value).is_some() {
            return Err(SpdmError::IndexRepeated(index));
        }
    }
    if !record.is_empty() {
        return Err(SpdmError::RecordTrailingBytes);
    }
    if measurements.is_empty() {
        return Err(SpdmError::NoMeasurements);
    }
    Ok(measurements)
}

fn block<'a>(record: &mut Cursor<'a>) -> Result<(u8, &'a [u8]), SpdmError> {
    let index = record.u8("a block's index")?;
    // DSP0274: indices are 1 to 239 (0xef) for measurements; 0 is none.
    if index == 0 {
        return Err(SpdmError::IndexZero);
    }
    let specification = record.u8("a block's specification")?;
    if specification != DMTF {
        return Err(SpdmError::Specification {
            index,
            specification,
        });
    }
    let length = usize::from(record.u16("a block's length")?);
    record.u8("a block's value type")?;
    let value_length = usize::from(record.u16("a block's value length")?);
    if value_length.checked_add(DMTF_HEADER_BYTES) != Some(length) {
        return Err(SpdmError::BlockLength {
            index,
            length,
            value_length,
        });
    }
    Ok((index, record.take(value_length, "a block's value")?))
}

fn header(cursor: &mut Cursor<'_>, wanted: u8) -> Result<(), SpdmError> {
    let version = cursor.u8("an SPDM version")?;
    let code = cursor.u8("an SPDM code")?;
    if version != VERSION_1_1 || code != wanted {
        return Err(SpdmError::Message {
            wanted,
            version,
            code,
        });
    }
    Ok(())
}

/// Why bytes are not the exchange that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpdmError {
    /// They end too early.
    #[error("the SPDM exchange is cut short")]
    CutShort(
        #[from]
        #[source]
        CutShort,
    ),
    /// Another message, or another version of SPDM.
    #[error(
        "SPDM message {code:#04x} of version {version:#04x}, not {wanted:#04x} of version 0x11"
    )]
    Message {
        /// The wanted message's code.
        wanted: u8,
        /// The version found.
        version: u8,
        /// The code found.
        code: u8,
    },
    /// The request does not ask for all measurements and a signature.
    #[error(
        "the SPDM request asks for {operation:#04x} with attributes {attributes:#04x}, not for everything, signed"
    )]
    Request {
        /// Bit 0: signed.
        attributes: u8,
        /// `ff`: everything.
        operation: u8,
    },
    /// The response is about another slot than the request.
    #[error("SPDM slot {answered} answers for slot {requested}")]
    Slot {
        /// In the request.
        requested: u8,
        /// In the response.
        answered: u8,
    },
    /// A measurement of index 0.
    #[error("a measurement block has index 0")]
    IndexZero,
    /// Two measurements of one index.
    #[error("measurement block {0} is there twice")]
    IndexRepeated(u8),
    /// A measurement that is not the DMTF's.
    #[error("measurement block {index} follows specification {specification:#04x}, not the DMTF's")]
    Specification {
        /// Its index.
        index: u8,
        /// Its specification.
        specification: u8,
    },
    /// A block's two lengths contradict each other.
    #[error("measurement block {index} of {length} bytes holds a value of {value_length}")]
    BlockLength {
        /// Its index.
        index: u8,
        /// The block's length in bytes.
        length: usize,
        /// Its value's length in bytes.
        value_length: usize,
    },
    /// The record is longer than its blocks.
    #[error("bytes follow the last measurement block")]
    RecordTrailingBytes,
    /// There is no measurement.
    #[error("the measurement record is empty")]
    NoMeasurements,
    /// Bytes between opaque data and signature.
    #[error("bytes stand between opaque data and signature")]
    TrailingBytes,
}

#[cfg(test)]
mod tests;
