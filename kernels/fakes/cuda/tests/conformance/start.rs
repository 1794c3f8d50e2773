//! What a process sees before it computes: whether there is a driver, and which GPUs.

use cudarc::driver::CudaContext;
use cudarc::driver::result::{self, device};
use cudarc::driver::sys::CUresult::{
    self, CUDA_ERROR_INVALID_DEVICE, CUDA_ERROR_NO_DEVICE, CUDA_ERROR_NOT_INITIALIZED,
    CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, CUDA_ERROR_SYSTEM_NOT_READY,
};
use cudarc::driver::sys::{CUdevice_attribute, cuDriverGetVersion};

use crate::gpu::code;
use crate::{promised, simulated};

#[test]
fn nothing_works_before_initialisation_but_the_version() {
    promised(|| {
        assert_eq!(code(device::get_count()), CUDA_ERROR_NOT_INITIALIZED);
        let mut version = 0;
        // SAFETY: one number.
        unsafe { cuDriverGetVersion(&raw mut version) }
            .result()
            .unwrap();
        assert!(version >= 12_000, "{version}");
    });
}

#[test]
fn a_device_says_what_it_is() {
    promised(|| {
        let gpu = CudaContext::new(0).unwrap();
        assert!(!gpu.name().unwrap().is_empty());
        assert!(gpu.compute_capability().unwrap() >= (8, 0));
        let (free, total) = gpu.mem_get_info().unwrap();
        assert!(0 < free && free <= total && total <= gpu.total_mem().unwrap());
        let warp = gpu.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_WARP_SIZE);
        assert_eq!(warp.unwrap(), 32);
        let beyond = CudaContext::device_count().unwrap();
        assert_eq!(code(device::get(beyond)), CUDA_ERROR_INVALID_DEVICE);
    });
}

#[test]
fn errors_have_the_names_of_the_header() {
    promised(|| {
        let error = result::DriverError(CUDA_ERROR_SYSTEM_NOT_READY);
        let name = error.error_name().unwrap().to_str().unwrap();
        assert_eq!(name, "CUDA_ERROR_SYSTEM_NOT_READY");
        assert!(!error.error_string().unwrap().is_empty());
    });
}

fn initialisation_answers(expected: CUresult) {
    assert_eq!(code(result::init()), expected);
    assert_eq!(code(CudaContext::new(0)), expected);
}

#[test]
fn without_a_device_initialisation_fails() {
    promised(|| {
        // SAFETY: this process has one thread that reads its environment, and the driver has not been loaded.
        unsafe { std::env::set_var("CUDA_VISIBLE_DEVICES", "") };
        initialisation_answers(CUDA_ERROR_NO_DEVICE);
    });
}

#[test]
fn a_gpu_that_is_not_ready_fails_initialisation() {
    let reason = "it answers so only until confidential computing has set it ready";
    simulated(reason, &[("FAKE_CUDA_INIT", "802")], || {
        initialisation_answers(CUDA_ERROR_SYSTEM_NOT_READY);
        crate::set("FAKE_CUDA_INIT=0");
        assert!(CudaContext::new(0).is_ok());
    });
}

#[test]
fn a_driver_of_another_version_fails_initialisation() {
    let reason = "it answers so only beside a kernel module of another version";
    simulated(reason, &[("FAKE_CUDA_INIT", "803")], || {
        initialisation_answers(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
    });
}

#[test]
fn a_process_sees_the_gpus_that_it_may() {
    let reason = "it takes three GPUs of known UUIDs";
    let visible = "GPU-00000000-fa4e-0000-0000-000000000002,0,9,1";
    let settings = [("FAKE_CUDA_GPUS", "3"), ("CUDA_VISIBLE_DEVICES", visible)];
    simulated(reason, &settings, || {
        // What stands behind a name that is no GPU does not count.
        assert_eq!(CudaContext::device_count().unwrap(), 2);
        let last = |ordinal| CudaContext::new(ordinal).unwrap().uuid().unwrap().bytes[15];
        assert_eq!([last(0), last(1)], [2, 0]);
    });
}
