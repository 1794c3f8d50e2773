//! Reads untrusted little-endian bytes from front to back; no call can pass the end.

/// Bytes ended before the field that was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes end before {what} does")]
pub struct CutShort {
    /// The field.
    pub what: &'static str,
    /// Where it starts.
    pub offset: usize,
}

/// Bytes that have not been read yet, and how many came before them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            offset: 0,
        }
    }

    /// What has not been read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes have been read.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn take(&mut self, bytes: usize, what: &'static str) -> Result<&'a [u8], CutShort> {
        let parts = self.rest.split_at_checked(bytes);
        let (taken, rest) = parts.ok_or(self.cut_short(what))?;
        self.advance(rest, bytes);
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<&'a [u8; N], CutShort> {
        let parts = self.rest.split_first_chunk();
        let (taken, rest) = parts.ok_or(self.cut_short(what))?;
        self.advance(rest, N);
        Ok(taken)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, CutShort> {
        let [byte] = self.array(what)?;
        Ok(*byte)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, CutShort> {
        self.array(what).copied().map(u16::from_le_bytes)
    }

    /// SPDM has one length of three bytes.
    pub(crate) fn u24(&mut self, what: &'static str) -> Result<u32, CutShort> {
        let [low, middle, high] = *self.array(what)?;
        Ok(u32::from_le_bytes([low, middle, high, 0]))
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, CutShort> {
        self.array(what).copied().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, CutShort> {
        self.array(what).copied().map(u64::from_le_bytes)
    }

    /// Bytes behind their length, which has four bytes.
    pub(crate) fn sized(&mut self, what: &'static str) -> Result<&'a [u8], CutShort> {
        let bytes = self.u32(what)?;
        // A length that no address space holds is longer than what is there.
        self.take(usize::try_from(bytes).unwrap_or(usize::MAX), what)
    }

    const fn cut_short(&self, what: &'static str) -> CutShort {
        CutShort {
            what,
            offset: self.offset,
        }
    }

    fn advance(&mut self, rest: &'a [u8], bytes: usize) {
        self.rest = rest;
        self.offset = self.offset.saturating_add(bytes);
    }
}
