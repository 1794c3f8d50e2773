//! TEST-ONLY stand-in for NVIDIA's `libnvidia-ml.so.1`: it makes up GPUs. Never shipped, and linked by nothing.
//!
//! `cargo build -p fakes` gives `target/debug/libnvidia_ml.so`; a test loads it by path
//! (`Nvml::builder().lib_path(…)`). It answers the part of NVML that the agent reads, with steady plausible values, so
//! that the unmodified telemetry code runs where there is no GPU. Any other function is absent, as in an older driver.
//!
//! | environment variable | meaning | default |
//! |---|---|---|
//! | `FAKE_NVML_GPUS` | how many GPUs there are | 2 |
//! | `FAKE_NVML_INIT` | the NVML return code of `nvmlInit_v2`, e.g. 9: driver not loaded | 0 |
//! | `FAKE_NVML_NOT_SUPPORTED` | functions that answer `NVML_ERROR_NOT_SUPPORTED` (3), separated by commas, as MIG and vGPU guests do | none |
//! | `FAKE_NVML_LOST_GPU` | index of a GPU that answers `NVML_ERROR_GPU_IS_LOST` (15) to everything about it | none |
//! | `FAKE_NVML_CC` | whether confidential computing is on, 0 or 1 | 1 |
//!
//! They are read at every call, so one process can see a GPU go.

mod config;
mod device;
mod system;
mod text;

/// `nvmlReturn_t`: the codes of nvml.h that are answered here.
pub(crate) mod code {
    use std::ffi::c_int;

    pub(crate) const SUCCESS: c_int = 0;
    pub(crate) const INVALID_ARGUMENT: c_int = 2;
    pub(crate) const NOT_SUPPORTED: c_int = 3;
    pub(crate) const INSUFFICIENT_SIZE: c_int = 7;
    pub(crate) const GPU_IS_LOST: c_int = 15;
    pub(crate) const ARGUMENT_VERSION_MISMATCH: c_int = 25;
}
