//! The calls about memory: allocation, page-locking, copies and fills.
#![expect(unsafe_code, reason = "exported symbols, and host memory of a caller")]

use std::ffi::{c_int, c_uchar, c_uint};
use std::ptr::with_exposed_provenance;
use std::sync::Arc;

use crate::code::{Code, SUCCESS};
use crate::config;
use crate::driver::{Driver, Handle, Progress, call, exports, get, wait};
use crate::memory::{copy, fill};
use crate::queue::{LARGEST_TICKET, Mark};

/// An address of device memory, `CUdeviceptr`.
type Address = usize;

/// The legacy default stream, which copies without a stream take.
const DEFAULT_STREAM: Handle = 0;

exports! {
    fn cuMemGetInfo_v2(free: Option<&mut usize>, total: Option<&mut usize>) {
        get(total, |driver| {
            let context = driver.current()?;
            *free.ok_or(Code::INVALID_VALUE)? = driver.memory.free_bytes(context);
            Ok(config::memory_bytes())
        })
    }
    fn cuMemAlloc_v2(address: Option<&mut u64>, bytes: usize) {
        get(address, |driver| {
            let context = driver.current()?;
            driver.memory.allocate(context, bytes)
        })
    }
    fn cuMemAllocAsync(address: Option<&mut u64>, bytes: usize, stream: Handle) {
        get(address, |driver| {
            driver.settled(stream)?;
            let context = driver.current()?;
            let first = driver.memory.allocate(context, bytes);
            if first == Err(Code::OUT_OF_MEMORY) {
                // A pool waits for what streams are about to free.
                driver.advance_context(context, LARGEST_TICKET);
                return driver.memory.allocate(context, bytes);
            }
            first
        })
    }
    fn cuMemFree_v2(address: Address) {
        if address == 0 {
            return SUCCESS;
        }
        let given_up = call(|driver| driver.memory.give_up(address));
        if given_up != SUCCESS {
            return given_up;
        }
        wait(|driver| {
            let context = driver.current()?;
            let progress = driver.advance_context(context, LARGEST_TICKET);
            if progress == Progress::Done {
                driver.memory.free(address);
            }
            Ok(progress)
        })
    }
    fn cuMemFreeAsync(address: Address, stream: Handle) {
        call(|driver| {
            driver.memory.give_up(address)?;
            let free = move |memory: &mut crate::memory::Memory| {
                memory.free(address);
                Ok(())
            };
            driver.enqueue_action(stream, free).map(|_| ())
        })
    }
    fn cuMemHostAlloc(address: Option<&mut usize>, bytes: usize, _: c_uint) {
        get(address, |driver| {
            driver.current()?;
            driver.memory.allocate_host(bytes)
        })
    }
    fn cuMemFreeHost(address: usize) { call(|driver| driver.memory.free_host(address)) }
    fn cuMemHostRegister_v2(address: usize, bytes: usize, _: c_uint) {
        call(|driver| {
            driver.current()?;
            if config::confidential_computing() {
                return Err(Code::NOT_SUPPORTED);
            }
            driver.memory.register(address, bytes)
        })
    }
    fn cuMemHostUnregister(address: usize) { call(|driver| driver.memory.unregister(address)) }
    fn cuMemcpyHtoDAsync_v2(to: Address, from: usize, bytes: usize, stream: Handle) {
        call(|driver| driver.copy_to_device(to, from, bytes, stream).map(|_| ()))
    }
    fn cuMemcpyHtoD_v2(to: Address, from: usize, bytes: usize) {
        finish(|driver| driver.copy_to_device(to, from, bytes, DEFAULT_STREAM))
    }
    fn cuMemcpyDtoHAsync_v2(to: usize, from: Address, bytes: usize, stream: Handle) {
        finish(|driver| {
            let mark = driver.copy_to_host(to, from, bytes, stream)?;
            // "From device memory to pageable host memory, the function will return only once the copy has completed."
            Ok(mark.filter(|_| !driver.memory.is_pinned(to, bytes)))
        })
    }
    fn cuMemcpyDtoH_v2(to: usize, from: Address, bytes: usize) {
        finish(|driver| driver.copy_to_host(to, from, bytes, DEFAULT_STREAM))
    }
    fn cuMemcpyDtoDAsync_v2(to: Address, from: Address, bytes: usize, stream: Handle) {
        call(|driver| {
            driver.memory.names(to, bytes)?;
            driver.memory.names(from, bytes)?;
            let run = move |memory: &mut crate::memory::Memory| {
                memory.holds(to, bytes)?;
                memory.holds(from, bytes)?;
                copy(to, from, bytes);
                Ok(())
            };
            driver.enqueue_action(stream, run).map(|_| ())
        })
    }
    fn cuMemsetD8Async(to: Address, value: c_uchar, bytes: usize, stream: Handle) {
        call(|driver| {
            driver.memory.names(to, bytes)?;
            let run = move |memory: &mut crate::memory::Memory| {
                memory.holds(to, bytes)?;
                fill(to, value, bytes);
                Ok(())
            };
            driver.enqueue_action(stream, run).map(|_| ())
        })
    }
    fn cuMemsetD8_v2(to: Address, value: c_uchar, bytes: usize) {
        cuMemsetD8Async(to, value, bytes, DEFAULT_STREAM)
    }
}

/// Enqueues, then waits for the mark, if there is one.
fn finish(enqueue: impl FnOnce(&mut Driver) -> Result<Option<Mark>, Code>) -> c_int {
    let mut mark = None;
    let enqueued = call(|driver| {
        mark = enqueue(driver)?;
        Ok(())
    });
    match mark {
        Some(mark) if enqueued == SUCCESS => {
            wait(|driver| Ok(driver.advance(mark.stream, mark.ticket)))
        }
        _ => enqueued,
    }
}

impl Driver {
    /// Pageable memory is the caller's again when the call returns, so it is copied aside; pinned memory is read when the
    /// copy runs.
    fn copy_to_device(
        &mut self,
        to: Address,
        from: usize,
        bytes: usize,
        stream: Handle,
    ) -> Result<Option<Mark>, Code> {
        self.memory.names(to, bytes)?;
        let stream = self.stream(stream)?;
        let is_captured = self.queue(stream)?.capture.is_some();
        let staged = (!is_captured && !self.memory.is_pinned(from, bytes)).then(|| {
            // SAFETY: the caller of the copy points to this many bytes.
            let bytes =
                unsafe { std::slice::from_raw_parts(with_exposed_provenance::<u8>(from), bytes) };
            Arc::<[u8]>::from(bytes)
        });
        self.enqueue_action(stream, move |memory| {
            memory.holds(to, bytes)?;
            let from = staged
                .as_ref()
                .map_or(from, |staged| staged.as_ptr().expose_provenance());
            copy(to, from, bytes);
            Ok(())
        })
    }

    fn copy_to_host(
        &mut self,
        to: usize,
        from: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<Option<Mark>, Code> {
        self.memory.names(from, bytes)?;
        self.enqueue_action(stream, move |memory| {
            memory.holds(from, bytes)?;
            copy(to, from, bytes);
            Ok(())
        })
    }
}
