//! A task's inputs as one column: a record of 41 bytes for each, and inline bytes end to end in another column.
//!
//! | bytes | what |
//! |---|---|
//! | 32 | SHA-256 |
//! | 8 | size, big-endian |
//! | 1 | 1: inline, 0: a blob |

use std::ops::Range;

use protocol::Sha256Digest;
use protocol::task::InputDescriptor;

use super::super::submission::StoredInput;

const RECORD_BYTES: usize = 41;

/// One input, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InputRecord {
    pub(super) descriptor: InputDescriptor,
    /// Where its bytes are among the inline ones; absent: a blob.
    pub(super) inline: Option<Range<usize>>,
}

/// Records of a task's inputs.
pub(in super::super) fn write(inputs: &[StoredInput]) -> Vec<u8> {
    let mut records = Vec::with_capacity(inputs.len().saturating_mul(RECORD_BYTES));
    for input in inputs {
        records.extend_from_slice(input.descriptor.sha256.as_bytes());
        records.extend_from_slice(&input.descriptor.bytes.to_be_bytes());
        records.push(u8::from(input.is_inline));
    }
    records
}

/// `None` where these are no records.
pub(super) fn read(records: &[u8]) -> Option<Vec<InputRecord>> {
    let (records, rest) = records.as_chunks::<RECORD_BYTES>();
    let mut end = 0_usize;
    let record = |record: &[u8; RECORD_BYTES]| {
        let (sha256, record) = record.split_first_chunk::<32>()?;
        let (bytes, record) = record.split_first_chunk::<8>()?;
        let descriptor = InputDescriptor {
            sha256: Sha256Digest::from_bytes(*sha256),
            bytes: u64::from_be_bytes(*bytes),
        };
        let inline = match record {
            [0] => None,
            [1] => {
                let begin = end;
                end = begin.checked_add(usize::try_from(descriptor.bytes).ok()?)?;
                Some(begin..end)
            }
            _ => return None,
        };
        Some(InputRecord { descriptor, inline })
    };
    let inputs = records.iter().map(record).collect();
    if rest.is_empty() { inputs } else { None }
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use crate::store::submission::StoredInput;
    use protocol::Sha256Digest;
    use protocol::task::InputDescriptor;

    #[test]
    fn what_is_written_is_read() {
        let inline = |text: &'static str| StoredInput {
            descriptor: InputDescriptor::of(text.as_bytes()),
            is_inline: true,
        };
        let blob = StoredInput {
            descriptor: InputDescriptor {
                sha256: Sha256Digest::of(b"large"),
                bytes: 1 << 40,
            },
            is_inline: false,
        };
        let inputs = [inline("one"), blob, inline(""), inline("three")];
        let read = read(&write(&inputs)).unwrap();
        let inline: Vec<_> = read.iter().map(|input| input.inline.clone()).collect();
        assert_eq!(inline, [Some(0..3), None, Some(3..3), Some(3..8)]);
        for (input, written) in read.iter().zip(&inputs) {
            assert_eq!(input.descriptor, written.descriptor);
        }
        assert_eq!(super::read(&[]), Some(Vec::new()));
    }

    #[test]
    fn nonsense_is_none() {
        assert_eq!(read(&[0; 40]), None);
        assert_eq!(read(&[2; 41]), None);
        // The second would begin beyond what there can be.
        let mut records = [[1; 41]; 2];
        for record in &mut records {
            record[32..40].fill(0xff);
        }
        assert_eq!(read(&records.concat()), None);
    }
}
