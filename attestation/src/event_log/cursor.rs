//! Reading little-endian bytes from front to back; no call can pass the end.

use super::EventLogError;

/// Untrusted bytes that have not been read yet, and how many came before them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            offset: 0,
        }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes have been read.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn take(
        &mut self,
        bytes: usize,
        what: &'static str,
    ) -> Result<&'a [u8], EventLogError> {
        let cut_short = EventLogError::CutShort {
            what,
            offset: self.offset,
        };
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(cut_short)?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(bytes);
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], EventLogError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, EventLogError> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, EventLogError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, EventLogError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Bytes behind their length, which has four bytes.
    pub(super) fn sized(&mut self, what: &'static str) -> Result<&'a [u8], EventLogError> {
        let bytes = self.u32(what)?;
        // A length that no address space holds is longer than what is there.
        self.take(usize::try_from(bytes).unwrap_or(usize::MAX), what)
    }
}
