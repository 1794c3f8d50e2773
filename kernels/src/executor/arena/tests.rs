//! The arena is bounds-checked, disjoint and zero between runs.

use super::*;
use proptest::prelude::*;

const fn range(offset: u64, bytes: u64) -> ArenaRange {
    ArenaRange { offset, bytes }
}

fn bytes(slice: &[u8]) -> u64 {
    u64::try_from(slice.len()).unwrap()
}

#[test]
fn what_the_agent_writes_the_child_sees_and_back() {
    let arena = Arena::create().unwrap();
    let descriptor = arena.descriptor().try_clone_to_owned().unwrap();
    let mut mapped = MappedArena::map(descriptor, ARENA_BYTES).unwrap();
    let far = range(ARENA_BYTES - 4, 4);
    arena.write(range(64, 3), b"abc").unwrap();
    {
        let mut slices = mapped.split(&[(&[range(64, 3)], far)]).unwrap();
        let (inputs, output) = &mut slices[0];
        assert_eq!((inputs[0], &**output), (&b"abc"[..], &[0; 4][..]));
        output.copy_from_slice(b"done");
    }
    assert_eq!(arena.read(far).unwrap(), b"done");
    arena.wipe(ARENA_BYTES).unwrap();
    assert_eq!(arena.read(far).unwrap(), [0; 4]);
    assert_eq!(arena.read(range(64, 3)).unwrap(), [0; 3]);
}

#[test]
fn wiping_reaches_exactly_as_far_as_told() {
    let arena = Arena::create().unwrap();
    for used in [
        1,
        65_535,
        65_536,
        65_537,
        RESIDENT_BYTES,
        RESIDENT_BYTES + 5_000,
    ] {
        arena.write(range(used - 1, 2), b"xy").unwrap();
        arena.wipe(used).unwrap();
        assert_eq!(arena.read(range(used - 1, 2)).unwrap(), [0, b'y'], "{used}");
    }
}

#[test]
fn the_size_is_final() {
    let arena = Arena::create().unwrap();
    for bytes in [0, ARENA_BYTES - 1, ARENA_BYTES + 1] {
        let refused = arena.file.set_len(bytes).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}

#[test]
fn ranges_outside_are_refused() {
    let arena = Arena::create().unwrap();
    for outside in [
        range(ARENA_BYTES, 1),
        range(u64::MAX, 2),
        range(0, ARENA_BYTES + 1),
    ] {
        assert!(
            matches!(arena.read(outside), Err(ArenaError::OutOfRange(seen)) if seen == outside)
        );
        let bytes = vec![0; usize::try_from(outside.bytes.min(8)).unwrap()];
        assert!(matches!(
            arena.write(outside, &bytes),
            Err(ArenaError::OutOfRange(_))
        ));
    }
    assert!(matches!(
        arena.write(range(0, 2), b"abc"),
        Err(ArenaError::OutOfRange(_))
    ));
}

#[test]
fn a_file_that_could_shrink_is_not_mapped() {
    let plain = tempfile::tempfile().unwrap();
    plain.set_len(ARENA_BYTES).unwrap();
    assert!(matches!(
        MappedArena::map(plain.into(), ARENA_BYTES),
        Err(ArenaError::NotSealed)
    ));
    let unsealed = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
    assert!(matches!(
        MappedArena::map(unsealed, 0),
        Err(ArenaError::NotSealed)
    ));
    let arena = Arena::create().unwrap();
    let descriptor = arena.descriptor().try_clone_to_owned().unwrap();
    assert!(matches!(
        MappedArena::map(descriptor, 4096),
        Err(ArenaError::Size {
            seen: ARENA_BYTES,
            wanted: 4096
        })
    ));
}

#[test]
fn outputs_overlap_nothing() {
    let mut arena = [0; 32];
    let overlapping: [&[(&[ArenaRange], ArenaRange)]; 4] = [
        &[(&[], range(0, 8)), (&[], range(7, 1))],
        &[(&[range(0, 9)], range(8, 8))],
        &[(&[range(15, 1)], range(8, 8))],
        &[(&[], range(16, 8)), (&[range(12, 8)], range(0, 4))],
    ];
    for works in overlapping {
        assert!(matches!(
            split(&mut arena, works),
            Err(ArenaError::Overlap(_))
        ));
    }
    let outside: [&[(&[ArenaRange], ArenaRange)]; 4] = [
        &[(&[], range(0, 33))],
        &[(&[], range(33, 0))],
        &[(&[range(32, 1)], range(0, 1))],
        &[(&[range(33, 0)], range(0, 1))],
    ];
    for works in outside {
        assert!(matches!(
            split(&mut arena, works),
            Err(ArenaError::OutOfRange(_))
        ));
    }
    let shared = [range(0, 8), range(0, 8), range(4, 2), range(8, 0)];
    let slices = split(
        &mut arena,
        &[(&shared, range(8, 8)), (&shared, range(16, 8))],
    )
    .unwrap();
    assert_eq!((slices[0].0.len(), slices[1].1.len()), (4, 8));
}

proptest! {
    /// Any accepted set of ranges gives slices exactly where the ranges say.
    #[test]
    fn slices_lie_where_the_ranges_say(
        works in prop::collection::vec((prop::collection::vec((0_u64..64, 0_u64..16), 0..3), (0_u64..64, 0_u64..16)), 0..5)
    ) {
        let ranges: Vec<_> = works
            .iter()
            .map(|(inputs, (offset, bytes))| {
                let inputs: Vec<_> = inputs.iter().map(|&(offset, bytes)| range(offset, bytes)).collect();
                (inputs, range(*offset, *bytes))
            })
            .collect();
        let borrowed: Vec<_> = ranges.iter().map(|(inputs, output)| (inputs.as_slice(), *output)).collect();
        let mut arena: Vec<u8> = (0..64).collect();
        if let Ok(slices) = split(&mut arena, &borrowed) {
            for ((inputs, output), (input_ranges, output_range)) in slices.iter().zip(&ranges) {
                prop_assert_eq!(bytes(output), output_range.bytes);
                prop_assert!(output.first().is_none_or(|&first| u64::from(first) == output_range.offset));
                for (input, range) in inputs.iter().zip(input_ranges) {
                    prop_assert_eq!(bytes(input), range.bytes);
                    prop_assert!(input.first().is_none_or(|&first| u64::from(first) == range.offset));
                }
            }
        }
    }
}
