//! The device's things, each destroyed when it is dropped: context, streams, events, memory, pinned memory, the module's
//! kernels, graphs.
//!
//! Over cudarc's `result` layer. Its safe layer would not do: it does not wait for copies into pinned memory on every
//! stream, allocates pinned memory write-combined (which no CPU reads at speed), keeps errors of destructors for the next
//! unrelated call, and multiplies sizes unchecked. Here errors of destructors are dropped: what they leave behind ends with
//! the process.
#![expect(
    unsafe_code,
    reason = "functions of a C library; each block says why it may be called"
)]

use std::ffi::c_void;
use std::ptr::NonNull;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::classify::CudaError;

/// How often an event is asked before its thread goes to sleep for it: about as long as a small batch takes, since to be
/// woken costs more than that.
const EVENT_QUERIES_MAX: u32 = 200;

/// cuda.h: `CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING`. The thread sleeps while it waits, and no time is taken.
const EVENT_FLAGS: u32 = 1 | 2;

/// A result of cudarc with the call's name.
pub(super) fn named<T>(call: &'static str, result: Result<T, DriverError>) -> Result<T, CudaError> {
    result.map_err(|error| CudaError::Driver {
        call,
        code: error.0,
    })
}

/// The device's primary context, current on this thread. It outlives whatever else is made here: the executor drops it
/// last.
#[derive(Debug)]
pub(super) struct Device {
    device: sys::CUdevice,
    processors: u32,
}

impl Device {
    pub(super) fn open(device: sys::CUdevice) -> Result<Self, CudaError> {
        let attribute = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        // SAFETY: the device is one that `cuDeviceGet` gave.
        let processors = unsafe { result::device::get_attribute(device, attribute) };
        let processors = named("cuDeviceGetAttribute", processors)?;
        // SAFETY: as above; released once, in `drop`.
        let context = unsafe { result::primary_ctx::retain(device) };
        let context = named("cuDevicePrimaryCtxRetain", context)?;
        let opened = Self {
            device,
            processors: u32::try_from(processors).unwrap_or(1).max(1),
        };
        // SAFETY: the context was retained just now.
        named("cuCtxSetCurrent", unsafe {
            result::ctx::set_current(context)
        })?;
        Ok(opened)
    }

    /// Its streaming multiprocessors.
    pub(super) fn processors(&self) -> u32 {
        self.processors
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: retained once, in `open`.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// A part of the device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceRange {
    pub(super) address: u64,
    pub(super) bytes: usize,
}

impl DeviceRange {
    /// `bytes` of it, from `offset` on.
    pub(super) fn part(self, offset: usize, bytes: usize) -> Result<Self, CudaError> {
        let end = offset.checked_add(bytes).ok_or(CudaError::Bounds)?;
        let address = u64::try_from(offset)
            .ok()
            .and_then(|offset| self.address.checked_add(offset));
        match address {
            Some(address) if end <= self.bytes => Ok(Self { address, bytes }),
            _ => Err(CudaError::Bounds),
        }
    }
}

/// Memory of the device, all zero at first.
#[derive(Debug)]
pub(super) struct DeviceMemory(DeviceRange);

impl DeviceMemory {
    pub(super) fn new(bytes: usize) -> Result<Self, CudaError> {
        // SAFETY: a context is current; the memory is written just below.
        let address = unsafe { result::malloc_sync(bytes) };
        let address = named("cuMemAlloc", address)?;
        let memory = Self(DeviceRange { address, bytes });
        // What a process before this one left there is the driver's to clear; it is cleared here as well.
        // SAFETY: the range is the one just allocated, and waited for below, before anyone else knows of it.
        named("cuMemsetD8", unsafe {
            result::memset_d8_sync(address, 0, bytes)
        })?;
        named("cuCtxSynchronize", result::ctx::synchronize())?;
        Ok(memory)
    }

    pub(super) fn range(&self) -> DeviceRange {
        self.0
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // SAFETY: allocated once, in `new`; `cuMemFree` waits for what still uses it.
        let _ = unsafe { result::free_sync(self.0.address) };
    }
}

/// Memory of this process that the device copies from and to by itself.
#[derive(Debug)]
pub(super) struct PinnedMemory {
    bytes: NonNull<[u8]>,
}

impl PinnedMemory {
    /// Cached, not write-combined: the CPU reads outputs from it.
    pub(super) fn new(bytes: usize) -> Result<Self, CudaError> {
        // SAFETY: a context is current.
        let pointer = unsafe { result::malloc_host(bytes, 0) };
        let pointer = named("cuMemHostAlloc", pointer)?;
        let pointer = NonNull::new(pointer.cast::<u8>()).ok_or(CudaError::Bounds)?;
        // SAFETY: `bytes` bytes from here on are this allocation's; zeroed, so that every one of them has a value.
        unsafe { pointer.write_bytes(0, bytes) };
        Ok(Self {
            bytes: NonNull::slice_from_raw_parts(pointer, bytes),
        })
    }

    /// How much it is.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The callers promise that no copy out of the device is under way.
    pub(super) unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: allocated and zeroed in `new`; for the device see the promise above.
        unsafe { self.bytes.as_ref() }
    }

    /// The callers promise that no copy is under way, in or out.
    pub(super) unsafe fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { self.bytes.as_mut() }
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        // SAFETY: allocated once, in `new`.
        let _ = unsafe { result::free_host(self.bytes.as_ptr().cast::<c_void>()) };
    }
}

/// Marks a place in a stream.
#[derive(Debug)]
pub(super) struct Event(pub(super) sys::CUevent);

impl Event {
    pub(super) fn new() -> Result<Self, CudaError> {
        let mut event = std::ptr::null_mut();
        // SAFETY: the function writes one handle, which lives on this stack throughout the call.
        let code = unsafe { sys::cuEventCreate(&raw mut event, EVENT_FLAGS) };
        named("cuEventCreate", code.result())?;
        Ok(Self(event))
    }

    /// Waits until everything before the mark is done.
    pub(super) fn wait(&self) -> Result<(), CudaError> {
        for _ in 0..EVENT_QUERIES_MAX {
            // SAFETY: the event is destroyed in `drop` alone.
            match unsafe { result::event::query(self.0) } {
                Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_READY)) => std::hint::spin_loop(),
                other => return named("cuEventQuery", other),
            }
        }
        // SAFETY: as above.
        named("cuEventSynchronize", unsafe {
            result::event::synchronize(self.0)
        })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: created once, in `new`.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}
