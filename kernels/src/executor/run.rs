//! A run: the works that the child is given at once. Batches are cut so that each run fits the arena and one frame.

use super::arena::{ALIGNMENT_BYTES, ARENA_BYTES, ArenaRange, RESIDENT_BYTES};
use super::message::{COMMAND_BYTES_MAX, Placement};
use super::work::Work;

/// Works of one run.
pub const BATCH_WORKS_MAX: usize = protocol::limits::BATCH_TASKS_MAX;

/// Payload of one run, unless a single work alone is larger: what stays resident of the arena.
pub const RUN_BYTES_MAX: u64 = RESIDENT_BYTES;

/// A placement's CBOR beside its body: field names and lengths, and two integers for each range.
const PLACEMENT_BYTES: usize = 64;
const RANGE_BYTES: usize = 40;
/// The run's own fields.
const RUN_BYTES: usize = 64;

/// Works from the front of a batch, with their places in the arena.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) placements: Vec<Placement>,
    /// The arena is used up to here.
    pub(super) bytes: u64,
}

/// Why the first work of a batch can never run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooLarge {
    #[error("inputs and output have {bytes} bytes together; an executor holds {max}", max = ARENA_BYTES)]
    Arena { bytes: u64 },
    #[error("the task's description has {bytes} bytes; an executor takes {max}", max = COMMAND_BYTES_MAX)]
    Frame { bytes: usize },
}

/// The next run: as many works from the front as fit, at least one of them.
pub(super) fn next(works: &[Work]) -> Result<Run, TooLarge> {
    let mut run = Run {
        placements: Vec::new(),
        bytes: 0,
    };
    let mut frame_bytes = RUN_BYTES;
    for work in works.iter().take(BATCH_WORKS_MAX) {
        let (placement, end) = place(work, run.bytes);
        frame_bytes = frame_bytes.saturating_add(frame_size(work));
        let first = run.placements.is_empty();
        let arena_max = if first { ARENA_BYTES } else { RUN_BYTES_MAX };
        let fits = end <= arena_max && frame_bytes <= COMMAND_BYTES_MAX;
        if !fits && !first {
            break;
        }
        if end > arena_max {
            return Err(TooLarge::Arena { bytes: end });
        }
        if frame_bytes > COMMAND_BYTES_MAX {
            return Err(TooLarge::Frame { bytes: frame_bytes });
        }
        run.placements.push(placement);
        run.bytes = end;
    }
    Ok(run)
}

/// Inputs, then output, each aligned; and where the next work begins.
fn place(work: &Work, start: u64) -> (Placement, u64) {
    let mut end = start;
    let mut take = |bytes: u64| {
        let range = ArenaRange { offset: end, bytes };
        end = end.saturating_add(bytes.next_multiple_of(ALIGNMENT_BYTES));
        range
    };
    let call = work.call();
    let inputs = call
        .input_bytes()
        .iter()
        .map(|bytes| take(*bytes))
        .collect();
    let output = take(call.output_bytes());
    let body = work.body().to_vec();
    let placement = Placement {
        body,
        inputs,
        output,
    };
    (placement, end)
}

fn frame_size(work: &Work) -> usize {
    let ranges = work.inputs().len().saturating_add(1);
    work.body()
        .len()
        .saturating_add(PLACEMENT_BYTES)
        .saturating_add(ranges.saturating_mul(RANGE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::message::Command;
    use protocol::task::{InputDescriptor, TaskBody};
    use protocol::wire;
    use serde_json::Map;

    fn digest_of(inputs: &[usize]) -> Work {
        let inputs: Vec<bytes::Bytes> = inputs.iter().map(|&bytes| vec![0; bytes].into()).collect();
        let body = TaskBody {
            operation: "sha256_batch".to_owned(),
            version: 1,
            parameters: Map::new(),
            inputs: inputs
                .iter()
                .map(|input| InputDescriptor::of(input))
                .collect(),
        };
        Work::parse(body.canonical().unwrap().into(), inputs).unwrap()
    }

    #[test]
    fn ranges_are_aligned_and_follow_one_another() {
        let run = next(&[digest_of(&[1, 0, 65]), digest_of(&[3])]).unwrap();
        let range = |offset, bytes| ArenaRange { offset, bytes };
        assert_eq!(
            run.placements[0].inputs,
            [range(0, 1), range(64, 0), range(64, 65)]
        );
        assert_eq!(run.placements[0].output, range(192, 96));
        assert_eq!(run.placements[1].inputs, [range(320, 3)]);
        assert_eq!((run.placements[1].output, run.bytes), (range(384, 32), 448));
    }

    #[test]
    fn a_batch_is_cut_by_number_by_payload_and_by_frame() {
        let small = vec![digest_of(&[1]); BATCH_WORKS_MAX + 1];
        assert_eq!(next(&small).unwrap().placements.len(), BATCH_WORKS_MAX);
        let half = digest_of(&[usize::try_from(RUN_BYTES_MAX / 2).unwrap()]);
        assert_eq!(next(&vec![half; 3]).unwrap().placements.len(), 1);
        let wide = vec![digest_of(&[0; 256]); 100];
        let run = next(&wide).unwrap();
        assert!((2..100).contains(&run.placements.len()));
        let works = run.placements;
        let command = Command::Run {
            request: u64::MAX,
            works,
        };
        assert!(wire::encode(&command).unwrap().len() <= COMMAND_BYTES_MAX);
    }

    #[test]
    fn one_large_work_runs_alone_and_one_too_large_never() {
        let large = digest_of(&[usize::try_from(RUN_BYTES_MAX).unwrap()]);
        assert_eq!(next(&[large.clone(), large]).unwrap().placements.len(), 1);
        let gibibyte = bytes::Bytes::from(vec![0; 1 << 30]);
        let inputs = vec![gibibyte; 4];
        let descriptor = InputDescriptor {
            sha256: protocol::Sha256Digest::of(b""),
            bytes: 1 << 30,
        };
        let body = TaskBody {
            operation: "sha256_batch".to_owned(),
            version: 1,
            parameters: Map::new(),
            inputs: vec![descriptor; 4],
        };
        let work = Work::parse(body.canonical().unwrap().into(), inputs).unwrap();
        let refused = next(&[work]).unwrap_err();
        assert_eq!(
            refused,
            TooLarge::Arena {
                bytes: ARENA_BYTES + 128
            }
        );
    }
}
