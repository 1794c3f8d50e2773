//! Where the parts of a quote begin: finds the one at which malformed bytes end, for a person to look at.

/// Intel's `sgx_quote_4.h`: header, TD quote body of a version 4, enclave report of a version 3.
const HEADER_BYTES: usize = 48;
const TD_BODY_BYTES: usize = 584;
const ENCLAVE_REPORT_BYTES: usize = 384;
const SIGNATURE_BYTES: usize = 64;

/// Walks over the parts; remembers the first that does not fit.
struct Walk<'a> {
    bytes: &'a [u8],
    offset: usize,
}

/// The offset and the name of a part.
type Misfit = (usize, &'static str);

/// The first part of a quote that does not fit, where one does not.
pub(super) fn first_misfit(bytes: &[u8]) -> Option<Misfit> {
    Walk { bytes, offset: 0 }.parts().err()
}

impl Walk<'_> {
    fn parts(&mut self) -> Result<(), Misfit> {
        let header = self.take("the header", HEADER_BYTES)?;
        let version = header.first().copied().unwrap_or_default();
        let body = match version {
            3 => ENCLAVE_REPORT_BYTES,
            4 => TD_BODY_BYTES,
            _ => {
                self.take("the body's type", 2)?;
                self.length("the body's length", 4)?
            }
        };
        self.take("the body", body)?;
        self.length("the signature data's length", 4)?;
        self.take("the quote's signature", SIGNATURE_BYTES)?;
        self.take("the attestation key", SIGNATURE_BYTES)?;
        if version > 3 {
            self.take("the outer certification data's type", 2)?;
            self.length("the outer certification data's length", 4)?;
        }
        self.take("the quoting enclave's report", ENCLAVE_REPORT_BYTES)?;
        self.take(
            "the signature of the quoting enclave's report",
            SIGNATURE_BYTES,
        )?;
        let authentication =
            self.length("the quoting enclave's authentication data's length", 2)?;
        self.take("the quoting enclave's authentication data", authentication)?;
        self.take("the certification data's type", 2)?;
        let certification = self.length("the certification data's length", 4)?;
        self.take("the certification data", certification)?;
        Ok(())
    }

    fn take(&mut self, part: &'static str, length: usize) -> Result<&[u8], Misfit> {
        let end = self.offset.saturating_add(length);
        let taken = self.bytes.get(self.offset..end);
        let taken = taken.ok_or((self.offset, part))?;
        self.offset = end;
        Ok(taken)
    }

    /// A little-endian length of its own.
    fn length(&mut self, part: &'static str, bytes: usize) -> Result<usize, Misfit> {
        let taken = self.take(part, bytes)?;
        let value = taken.iter().rev().fold(0_usize, |value, byte| {
            value.saturating_mul(256).saturating_add(usize::from(*byte))
        });
        Ok(value)
    }
}
