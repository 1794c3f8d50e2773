//! How fast bytes move: within the device, which bounds every kernel that computes little, and between it and pinned
//! memory, which bounds every task with large inputs.
#![expect(
    unsafe_code,
    reason = "functions of a C library; each block says why it may be called"
)]

use std::time::Duration;

use anyhow::{Context, Result};
use cudarc::driver::{result, sys};

use super::{Rows, gigabytes, median, rate, real};
use crate::child::now;

const BYTES: usize = 256 * 1024 * 1024;
const BYTES_QUICK: usize = 64 * 1024;
const SAMPLES: usize = 20;
/// Copies for one sample: long beside the launch of one.
const TIMES: usize = 10;

/// Adds the three copies; bytes read and written a second by the one within the device.
pub(super) fn run(rows: &mut Rows, quick: bool) -> Result<f64> {
    let bytes = if quick { BYTES_QUICK } else { BYTES };
    let samples = if quick { 2 } else { SAMPLES };
    let shape = format!("{} KiB", bytes / 1024);
    let (from, to) = (Memory::new(bytes)?, Memory::new(bytes)?);
    let pinned = Pinned::new(bytes)?;
    let time = |copy: &dyn Fn() -> Result<()>| -> Result<Duration> {
        copy()?;
        synchronize()?;
        let mut times = Vec::with_capacity(samples);
        for _ in 0..samples {
            let begun = now();
            for _ in 0..TIMES {
                copy()?;
            }
            synchronize()?;
            times.push(begun.elapsed());
        }
        Ok(median(times))
    };
    let stream = std::ptr::null_mut();
    // Each of the three copies `bytes` bytes between ranges that have as many, that outlive the wait behind every sample,
    // and that nobody reads meanwhile.
    let within = time(&|| {
        // SAFETY: see above.
        let copied = unsafe { sys::cuMemcpyDtoDAsync_v2(to.0, from.0, bytes, stream) };
        copied.result().context("cuMemcpyDtoDAsync")
    })?;
    let inwards = time(&|| {
        // SAFETY: see above.
        let copied = unsafe { sys::cuMemcpyHtoDAsync_v2(to.0, pinned.0.cast(), bytes, stream) };
        copied.result().context("cuMemcpyHtoDAsync")
    })?;
    let outwards = time(&|| {
        // SAFETY: see above.
        let copied = unsafe { sys::cuMemcpyDtoHAsync_v2(pinned.0.cast(), from.0, bytes, stream) };
        copied.result().context("cuMemcpyDtoHAsync")
    })?;
    let moved = real(bytes) * real(TIMES);
    // A copy within reads each byte and writes it.
    let copy_bytes_per_s = rate(2.0 * moved, within);
    rows.add(
        "copy within the device",
        &shape,
        gigabytes(copy_bytes_per_s),
        "read and written".to_owned(),
        None,
    );
    for (what, time) in [("copy in", inwards), ("copy out", outwards)] {
        let seen = gigabytes(rate(moved, time));
        rows.add(what, &shape, seen, "pinned memory".to_owned(), None);
    }
    Ok(copy_bytes_per_s)
}

pub(super) fn synchronize() -> Result<()> {
    result::ctx::synchronize().context("cuCtxSynchronize")
}

struct Memory(u64);

impl Memory {
    fn new(bytes: usize) -> Result<Self> {
        // SAFETY: a context is current; nothing reads the memory but copies.
        let address = unsafe { result::malloc_sync(bytes) };
        address.map(Self).context("cuMemAlloc")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated once, in `new`.
        let _ = unsafe { result::free_sync(self.0) };
    }
}

struct Pinned(*mut u8);

impl Pinned {
    fn new(bytes: usize) -> Result<Self> {
        // SAFETY: a context is current.
        let start = unsafe { result::malloc_host(bytes, 0) }.context("cuMemHostAlloc")?;
        let start = start.cast::<u8>();
        // SAFETY: the allocation has as many bytes.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self(start))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated once, in `new`.
        let _ = unsafe { result::free_host(self.0.cast()) };
    }
}
