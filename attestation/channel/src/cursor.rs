//! Bounded reading and writing of length-prefixed bytes, as TLS presents them (RFC 8446 section 3).

/// Untrusted bytes ended before the field that was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is cut short")]
pub struct Truncated(pub(crate) &'static str);

/// A field does not fit its length prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes do not fit a length prefix of {prefix_bytes}")]
pub struct TooLong {
    pub(crate) bytes: usize,
    pub(crate) prefix_bytes: usize,
}

/// Reads untrusted bytes from front to back; no call can pass the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, bytes: usize, what: &'static str) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], Truncated> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Truncated(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Truncated> {
        self.array(what).map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Truncated> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Truncated> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// A vector whose length stands in front of it, big-endian, in `prefix_bytes` (1 to 3) bytes.
    pub(crate) fn vector(
        &mut self,
        prefix_bytes: usize,
        what: &'static str,
    ) -> Result<&'a [u8], Truncated> {
        let prefix = self.take(prefix_bytes, what)?;
        let bytes = prefix
            .iter()
            .fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
        self.take(bytes, what)
    }
}

/// Appends `bytes` behind their length, big-endian, in `prefix_bytes` bytes.
pub(crate) fn put_vector(
    out: &mut Vec<u8>,
    prefix_bytes: usize,
    bytes: &[u8],
) -> Result<(), TooLong> {
    let too_long = TooLong {
        bytes: bytes.len(),
        prefix_bytes,
    };
    let length = bytes.len().to_be_bytes();
    let split = length.len().checked_sub(prefix_bytes).ok_or(too_long)?;
    let (zeros, prefix) = length.split_at_checked(split).ok_or(too_long)?;
    if zeros.iter().any(|&byte| byte != 0) {
        return Err(too_long);
    }
    out.extend_from_slice(prefix);
    out.extend_from_slice(bytes);
    Ok(())
}
