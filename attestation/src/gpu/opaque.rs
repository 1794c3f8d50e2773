//! The opaque data of a report: NVIDIA's own fields, by number.
//!
//! Two layouts exist; all numbers are little-endian (NVIDIA attestation-sdk, `spdm_opaque_data_parser`):
//!
//! ```text
//! plain   { number (2) ‖ length (2) ‖ value } …
//! headed  "NVDAOD" ‖ profile (2) ‖ major ‖ minor ‖ reserved (2) ‖ { number (2) ‖ type (2) ‖ length (2) ‖ value } …
//! ```
//!
//! GPU and switch share the numbers, not all meanings. A field that is not known here is kept by its number.

use std::collections::BTreeMap;

use crate::cursor::{Cursor, CutShort};

const MAGIC: &[u8] = b"NVDAOD";
/// The one profile of the headed layout.
const PROFILE: u16 = 0;
/// The newest opaque data that NVIDIA's own verifier reads. A newer one may give a known field another meaning.
const VERSION_MAX: u64 = 2;
/// The bytes that a number of theirs has at the most.
const NUMBER_BYTES_MAX: usize = 8;

/// What NVIDIA calls `OPAQUE_FIELD_ID_…`.
pub(super) mod field {
    pub(crate) const DRIVER_VERSION: u16 = 3;
    pub(crate) const VBIOS_VERSION: u16 = 6;
    pub(crate) const NVDEC0_STATUS: u16 = 11;
    pub(crate) const CHIP_SKU: u16 = 15;
    pub(crate) const PROJECT: u16 = 17;
    pub(crate) const PROJECT_SKU: u16 = 18;
    pub(crate) const FIRMWARE_ID: u16 = 20;
    pub(crate) const PROTECTED_PCIE_STATUS: u16 = 21;
    /// Of a GPU: the switches it is linked to, one for each link.
    pub(crate) const SWITCH_PDIS: u16 = 22;
    /// Of a switch: its own.
    pub(crate) const DEVICE_PDI: u16 = 22;
    /// Of a switch: the GPUs it is linked to, then a port for each.
    pub(crate) const GPU_PDIS: u16 = 26;
    pub(crate) const DATA_VERSION: u16 = 34;
    pub(crate) const CHIP: u16 = 35;
    pub(crate) const FEATURE_FLAG: u16 = 36;
}

/// All fields, untrusted until the report's signature is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpaqueData {
    fields: BTreeMap<u16, Vec<u8>>,
}

impl OpaqueData {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, OpaqueError> {
        let (body, headed) = match bytes.strip_prefix(MAGIC) {
            Some(rest) => (header(rest)?, true),
            None => (Cursor::new(bytes), false),
        };
        let opaque = Self {
            fields: fields(body, headed)?,
        };
        match opaque.number(field::DATA_VERSION)? {
            Some(version) if version > VERSION_MAX => Err(OpaqueError::Version(version)),
            _ => Ok(opaque),
        }
    }

    pub(super) fn bytes(&self, number: u16) -> Option<&[u8]> {
        self.fields.get(&number).map(Vec::as_slice)
    }

    pub(super) fn into_fields(self) -> BTreeMap<u16, Vec<u8>> {
        self.fields
    }

    /// A number of one to eight bytes.
    pub(super) fn number(&self, number: u16) -> Result<Option<u64>, OpaqueError> {
        let Some(bytes) = self.bytes(number) else {
            return Ok(None);
        };
        if bytes.is_empty() || bytes.len() > NUMBER_BYTES_MAX {
            return Err(OpaqueError::Malformed(number));
        }
        let fold = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Ok(Some(bytes.iter().rev().fold(0, fold)))
    }

    /// A text of letters, digits, dots and underscores, before any number of zeros.
    pub(super) fn text(&self, number: u16) -> Result<Option<&str>, OpaqueError> {
        let Some(bytes) = self.bytes(number) else {
            return Ok(None);
        };
        let malformed = OpaqueError::Malformed(number);
        let text = std::str::from_utf8(bytes).map_err(|_| malformed)?;
        let text = text.trim_end_matches('\0');
        let permitted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        if text.is_empty() || !text.chars().all(permitted) {
            return Err(malformed);
        }
        Ok(Some(text))
    }

    /// Exactly `N` bytes.
    pub(super) fn array<const N: usize>(
        &self,
        number: u16,
    ) -> Result<Option<[u8; N]>, OpaqueError> {
        self.bytes(number)
            .map(|bytes| bytes.try_into().map_err(|_| OpaqueError::Malformed(number)))
            .transpose()
    }
}

fn header(rest: &[u8]) -> Result<Cursor<'_>, OpaqueError> {
    let mut cursor = Cursor::new(rest);
    let profile = cursor.u16("the opaque data's profile")?;
    if profile != PROFILE {
        return Err(OpaqueError::Profile(profile));
    }
    let major = cursor.u8("the opaque data's major version")?;
    cursor.take(3, "the opaque data's header")?;
    if u64::from(major) > VERSION_MAX {
        return Err(OpaqueError::Version(major.into()));
    }
    Ok(cursor)
}

fn fields(mut body: Cursor<'_>, headed: bool) -> Result<BTreeMap<u16, Vec<u8>>, OpaqueError> {
    let mut fields = BTreeMap::new();
    while !body.is_empty() {
        let number = body.u16("an opaque field's number")?;
        if headed {
            body.u16("an opaque field's type")?;
        }
        let length = body.u16("an opaque field's length")?;
        let value = body.take(length.into(), "an opaque field's value")?;
        if fields.insert(number, value.to_vec()).is_some() {
            return Err(OpaqueError::Repeated(number));
        }
    }
    Ok(fields)
}

/// Why bytes are not opaque data, or a field of it not what its number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueError {
    /// They end too early.
    #[error("the opaque data is cut short")]
    CutShort(
        #[from]
        #[source]
        CutShort,
    ),
    /// A profile that is not known here.
    #[error("opaque data of profile {0}, not 0")]
    Profile(u16),
    /// A version that is newer than what is known here.
    #[error("opaque data of version {0}, newer than {VERSION_MAX}")]
    Version(u64),
    /// A field is there twice.
    #[error("opaque field {0} is there twice")]
    Repeated(u16),
    /// A field has another length, or a value that it may not have.
    #[error("opaque field {0} does not read")]
    Malformed(u16),
    /// A field that the device must have is not there.
    #[error("opaque field {0} is missing")]
    Missing(u16),
}

#[cfg(test)]
mod tests;
