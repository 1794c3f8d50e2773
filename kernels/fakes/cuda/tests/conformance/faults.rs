//! What a process cannot survive.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use cudarc::driver::CudaContext;
use cudarc::driver::sys::CUresult::{
    self, CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_KEY_ROTATION, CUDA_ERROR_LAUNCH_FAILED,
    CUDA_ERROR_LAUNCH_TIMEOUT, CUDA_SUCCESS,
};

use crate::gpu::{Gpu, address, code};
use crate::{promised, set, simulated};

/// Launches until one fails at its synchronisation; says which, and holds all that comes after to the same error.
fn first_fault(gpu: &Gpu, expected: CUresult) -> usize {
    let ones = gpu.stream.clone_htod(&[1.0_f32; 64]).unwrap();
    let x = address(&ones, &gpu.stream);
    for launch in 1..10 {
        let launched = code(gpu.saxpy(&gpu.stream, [x, x, x], 64));
        let synchronised = code(gpu.stream.synchronize());
        if synchronised == CUDA_SUCCESS {
            assert_eq!(launched, CUDA_SUCCESS);
            continue;
        }
        assert_eq!(synchronised, expected);
        is_lost(gpu, expected);
        return launch;
    }
    panic!("no launch failed");
}

/// No call succeeds any more, not even for a new context.
fn is_lost(gpu: &Gpu, expected: CUresult) {
    assert_eq!(code(gpu.stream.synchronize()), expected);
    assert_eq!(code(gpu.stream.clone_htod(&[1_u8])), expected);
    assert_eq!(code(gpu.context.new_stream()), expected);
    assert_eq!(code(gpu.kernel("saxpy")), expected);
}

#[test]
fn an_illegal_address_loses_the_context() {
    promised(|| {
        let gpu = Gpu::open();
        // No allocation lies in the first page.
        gpu.saxpy(&gpu.stream, [16, 16, 16], 64).unwrap();
        assert_eq!(code(gpu.stream.synchronize()), CUDA_ERROR_ILLEGAL_ADDRESS);
        is_lost(&gpu, CUDA_ERROR_ILLEGAL_ADDRESS);
    });
}

#[test]
fn a_kernel_that_leaves_its_array_loses_the_context() {
    simulated("what lies behind an array may be mapped", &[], || {
        let gpu = Gpu::open();
        let ones = gpu.stream.clone_htod(&[1.0_f32; 1024]).unwrap();
        let x = address(&ones, &gpu.stream);
        gpu.saxpy(&gpu.stream, [x, x, x], 1024).unwrap();
        gpu.stream.synchronize().unwrap();
        gpu.saxpy(&gpu.stream, [x, x, x], 1028).unwrap();
        is_lost(&gpu, CUDA_ERROR_ILLEGAL_ADDRESS);
    });
}

#[test]
fn a_kernel_that_uses_freed_memory_loses_the_context() {
    simulated("what was freed may be mapped still", &[], || {
        let gpu = Gpu::open();
        let ones = gpu.stream.clone_htod(&[1.0_f32; 64]).unwrap();
        let x = address(&ones, &gpu.stream);
        drop(ones);
        gpu.stream.synchronize().unwrap();
        gpu.saxpy(&gpu.stream, [x, x, x], 64).unwrap();
        is_lost(&gpu, CUDA_ERROR_ILLEGAL_ADDRESS);
    });
}

const NO_FAULT: &str = "the kernels that ship do not fault when told to";

#[test]
fn a_fault_by_name() {
    simulated(NO_FAULT, &[("FAKE_CUDA_FAULT", "saxpy")], || {
        let gpu = Gpu::open();
        assert_eq!(first_fault(&gpu, CUDA_ERROR_ILLEGAL_ADDRESS), 1);
    });
}

#[test]
fn a_fault_after_some_launches() {
    let settings = [("FAKE_CUDA_FAULT_LAUNCH", "3"), ("FAKE_CUDA_LAZY", "1")];
    simulated(NO_FAULT, &settings, || {
        let gpu = Gpu::open();
        assert_eq!(first_fault(&gpu, CUDA_ERROR_ILLEGAL_ADDRESS), 3);
    });
}

#[test]
fn a_fault_of_any_kind() {
    let settings = [
        ("FAKE_CUDA_FAULT", "saxpy"),
        ("FAKE_CUDA_FAULT_CODE", "719"),
    ];
    simulated(NO_FAULT, &settings, || {
        first_fault(&Gpu::open(), CUDA_ERROR_LAUNCH_FAILED);
    });
}

#[test]
fn a_launch_that_timed_out() {
    let reason = "only a GPU with a display stops a kernel that takes long";
    let settings = [
        ("FAKE_CUDA_FAULT", "saxpy"),
        ("FAKE_CUDA_FAULT_CODE", "702"),
    ];
    simulated(reason, &settings, || {
        first_fault(&Gpu::open(), CUDA_ERROR_LAUNCH_TIMEOUT);
    });
}

#[test]
fn a_key_rotation_that_failed() {
    let reason = "it takes a GPU under confidential computing, and some hours";
    let settings = [
        ("FAKE_CUDA_FAULT", "saxpy"),
        ("FAKE_CUDA_FAULT_CODE", "916"),
    ];
    simulated(reason, &settings, || {
        first_fault(&Gpu::open(), CUDA_ERROR_KEY_ROTATION);
    });
}

#[test]
fn a_kernel_that_hangs_is_waited_for() {
    simulated("no kernel that ships hangs", &[], || {
        let gpu = Gpu::open();
        let ones = gpu.stream.clone_htod(&[1.0_f32; 64]).unwrap();
        let x = address(&ones, &gpu.stream);
        set("FAKE_CUDA_HANG=saxpy");
        gpu.saxpy(&gpu.stream, [x, x, x], 64).unwrap();
        let event = gpu.stream.record_event(None).unwrap();
        assert!(!event.try_is_complete().unwrap());
        let (sender, receiver) = channel();
        let context = gpu.context.clone();
        let waiter = std::thread::spawn(move || sender.send(context.synchronize()));
        let wait = Duration::from_millis(100);
        assert_eq!(receiver.recv_timeout(wait), Err(RecvTimeoutError::Timeout));
        // Others go on meanwhile.
        let second = gpu.context.new_stream().unwrap();
        second.clone_htod(&[1_u8; 64]).unwrap();
        second.synchronize().unwrap();
        assert!(!event.try_is_complete().unwrap());
        set("");
        assert_eq!(receiver.recv().unwrap(), Ok(()));
        waiter.join().unwrap().unwrap();
        assert!(event.try_is_complete().unwrap());
    });
}

#[test]
fn a_fault_is_of_one_process() {
    simulated(NO_FAULT, &[], || {
        set("FAKE_CUDA_FAULT=saxpy");
        first_fault(&Gpu::open(), CUDA_ERROR_ILLEGAL_ADDRESS);
        set("");
        // Even a new context of this process is lost.
        assert_eq!(code(CudaContext::new(0)), CUDA_ERROR_ILLEGAL_ADDRESS);
    });
}
