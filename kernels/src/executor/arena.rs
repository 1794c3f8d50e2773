//! The arena: memory that agent and child share, through which inputs and outputs travel.
//!
//! It is a memfd of [`ARENA_BYTES`], sparse (it takes what is written, not what is named) and sealed against any change
//! of size, so that the child's mapping can never fault. The agent reads and writes it with system calls alone and
//! keeps no mapping: what a misbehaving child changes behind its back is bytes in a file, never memory that it holds a
//! reference to. Only the child maps it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use memmap2::{MmapMut, MmapOptions};
use protocol::limits::BLOB_BYTES_MAX;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use serde::{Deserialize, Serialize};

/// Size of the arena: the most that an operation with named inputs can need (three inputs and an output of one blob
/// each). Address space, not memory.
pub const ARENA_BYTES: u64 = 4 * BLOB_BYTES_MAX;

/// Pages below this are zeroed by writing and stay, so that small batches fault nothing in and the CUDA executor can
/// register them once; pages beyond go back to the operating system after each run.
pub(super) const RESIDENT_BYTES: u64 = 64 * 1024 * 1024;

/// Ranges begin at multiples of this: the alignment that vector loads and copy engines like.
pub(super) const ALIGNMENT_BYTES: u64 = 64;

/// The size can neither grow nor shrink, and nobody can lift that.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

const ZEROS_BYTES: u64 = 64 * 1024;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A part of the arena, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArenaRange {
    pub offset: u64,
    pub bytes: u64,
}

/// Why the arena could not be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    #[error("cannot {0} the arena")]
    Io(&'static str, #[source] io::Error),
    #[error("the arena is not sealed against a change of its size")]
    NotSealed,
    #[error("the arena has {seen} bytes, not the {wanted} announced")]
    Size { seen: u64, wanted: u64 },
    #[error("{} bytes at {} lie outside the arena", .0.bytes, .0.offset)]
    OutOfRange(ArenaRange),
    #[error("the output of {} bytes at {} overlaps another range", .0.bytes, .0.offset)]
    Overlap(ArenaRange),
}

/// The agent's side: the file.
#[derive(Debug)]
pub(super) struct Arena {
    file: File,
}

impl Arena {
    pub(super) fn create() -> Result<Self, ArenaError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let descriptor = rustix::fs::memfd_create("executor-arena", flags)
            .map_err(|errno| ArenaError::Io("create", errno.into()))?;
        let file = File::from(descriptor);
        file.set_len(ARENA_BYTES)
            .map_err(|error| ArenaError::Io("size", error))?;
        rustix::fs::fcntl_add_seals(&file, SEALS)
            .map_err(|errno| ArenaError::Io("seal", errno.into()))?;
        Ok(Self { file })
    }

    /// The descriptor that the child is given.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(super) fn write(&self, range: ArenaRange, bytes: &[u8]) -> Result<(), ArenaError> {
        within(range, ARENA_BYTES)?;
        let fits = u64::try_from(bytes.len()) == Ok(range.bytes);
        fits.then_some(()).ok_or(ArenaError::OutOfRange(range))?;
        self.file
            .write_all_at(bytes, range.offset)
            .map_err(|error| ArenaError::Io("write", error))
    }

    /// A private copy: later writes of the child do not reach it.
    pub(super) fn read(&self, range: ArenaRange) -> Result<Vec<u8>, ArenaError> {
        within(range, ARENA_BYTES)?;
        let length = usize::try_from(range.bytes).map_err(|_| ArenaError::OutOfRange(range))?;
        let mut bytes = vec![0; length];
        self.file
            .read_exact_at(&mut bytes, range.offset)
            .map_err(|error| ArenaError::Io("read", error))?;
        Ok(bytes)
    }

    /// Zeroes the first `used` bytes, so that no task finds another's there.
    pub(super) fn wipe(&self, used: u64) -> Result<(), ArenaError> {
        let resident = used.min(RESIDENT_BYTES);
        let mut offset = 0;
        while offset < resident {
            let left = usize::try_from(resident - offset).unwrap_or(usize::MAX);
            let zeros = ZEROS.get(..left).unwrap_or(&ZEROS);
            self.file
                .write_all_at(zeros, offset)
                .map_err(|error| ArenaError::Io("wipe", error))?;
            offset += ZEROS_BYTES;
        }
        if used > RESIDENT_BYTES {
            let discard = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&self.file, discard, RESIDENT_BYTES, used - RESIDENT_BYTES)
                .map_err(|errno| ArenaError::Io("wipe", errno.into()))?;
        }
        Ok(())
    }
}

fn within(range: ArenaRange, arena_bytes: u64) -> Result<(), ArenaError> {
    let end = range.offset.checked_add(range.bytes);
    match end {
        Some(end) if end <= arena_bytes => Ok(()),
        _ => Err(ArenaError::OutOfRange(range)),
    }
}

/// The child's side: the mapping.
#[derive(Debug)]
pub(super) struct MappedArena {
    bytes: MmapMut,
}

/// Inputs and output of one work, borrowed from the mapping.
pub(super) type Slices<'a> = (Vec<&'a [u8]>, &'a mut [u8]);

impl MappedArena {
    pub(super) fn map(descriptor: OwnedFd, wanted: u64) -> Result<Self, ArenaError> {
        let file = File::from(descriptor);
        let seals = rustix::fs::fcntl_get_seals(&file).map_err(|_| ArenaError::NotSealed)?;
        if !seals.contains(SEALS) {
            return Err(ArenaError::NotSealed);
        }
        let seen = file
            .metadata()
            .map_err(|error| ArenaError::Io("measure", error))?
            .len();
        if seen != wanted {
            return Err(ArenaError::Size { seen, wanted });
        }
        #[expect(
            unsafe_code,
            reason = "a file mapping is shared memory; no safe interface exists"
        )]
        // SAFETY: The seals read above make the size final, so no access can fault. The other holder of the file is the
        // agent that started this process and could replace it altogether; by the protocol it writes only between an
        // answer to the last work of a run and its next command, while `&mut self` of `split` is not borrowed.
        let bytes = unsafe { MmapOptions::new().map_mut(&file) };
        Ok(Self {
            bytes: bytes.map_err(|error| ArenaError::Io("map", error))?,
        })
    }

    /// The slices of every work of a run, each given as its inputs' ranges and its output's. Outputs must be disjoint
    /// from one another and from every input; inputs may coincide.
    pub(super) fn split(
        &mut self,
        works: &[(&[ArenaRange], ArenaRange)],
    ) -> Result<Vec<Slices<'_>>, ArenaError> {
        split(&mut self.bytes, works)
    }
}

fn split<'a>(
    arena: &'a mut [u8],
    works: &[(&[ArenaRange], ArenaRange)],
) -> Result<Vec<Slices<'a>>, ArenaError> {
    let arena_bytes = u64::try_from(arena.len()).unwrap_or(u64::MAX);
    let mut order: Vec<_> = works
        .iter()
        .map(|(_, output)| *output)
        .enumerate()
        .collect();
    order.sort_by_key(|(_, output)| (output.offset, output.bytes));

    // Cut from front to back: what lies between two outputs is a gap, and inputs are looked up in gaps only.
    let mut gaps: Vec<(u64, &'a [u8])> = Vec::with_capacity(order.len() + 1);
    let mut outputs = Vec::with_capacity(order.len());
    let mut position = 0;
    let mut rest = arena;
    for (index, output) in order {
        within(output, arena_bytes)?;
        let gap_bytes = output.offset.checked_sub(position);
        let gap_bytes = gap_bytes.ok_or(ArenaError::Overlap(output))?;
        let (gap, tail) = cut(rest, gap_bytes).ok_or(ArenaError::OutOfRange(output))?;
        let (slice, tail) = cut(tail, output.bytes).ok_or(ArenaError::OutOfRange(output))?;
        gaps.push((position, gap));
        outputs.push((index, slice));
        position = output.offset.saturating_add(output.bytes);
        rest = tail;
    }
    gaps.push((position, rest));

    outputs.sort_by_key(|(index, _)| *index);
    let mut slices = Vec::with_capacity(works.len());
    for ((_, output), (ranges, _)) in outputs.into_iter().zip(works) {
        let inputs = ranges.iter().map(|range| {
            within(*range, arena_bytes)?;
            in_gap(&gaps, *range).ok_or(ArenaError::Overlap(*range))
        });
        slices.push((inputs.collect::<Result<_, _>>()?, output));
    }
    Ok(slices)
}

fn cut(slice: &mut [u8], at: u64) -> Option<(&mut [u8], &mut [u8])> {
    slice.split_at_mut_checked(usize::try_from(at).ok()?)
}

fn in_gap<'a>(gaps: &[(u64, &'a [u8])], range: ArenaRange) -> Option<&'a [u8]> {
    if range.bytes == 0 {
        return Some(&[]);
    }
    let behind = gaps.partition_point(|(start, _)| *start <= range.offset);
    let (start, gap) = gaps.get(behind.checked_sub(1)?)?;
    let from = usize::try_from(range.offset.checked_sub(*start)?).ok()?;
    let to = from.checked_add(usize::try_from(range.bytes).ok()?)?;
    gap.get(from..to)
}

#[cfg(test)]
mod tests;
