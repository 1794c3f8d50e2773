//! The settings of the fake; see the crate's first page.

use std::ffi::c_int;
use std::path::PathBuf;

use crate::settings::{number, own_folder, setting};

/// The file of settings, in the folder of the library.
pub(crate) const FILE: &str = "fake-nvml.env";
/// The file of the ready state, beside it.
const READY_FILE: &str = "fake-nvml.ready";

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
    let names = setting("FAKE_NVML_NOT_SUPPORTED").unwrap_or_default();
    names.split(',').any(|name| name.trim() == function)
}

/// The GPU that fell off the bus.
pub(crate) fn lost_gpu() -> Option<u32> {
    number("FAKE_NVML_LOST_GPU")
}

/// What stands before the index in every UUID.
pub(crate) fn uuid_group() -> String {
    setting("FAKE_NVML_UUID").unwrap_or_else(|| "fa4e".to_owned())
}

/// What the driver says of itself.
pub(crate) fn driver_version() -> String {
    setting("FAKE_NVML_DRIVER").unwrap_or_else(|| "580.95.05".to_owned())
}

/// 1 where confidential computing is on.
pub(crate) fn confidential_computing() -> u32 {
    number("FAKE_NVML_CC").unwrap_or(1)
}

/// `NVML_CC_SYSTEM_ENVIRONMENT_…`; production where nothing else is said.
pub(crate) fn environment() -> u32 {
    number("FAKE_NVML_ENVIRONMENT").unwrap_or(2)
}

/// What reading the settings of confidential computing answers.
pub(crate) fn settings_code() -> i32 {
    number("FAKE_NVML_SETTINGS").unwrap_or(0)
}

/// 1 where the GPU is in developer mode.
pub(crate) fn developer_mode() -> u32 {
    number("FAKE_NVML_DEV_TOOLS").unwrap_or(0)
}

/// `NVML_CC_SYSTEM_MULTIGPU_…`.
pub(crate) fn multi_gpu_mode() -> u32 {
    number("FAKE_NVML_MULTI_GPU").unwrap_or(0)
}

/// Whether the GPUs accept work: as it was set last, else as they were at first.
pub(crate) fn ready() -> u32 {
    let set = own_folder().and_then(|folder| std::fs::read_to_string(folder.join(READY_FILE)).ok());
    let set = set.and_then(|text| text.parse().ok());
    set.or_else(|| number("FAKE_NVML_READY")).unwrap_or(0)
}

/// Keeps the state outside the library, since a driver's outlives whoever asks it. Nothing where there is no place for it.
pub(crate) fn set_ready(ready: u32) -> Option<()> {
    std::fs::write(own_folder()?.join(READY_FILE), ready.to_string()).ok()
}

/// What setting the ready state returns.
pub(crate) fn set_ready_code() -> c_int {
    number("FAKE_NVML_SET_READY").unwrap_or(0)
}

/// The socket of whoever makes reports.
pub(crate) fn attester() -> Option<PathBuf> {
    setting("FAKE_NVML_ATTESTER").map(PathBuf::from)
}

/// The length that a report is said to have, whatever it has.
pub(crate) fn report_bytes() -> Option<u32> {
    number("FAKE_NVML_REPORT_BYTES")
}

/// The length that a certificate chain is said to have, whatever it has.
pub(crate) fn chain_bytes() -> Option<u32> {
    number("FAKE_NVML_CHAIN_BYTES")
}

/// How long a report takes.
pub(crate) fn report_ms() -> u64 {
    number("FAKE_NVML_REPORT_MS").unwrap_or(0)
}
