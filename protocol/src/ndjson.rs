//! Newline-delimited JSON: one value a line, as batches travel.

use memchr::memchr;

pub const MEDIA_TYPE: &str = "application/x-ndjson";

/// The lines that hold something.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let next = move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        Some(line)
    };
    std::iter::from_fn(next).filter(|line| !line.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn empty_lines_are_none() {
        let found: Vec<_> = lines(b"\n1\r\n \n\n2").collect();
        assert_eq!(found, [b"1\r".as_slice(), b"2"]);
        assert_eq!(lines(b"").count() + lines(b"\n").count(), 0);
        assert_eq!(lines(b"1\n").count(), 1);
    }

    proptest! {
        #[test]
        fn lines_are_what_stands_between_their_ends(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..64)) {
            let split = bytes.split(|byte| *byte == b'\n');
            let held: Vec<_> = split.filter(|line| !line.trim_ascii().is_empty()).collect();
            prop_assert_eq!(lines(&bytes).collect::<Vec<_>>(), held);
        }
    }
}
