//! Reads untrusted little-endian bytes from front to back; no call can pass the end.

/// Bytes ended before the field that was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes end before {0} does")]
pub struct CutShort(pub &'static str);

#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], CutShort> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CutShort(what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<&'a [u8; N], CutShort> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CutShort(what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, CutShort> {
        let [byte] = self.array(what)?;
        Ok(*byte)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, CutShort> {
        self.array(what).copied().map(u16::from_le_bytes)
    }

    /// SPDM has one length of three bytes.
    pub(super) fn u24(&mut self, what: &'static str) -> Result<u32, CutShort> {
        let [low, middle, high] = *self.array(what)?;
        Ok(u32::from_le_bytes([low, middle, high, 0]))
    }
}
