//! The settings of the fake; see the crate's first page.

use std::ffi::c_int;

use crate::code::Code;
use crate::settings::{number, setting, variable};

/// The file of settings, in the folder of the library.
pub(crate) const FILE: &str = "fake-cuda.env";

const MEMORY_BYTES: usize = 1 << 30;

/// The GPUs that this process sees, by their index in the machine.
pub(crate) fn visible_gpus() -> Vec<u32> {
    let count = number("FAKE_CUDA_GPUS").unwrap_or(2);
    let Some(chosen) = variable("CUDA_VISIBLE_DEVICES") else {
        return (0..count).collect();
    };
    // What stands behind a name that is no GPU does not count.
    let gpus = chosen.split(',').map(|name| gpu_named(name.trim(), count));
    gpus.map_while(|gpu| gpu).collect()
}

fn gpu_named(name: &str, count: u32) -> Option<u32> {
    let by_uuid = |gpu: &u32| name.starts_with("GPU-") && uuid(*gpu).starts_with(name);
    let index = name.parse().ok().filter(|index| *index < count);
    index.or_else(|| (0..count).find(by_uuid))
}

/// As the fake NVML writes it.
pub(crate) fn uuid(gpu: u32) -> String {
    let group = setting("FAKE_CUDA_UUID").unwrap_or_else(|| "fa4e".to_owned());
    format!("GPU-00000000-{group}-0000-0000-{gpu:012x}")
}

/// The version of CUDA that the driver speaks.
pub(crate) fn driver_version() -> c_int {
    number("FAKE_CUDA_DRIVER").unwrap_or(13_000)
}

/// The version that cuBLASLt says.
pub(crate) fn blas_version() -> usize {
    number("FAKE_CUDA_BLAS").unwrap_or(130_000)
}

/// The status that cuBLASLt answers every question for an algorithm with, if not an algorithm.
pub(crate) fn heuristic_status() -> Option<c_int> {
    number("FAKE_CUDA_HEURISTIC").filter(|status| *status != 0)
}

/// The code that a capture ends with, if not success.
pub(crate) fn capture_code() -> Option<Code> {
    number("FAKE_CUDA_CAPTURE")
        .filter(|code| *code != 0)
        .map(Code)
}

/// The compute capability, major and minor.
pub(crate) fn capability() -> (c_int, c_int) {
    let written = setting("FAKE_CUDA_CAPABILITY");
    let parts = written.as_deref().and_then(|text| text.split_once('.'));
    let parsed = parts.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parsed.unwrap_or((9, 0))
}

/// What `cuInit` returns, if not success.
pub(crate) fn init_code() -> Option<Code> {
    number("FAKE_CUDA_INIT").filter(|code| *code != 0).map(Code)
}

/// The memory of each GPU.
pub(crate) fn memory_bytes() -> usize {
    number("FAKE_CUDA_MEMORY_BYTES").unwrap_or(MEMORY_BYTES)
}

/// Larger allocations fail.
pub(crate) fn allocation_bytes_max() -> usize {
    number("FAKE_CUDA_ALLOCATION_BYTES_MAX").unwrap_or(usize::MAX)
}

/// Whether work waits until somebody waits for it.
pub(crate) fn is_lazy() -> bool {
    number("FAKE_CUDA_LAZY") == Some(1)
}

/// The code that this launch loses the context with.
pub(crate) fn fault(kernel: &str, launch: u64) -> Option<Code> {
    let is_named = setting("FAKE_CUDA_FAULT").is_some_and(|name| name == kernel);
    let is_counted = number("FAKE_CUDA_FAULT_LAUNCH") == Some(launch);
    let code = number("FAKE_CUDA_FAULT_CODE").map_or(Code::ILLEGAL_ADDRESS, Code);
    (is_named || is_counted).then_some(code)
}

/// Whether this kernel does not end.
pub(crate) fn hangs(kernel: &str) -> bool {
    setting("FAKE_CUDA_HANG").is_some_and(|name| name == kernel)
}

/// Whether confidential computing is on.
pub(crate) fn confidential_computing() -> bool {
    number("FAKE_CUDA_CC") == Some(1)
}

/// Whether programs as text are refused, as production does.
pub(crate) fn is_jit_disabled() -> bool {
    variable("CUDA_DISABLE_PTX_JIT").is_some_and(|value| value == "1")
}
