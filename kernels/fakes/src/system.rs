//! The functions that concern no single GPU. Names and signatures are those of nvml.h; a reference that may be null is a
//! pointer to NVML.
#![expect(unsafe_code, reason = "exported symbols, and one buffer of text")]

use std::ffi::{c_char, c_int, c_uint};

use crate::config;
use crate::{code, text};

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> c_int {
    config::init_code()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> c_int {
    code::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(_: c_int) -> *const c_char {
    c"an error of the fake NVML".as_ptr()
}

/// # Safety
///
/// `version` is null or valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { text::put(version, length, &config::driver_version()) }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: Option<&mut c_int>) -> c_int {
    answer("nvmlSystemGetCudaDriverVersion_v2", version, 13_000)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetCount_v2(count: Option<&mut c_uint>) -> c_int {
    answer("nvmlDeviceGetCount_v2", count, config::gpu_count())
}

/// Fills `out` with this value.
pub(crate) fn answer<T>(function: &str, out: Option<&mut T>, value: T) -> c_int {
    match out {
        None => code::INVALID_ARGUMENT,
        Some(_) if config::is_unsupported(function) => code::NOT_SUPPORTED,
        Some(out) => {
            *out = value;
            code::SUCCESS
        }
    }
}
