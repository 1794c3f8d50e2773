//! SWID tags (ISO/IEC 19770-2) under an XML signature: the format of NVIDIA's manifests today.

mod contents;
mod signature;

use super::{
    RimError,
    format::{Contents, Envelope, RimFormat},
};

/// The format.
pub(super) struct Swid;

impl RimFormat for Swid {
    fn recognises(&self, bytes: &[u8]) -> bool {
        bytes.trim_ascii_start().starts_with(b"<")
    }

    fn open(&self, bytes: &[u8]) -> Result<Envelope, RimError> {
        signature::open(bytes)
    }

    fn read(&self, payload: &[u8]) -> Result<Contents, RimError> {
        contents::read(payload)
    }
}
