//! Bytes that say how to change other bytes: for inputs that are signed or made anew each time, and so cannot be seeds.

/// One edit: operation, position (two bytes, taken modulo the length), value.
const EDIT_BYTES: usize = 4;

/// `original` after the edits that `script` spells; an incomplete edit at its end is none.
#[must_use]
pub fn edited(original: &[u8], script: &[u8]) -> Vec<u8> {
    let (edits, _) = script.as_chunks::<EDIT_BYTES>();
    edits.iter().fold(
        original.to_vec(),
        |mut bytes, &[operation, high, low, value]| {
            let position = usize::from(u16::from_be_bytes([high, low]));
            let at = position.checked_rem(bytes.len()).unwrap_or(0);
            match operation % 5 {
                0 => bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= value),
                1 => bytes.insert(at, value),
                2 => drop(bytes.drain(at..bytes.len().min(at.saturating_add(value.into())))),
                3 => bytes.truncate(at),
                _ => {
                    let end = bytes.len().min(at.saturating_add(value.into()));
                    let copied = bytes[at..end].to_vec();
                    bytes.splice(at..at, copied);
                }
            }
            bytes
        },
    )
}

#[cfg(test)]
mod tests {
    use super::edited;

    #[test]
    fn edits_do_what_they_say() {
        assert_eq!(edited(b"abc", &[]), b"abc");
        assert_eq!(edited(b"abc", &[0, 0, 1, 1]), b"acc");
        assert_eq!(edited(b"abc", &[1, 0, 1, b'x']), b"axbc");
        assert_eq!(edited(b"abc", &[2, 0, 0, 2]), b"c");
        assert_eq!(edited(b"abc", &[3, 0, 2, 0]), b"ab");
        assert_eq!(edited(b"abc", &[4, 0, 1, 1]), b"abbc");
        assert_eq!(edited(b"abc", &[0, 0, 0, 0, 9]), b"abc");
        assert_eq!(edited(b"", &[0, 9, 9, 9, 2, 9, 9, 9, 4, 9, 9, 9]), b"");
    }
}
