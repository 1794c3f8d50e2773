//! The functions about one GPU. Names and signatures are those of nvml.h; a reference that may be null is a pointer to
//! NVML. Values differ from GPU to GPU and never change.
#![expect(unsafe_code, reason = "exported symbols, and two buffers of text")]

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use crate::config;
use crate::{code, text};

/// `nvmlDevice_t`, an opaque pointer that is never followed: the GPU's index and one, since null is no GPU.
pub(crate) type Device = usize;

const MEBIBYTE: c_ulonglong = 1 << 20;
const MEMORY_TOTAL: c_ulonglong = 81_559 * MEBIBYTE;
const MEMORY_RESERVED: c_ulonglong = 559 * MEBIBYTE;

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: Option<&mut Device>) -> c_int {
    let handle = usize::try_from(index).ok().and_then(|i| i.checked_add(1));
    match (device, handle) {
        (Some(device), Some(handle)) if index < config::gpu_count() => {
            *device = handle;
            code::SUCCESS
        }
        _ => code::INVALID_ARGUMENT,
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetIndex(device: Device, index: Option<&mut c_uint>) -> c_int {
    answer("nvmlDeviceGetIndex", device, index, |gpu| gpu)
}

/// # Safety
///
/// `name` is null or valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetName(device: Device, name: *mut c_char, length: c_uint) -> c_int {
    match gpu("nvmlDeviceGetName", device) {
        // SAFETY: passed on from the caller.
        Ok(_) => unsafe { text::put(name, length, "Fake H100 80GB") },
        Err(code) => code,
    }
}

/// # Safety
///
/// `uuid` is null or valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUUID(device: Device, uuid: *mut c_char, length: c_uint) -> c_int {
    match gpu("nvmlDeviceGetUUID", device) {
        Ok(gpu) => {
            let known = format!("GPU-00000000-{}-0000-0000-{gpu:012x}", config::uuid_group());
            // SAFETY: passed on from the caller.
            unsafe { text::put(uuid, length, &known) }
        }
        Err(code) => code,
    }
}

/// `nvmlUtilization_t`, in percent.
#[repr(C)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetUtilizationRates(
    device: Device,
    rates: Option<&mut Utilization>,
) -> c_int {
    answer("nvmlDeviceGetUtilizationRates", device, rates, |gpu| {
        Utilization {
            gpu: (37 + gpu) % 101,
            memory: (12 + gpu) % 101,
        }
    })
}

/// `nvmlMemory_v2_t`, in bytes.
#[repr(C)]
struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// `NVML_STRUCT_VERSION(Memory, 2)`.
const MEMORY_VERSION: c_uint = 40 + (2 << 24);

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Device, memory: Option<&mut Memory>) -> c_int {
    if memory
        .as_ref()
        .is_some_and(|memory| memory.version != MEMORY_VERSION)
    {
        return code::ARGUMENT_VERSION_MISMATCH;
    }
    answer("nvmlDeviceGetMemoryInfo_v2", device, memory, |gpu| {
        let used = (2_048 + c_ulonglong::from(gpu % 16)) * MEBIBYTE;
        Memory {
            version: MEMORY_VERSION,
            total: MEMORY_TOTAL,
            reserved: MEMORY_RESERVED,
            free: MEMORY_TOTAL - MEMORY_RESERVED - used,
            used,
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetTemperature(
    device: Device,
    _sensor: c_uint,
    celsius: Option<&mut c_uint>,
) -> c_int {
    answer("nvmlDeviceGetTemperature", device, celsius, |gpu| {
        41 + gpu % 16
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetPowerUsage(device: Device, milliwatts: Option<&mut c_uint>) -> c_int {
    answer("nvmlDeviceGetPowerUsage", device, milliwatts, |gpu| {
        310_000 + gpu % 16
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetClockInfo(
    device: Device,
    _domain: c_uint,
    megahertz: Option<&mut c_uint>,
) -> c_int {
    answer("nvmlDeviceGetClockInfo", device, megahertz, |gpu| {
        1_755 + gpu % 16
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetTotalEnergyConsumption(
    device: Device,
    millijoules: Option<&mut c_ulonglong>,
) -> c_int {
    answer(
        "nvmlDeviceGetTotalEnergyConsumption",
        device,
        millijoules,
        |gpu| 123_456_789 + c_ulonglong::from(gpu),
    )
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetTotalEccErrors(
    device: Device,
    _error: c_uint,
    _counter: c_uint,
    count: Option<&mut c_ulonglong>,
) -> c_int {
    answer("nvmlDeviceGetTotalEccErrors", device, count, |_| 0)
}

/// Fills `out` with what `value` says of the GPU's index.
fn answer<T>(
    function: &str,
    device: Device,
    out: Option<&mut T>,
    value: impl FnOnce(u32) -> T,
) -> c_int {
    fill(function, device, out, |gpu, out| {
        *out = value(gpu);
        code::SUCCESS
    })
}

/// Has `filler` write to `out` for the GPU's index.
pub(crate) fn fill<T>(
    function: &str,
    device: Device,
    out: Option<&mut T>,
    filler: impl FnOnce(u32, &mut T) -> c_int,
) -> c_int {
    match (gpu(function, device), out) {
        (Ok(gpu), Some(out)) => filler(gpu, out),
        (Ok(_), None) => code::INVALID_ARGUMENT,
        (Err(code), _) => code,
    }
}

/// The GPU's index, or the code to answer instead.
fn gpu(function: &str, device: Device) -> Result<u32, c_int> {
    let index = device
        .checked_sub(1)
        .and_then(|index| u32::try_from(index).ok());
    match index.filter(|index| *index < config::gpu_count()) {
        None => Err(code::INVALID_ARGUMENT),
        Some(index) if config::lost_gpu() == Some(index) => Err(code::GPU_IS_LOST),
        Some(_) if config::is_unsupported(function) => Err(code::NOT_SUPPORTED),
        Some(index) => Ok(index),
    }
}
