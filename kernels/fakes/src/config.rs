//! The environment variables of the fake; see the crate's first page.

use std::ffi::c_int;

/// How many GPUs there are.
pub(crate) fn gpu_count() -> u32 {
    number("FAKE_NVML_GPUS").unwrap_or(2)
}

/// What `nvmlInit_v2` returns.
pub(crate) fn init_code() -> c_int {
    number("FAKE_NVML_INIT").unwrap_or(0)
}

/// Whether this function is to answer "not supported".
pub(crate) fn is_unsupported(function: &str) -> bool {
    let names = variable("FAKE_NVML_NOT_SUPPORTED").unwrap_or_default();
    names.split(',').any(|name| name.trim() == function)
}

/// The GPU that fell off the bus.
pub(crate) fn lost_gpu() -> Option<u32> {
    number("FAKE_NVML_LOST_GPU")
}

/// 1 where confidential computing is on.
pub(crate) fn confidential_computing() -> u32 {
    number("FAKE_NVML_CC").unwrap_or(1)
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    variable(name)?.parse().ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a library loaded by path has no other configuration"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
