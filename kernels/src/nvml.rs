//! The calls of NVML about confidential computing, with the lengths that the driver gives held against the buffers.
//!
//! nvml-wrapper has these calls too, but slices its buffers by whatever length the driver wrote, and a driver in trouble
//! would end the agent. Here a length beyond the buffer is an error. Everything else the agent reads through nvml-wrapper.
#![expect(
    unsafe_code,
    reason = "functions of a C library, each called with a buffer of the size that nvml.h gives"
)]

use std::ffi::c_uint;

use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{
    nvmlConfComputeGpuAttestationReport_t, nvmlConfComputeGpuCertificate_t,
    nvmlSystemConfComputeSettings_t,
};

/// `NVML_CC_GPU_CEC_NONCE_SIZE`.
pub const NONCE_BYTES: usize = 32;
/// `NVML_CC_GPU_ATTESTATION_REPORT_SIZE`.
const REPORT_BYTES_MAX: usize = 8_192;
/// `NVML_CC_GPU_CEC_ATTESTATION_REPORT_SIZE`.
const CEC_REPORT_BYTES_MAX: usize = 4_096;
/// `NVML_GPU_CERT_CHAIN_SIZE`.
const CHAIN_BYTES_MAX: usize = 4_096;
/// `NVML_GPU_ATTESTATION_CERT_CHAIN_SIZE`.
const ATTESTATION_CHAIN_BYTES_MAX: usize = 5_120;
/// `NVML_STRUCT_VERSION(SystemConfComputeSettings, 1)`: the size, and the version in the highest byte.
const SETTINGS_VERSION: c_uint = 20 + (1 << 24);

const _: () = assert!(size_of::<nvmlSystemConfComputeSettings_t>() == 20);

/// Why NVML did not answer.
#[derive(Debug, thiserror::Error)]
pub enum NvmlCallError {
    #[error("{function} failed")]
    Nvml {
        function: &'static str,
        #[source]
        source: NvmlError,
    },
    #[error("{function} says that it wrote {seen_bytes} bytes into a buffer of {max_bytes}")]
    Length {
        function: &'static str,
        seen_bytes: u32,
        max_bytes: usize,
    },
}

impl NvmlCallError {
    /// NVML's own error, where there is one.
    #[must_use]
    pub fn nvml(&self) -> Option<&NvmlError> {
        match self {
            Self::Nvml { source, .. } => Some(source),
            Self::Length { .. } => None,
        }
    }
}

/// `nvmlSystemConfComputeSettings_t`, the numbers as nvml.h has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfidentialSettings {
    pub environment: u32,
    pub feature: u32,
    pub dev_tools_mode: u32,
    pub multi_gpu_mode: u32,
}

/// The GPU's report over this nonce: SPDM request ‖ response.
pub fn attestation_report(
    device: &Device<'_>,
    nonce: [u8; NONCE_BYTES],
) -> Result<Vec<u8>, NvmlCallError> {
    const FUNCTION: &str = "nvmlDeviceGetConfComputeGpuAttestationReport";
    let call = symbol(
        FUNCTION,
        &device
            .nvml()
            .lib()
            .nvmlDeviceGetConfComputeGpuAttestationReport,
    )?;
    let mut report = nvmlConfComputeGpuAttestationReport_t {
        isCecAttestationReportPresent: 0,
        attestationReportSize: 0,
        cecAttestationReportSize: 0,
        nonce,
        attestationReport: [0; REPORT_BYTES_MAX],
        cecAttestationReport: [0; CEC_REPORT_BYTES_MAX],
    };
    // SAFETY: the handle is NVML's own and the `Nvml` that it came from is borrowed; the function writes into one
    // structure of the layout that nvml.h gives, which lives on this stack throughout the call.
    let code = unsafe { call(device.handle(), &raw mut report) };
    answered(FUNCTION, code)?;
    written(
        FUNCTION,
        &report.attestationReport,
        report.attestationReportSize,
    )
}

/// The chain of the GPU's attestation key in PEM, leaf first.
pub fn attestation_certificate_chain(device: &Device<'_>) -> Result<Vec<u8>, NvmlCallError> {
    const FUNCTION: &str = "nvmlDeviceGetConfComputeGpuCertificate";
    let call = symbol(
        FUNCTION,
        &device.nvml().lib().nvmlDeviceGetConfComputeGpuCertificate,
    )?;
    let mut chain = nvmlConfComputeGpuCertificate_t {
        certChainSize: 0,
        attestationCertChainSize: 0,
        certChain: [0; CHAIN_BYTES_MAX],
        attestationCertChain: [0; ATTESTATION_CHAIN_BYTES_MAX],
    };
    // SAFETY: as in `attestation_report`.
    let code = unsafe { call(device.handle(), &raw mut chain) };
    answered(FUNCTION, code)?;
    written(
        FUNCTION,
        &chain.attestationCertChain,
        chain.attestationCertChainSize,
    )
}

/// How confidential computing is set on this machine.
pub fn confidential_settings(nvml: &Nvml) -> Result<ConfidentialSettings, NvmlCallError> {
    const FUNCTION: &str = "nvmlSystemGetConfComputeSettings";
    let call = symbol(FUNCTION, &nvml.lib().nvmlSystemGetConfComputeSettings)?;
    let mut settings = nvmlSystemConfComputeSettings_t {
        version: SETTINGS_VERSION,
        environment: 0,
        ccFeature: 0,
        devToolsMode: 0,
        multiGpuMode: 0,
    };
    // SAFETY: the function writes into one structure of the layout whose version the structure names, which lives on
    // this stack throughout the call.
    let code = unsafe { call(&raw mut settings) };
    answered(FUNCTION, code)?;
    Ok(ConfidentialSettings {
        environment: settings.environment,
        feature: settings.ccFeature,
        dev_tools_mode: settings.devToolsMode,
        multi_gpu_mode: settings.multiGpuMode,
    })
}

/// Whether the GPUs accept work.
pub fn gpus_ready(nvml: &Nvml) -> Result<bool, NvmlCallError> {
    const FUNCTION: &str = "nvmlSystemGetConfComputeGpusReadyState";
    let call = symbol(FUNCTION, &nvml.lib().nvmlSystemGetConfComputeGpusReadyState)?;
    let mut ready = 0;
    // SAFETY: the function writes one unsigned integer, which lives on this stack throughout the call.
    let code = unsafe { call(&raw mut ready) };
    answered(FUNCTION, code)?;
    Ok(ready == 1)
}

/// Has the GPUs accept work, or not.
pub fn set_gpus_ready(nvml: &Nvml, ready: bool) -> Result<(), NvmlCallError> {
    const FUNCTION: &str = "nvmlSystemSetConfComputeGpusReadyState";
    let call = symbol(FUNCTION, &nvml.lib().nvmlSystemSetConfComputeGpusReadyState)?;
    // SAFETY: the function takes one integer by value.
    let code = unsafe { call(c_uint::from(ready)) };
    answered(FUNCTION, code)
}

fn symbol<'lib, F, E: std::fmt::Display>(
    function: &'static str,
    symbol: &'lib Result<F, E>,
) -> Result<&'lib F, NvmlCallError> {
    symbol.as_ref().map_err(|error| NvmlCallError::Nvml {
        function,
        source: NvmlError::FailedToLoadSymbol(error.to_string()),
    })
}

fn answered(function: &'static str, code: c_uint) -> Result<(), NvmlCallError> {
    nvml_try(code).map_err(|source| NvmlCallError::Nvml { function, source })
}

/// What was written, if there is as much room as the driver says that it filled.
fn written(
    function: &'static str,
    buffer: &[u8],
    seen_bytes: c_uint,
) -> Result<Vec<u8>, NvmlCallError> {
    usize::try_from(seen_bytes)
        .ok()
        .and_then(|bytes| buffer.get(..bytes))
        .map(<[u8]>::to_vec)
        .ok_or(NvmlCallError::Length {
            function,
            seen_bytes,
            max_bytes: buffer.len(),
        })
}
