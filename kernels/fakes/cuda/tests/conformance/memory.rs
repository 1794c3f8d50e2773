//! Device memory, page-locked memory and copies.

use std::ffi::c_void;

use cudarc::driver::result::{
    free_sync, malloc_sync, mem_get_info, memcpy_dtoh_sync, memcpy_htod_sync,
};
use cudarc::driver::sys::CUresult::{
    self, CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
    CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_NOT_SUPPORTED, CUDA_ERROR_OUT_OF_MEMORY, CUDA_SUCCESS,
};
use cudarc::driver::sys::{
    CUdevice_attribute, cuMemHostRegister_v2, cuMemHostUnregister, cuMemcpyHtoDAsync_v2,
};

use crate::gpu::{Gpu, address, code};
use crate::{promised, simulated};

/// So large that a driver makes no part of anything else of it.
const LARGE_BYTES: usize = 64 << 20;

fn allocate(bytes: usize) -> Result<u64, CUresult> {
    // SAFETY: an address is a number.
    unsafe { malloc_sync(bytes) }.map_err(|error| error.0)
}

fn free(address: u64) -> CUresult {
    // SAFETY: what the driver does with an address that is none is what is asked.
    code(unsafe { free_sync(address) })
}

fn copy_in(address: u64, bytes: &[u8]) -> CUresult {
    // SAFETY: as above.
    code(unsafe { memcpy_htod_sync(address, bytes) })
}

fn copy_out(bytes: &mut [u8], address: u64) -> CUresult {
    // SAFETY: as above.
    code(unsafe { memcpy_dtoh_sync(bytes, address) })
}

#[test]
fn what_was_copied_in_comes_out() {
    promised(|| {
        let gpu = Gpu::open();
        let given: Vec<u32> = (0..1000).collect();
        let first = gpu.stream.clone_htod(&given).unwrap();
        let mut second = gpu.stream.alloc_zeros::<u32>(1000).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&second).unwrap(), [0; 1000]);
        gpu.stream.memcpy_dtod(&first, &mut second).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&second).unwrap(), given);
        gpu.stream.memset_zeros(&mut second).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&second).unwrap(), [0; 1000]);
    });
}

#[test]
fn out_of_memory_is_an_error_like_any_other() {
    promised(|| {
        let gpu = Gpu::open();
        let (_, total) = mem_get_info().unwrap();
        assert_eq!(allocate(total + 1), Err(CUDA_ERROR_OUT_OF_MEMORY));
        assert_eq!(allocate(0), Err(CUDA_ERROR_INVALID_VALUE));
        gpu.stream.clone_htod(&[1_u8]).unwrap();
        gpu.context.synchronize().unwrap();
    });
}

#[test]
fn memory_is_counted() {
    promised(|| {
        let _gpu = Gpu::open();
        let (before, _) = mem_get_info().unwrap();
        let address = allocate(LARGE_BYTES).unwrap();
        let (during, _) = mem_get_info().unwrap();
        assert!(before - during >= LARGE_BYTES);
        assert_eq!(free(address), CUDA_SUCCESS);
        assert_eq!(mem_get_info().unwrap().0, before);
    });
}

#[test]
fn an_allocation_beyond_a_set_size_fails() {
    let reason = "other processes would have to hold the memory";
    let settings = [
        ("FAKE_CUDA_MEMORY_BYTES", "1000000"),
        ("FAKE_CUDA_ALLOCATION_BYTES_MAX", "500000"),
    ];
    simulated(reason, &settings, || {
        let _gpu = Gpu::open();
        assert_eq!(mem_get_info().unwrap(), (1_000_000, 1_000_000));
        assert_eq!(allocate(500_001), Err(CUDA_ERROR_OUT_OF_MEMORY));
        let first = allocate(500_000).unwrap();
        assert!(allocate(500_000).is_ok());
        assert_eq!(allocate(1), Err(CUDA_ERROR_OUT_OF_MEMORY));
        assert_eq!(free(first), CUDA_SUCCESS);
        assert!(allocate(1).is_ok());
    });
}

#[test]
fn what_is_not_allocated_is_no_argument() {
    promised(|| {
        let _gpu = Gpu::open();
        let address = allocate(LARGE_BYTES).unwrap();
        let mut bytes = vec![0; LARGE_BYTES + 1];
        assert_eq!(copy_in(address, &bytes[1..]), CUDA_SUCCESS);
        assert_eq!(copy_in(address, &bytes), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(copy_out(&mut bytes, address), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(copy_in(16, &[1]), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(free(address), CUDA_SUCCESS);
        assert_eq!(free(address), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(copy_in(address, &[1]), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(free(0), CUDA_SUCCESS);
    });
}

#[test]
fn new_memory_holds_nothing_of_use() {
    let reason = "what new memory holds is undefined";
    simulated(reason, &[], || {
        let gpu = Gpu::open();
        // SAFETY: any bits are a number.
        let fresh = unsafe { gpu.stream.alloc::<f32>(100) }.unwrap();
        let read = gpu.stream.clone_dtoh(&fresh).unwrap();
        assert!(read.iter().all(|element| element.is_nan()));
    });
}

#[test]
fn a_copy_from_pageable_memory_has_read_it_when_it_returns() {
    promised(|| {
        let gpu = Gpu::open();
        let device = gpu.stream.alloc_zeros::<u8>(4).unwrap();
        let mut given = [1_u8, 2, 3, 4];
        // SAFETY: four bytes here and there.
        let copied = unsafe {
            cuMemcpyHtoDAsync_v2(
                address(&device, &gpu.stream),
                given.as_ptr().cast(),
                given.len(),
                gpu.stream.cu_stream(),
            )
        };
        copied.result().unwrap();
        given.fill(0);
        assert_eq!(gpu.stream.clone_dtoh(&device).unwrap(), [1, 2, 3, 4]);
    });
}

#[test]
fn a_copy_of_page_locked_memory_runs_when_its_turn_comes() {
    let reason = "a real copy may be over before anybody looks";
    simulated(reason, &[("FAKE_CUDA_LAZY", "1")], || {
        let gpu = Gpu::open();
        let device = gpu.stream.clone_htod(&[7_u8; 64]).unwrap();
        // SAFETY: written before it is read.
        let mut pinned = unsafe { gpu.context.alloc_pinned::<u8>(64) }.unwrap();
        let shown = pinned.as_mut_slice().unwrap();
        shown.fill(1);
        let shown = shown.as_mut_ptr();
        // SAFETY: page-locked memory of this size; nothing else looks at it.
        let read = || unsafe { shown.read_volatile() };
        let to = std::ptr::from_ref(&device);
        // SAFETY: the slice lives on.
        let from = address(unsafe { &*to }, &gpu.stream);
        // SAFETY: 64 bytes here and there.
        let copied = unsafe {
            cudarc::driver::sys::cuMemcpyDtoHAsync_v2(
                shown.cast(),
                from,
                64,
                gpu.stream.cu_stream(),
            )
        };
        copied.result().unwrap();
        assert_eq!(read(), 1);
        gpu.stream.synchronize().unwrap();
        assert_eq!(read(), 7);
    });
}

fn register(bytes: &mut [u8]) -> CUresult {
    let address: *mut c_void = bytes.as_mut_ptr().cast();
    // SAFETY: the memory lives until it is unregistered.
    unsafe { cuMemHostRegister_v2(address, bytes.len(), 0) }
}

fn unregister(bytes: &mut [u8]) -> CUresult {
    // SAFETY: an address, registered or not.
    unsafe { cuMemHostUnregister(bytes.as_mut_ptr().cast()) }
}

#[test]
fn host_memory_is_registered_once() {
    promised(|| {
        let gpu = Gpu::open();
        let supported = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED;
        if gpu.context.attribute(supported).unwrap() == 0 {
            println!("SKIPPED: confidential computing registers no host memory");
            return;
        }
        let mut memory = vec![0_u8; 1 << 20];
        assert_eq!(register(&mut memory), CUDA_SUCCESS);
        assert_eq!(
            register(&mut memory),
            CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED
        );
        assert_eq!(unregister(&mut memory), CUDA_SUCCESS);
        assert_eq!(
            unregister(&mut memory),
            CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED
        );
    });
}

#[test]
fn confidential_computing_registers_no_host_memory() {
    let reason = "it takes a GPU in that mode";
    simulated(reason, &[("FAKE_CUDA_CC", "1")], || {
        let gpu = Gpu::open();
        let supported = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED;
        assert_eq!(gpu.context.attribute(supported).unwrap(), 0);
        assert_eq!(register(&mut [0; 4096]), CUDA_ERROR_NOT_SUPPORTED);
        // SAFETY: it is not read.
        assert!(unsafe { gpu.context.alloc_pinned::<u8>(4096) }.is_ok());
    });
}

#[test]
fn gpus_share_no_memory() {
    simulated("it takes two GPUs", &[("FAKE_CUDA_GPUS", "2")], || {
        let first = Gpu::open();
        let second = cudarc::driver::CudaContext::new(1).unwrap();
        let before = second.mem_get_info().unwrap();
        first.context.bind_to_thread().unwrap();
        allocate(LARGE_BYTES).unwrap();
        assert_eq!(second.mem_get_info().unwrap(), before);
        assert!(first.context.mem_get_info().unwrap() < before);
    });
}
