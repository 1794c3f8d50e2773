//! TEST-ONLY stand-in for NVIDIA's `libnvidia-ml.so.1`: it makes up GPUs. Never shipped, and linked by nothing.
//!
//! `cargo build -p fakes` gives `target/debug/libnvidia_ml.so`; a test loads it by path
//! (`Nvml::builder().lib_path(…)`). It answers the part of NVML that the agent reads, with steady plausible values, so
//! that the unmodified telemetry code runs where there is no GPU. Any other function is absent, as in an older driver.
//!
//! | setting | meaning | default |
//! |---|---|---|
//! | `FAKE_NVML_GPUS` | how many GPUs there are | 2 |
//! | `FAKE_NVML_UUID` | four digits that stand in every UUID | fa4e |
//! | `FAKE_NVML_DRIVER` | the driver's version | 580.95.05 |
//! | `FAKE_NVML_INIT` | the NVML return code of `nvmlInit_v2`, e.g. 9: driver not loaded | 0 |
//! | `FAKE_NVML_NOT_SUPPORTED` | functions that answer `NVML_ERROR_NOT_SUPPORTED` (3), separated by commas, as MIG and vGPU guests do | none |
//! | `FAKE_NVML_LOST_GPU` | index of a GPU that answers `NVML_ERROR_GPU_IS_LOST` (15) to everything about it | none |
//! | `FAKE_NVML_CC` | whether confidential computing is on, 0 or 1 | 1 |
//! | `FAKE_NVML_ENVIRONMENT` | the environment of confidential computing, e.g. 1: simulation | 2 |
//! | `FAKE_NVML_SETTINGS` | the NVML return code of `nvmlSystemGetConfComputeSettings`, e.g. 999: unknown error | 0 |
//! | `FAKE_NVML_DEV_TOOLS` | whether developer mode is on, 0 or 1 | 0 |
//! | `FAKE_NVML_MULTI_GPU` | the multi-GPU mode, e.g. 1: protected `PCIe` | 0 |
//! | `FAKE_NVML_READY` | whether the GPUs accept work before anybody said so, 0 or 1 | 0 |
//! | `FAKE_NVML_SET_READY` | the NVML return code of setting the ready state, e.g. 4: no permission | 0 |
//! | `FAKE_NVML_ATTESTER` | socket of whoever makes reports and certificate chains (the module `attester`); without one they are an unknown error (999) | none |
//! | `FAKE_NVML_REPORT_BYTES` | the length that a report is said to have | the true one |
//! | `FAKE_NVML_CHAIN_BYTES` | the length that a certificate chain is said to have | the true one |
//! | `FAKE_NVML_REPORT_MS` | how long a report takes, in milliseconds | 0 |
//!
//! Each is a line `NAME=value` of the file `fake-nvml.env` in the library's folder (the last one counts), or an environment
//! variable. The ready state, once it was set, is kept beside it. They are read at every call, so one process can see a GPU go; and a test that copies the library into a folder of its own has a
//! fake of its own.

mod attester;
mod confidential;
mod config;
mod device;
mod settings;
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
    pub(crate) const UNKNOWN: c_int = 999;
}
