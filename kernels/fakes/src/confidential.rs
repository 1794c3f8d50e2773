//! Confidential computing: mode, ready state, reports and certificates. Names and signatures are those of nvml.h; a
//! reference that may be null is a pointer to NVML.
#![expect(unsafe_code, reason = "exported symbols")]

use std::ffi::{c_int, c_uint};
use std::time::Duration;

use crate::attester::{Wanted, ask};
use crate::code;
use crate::config;
use crate::device::{Device, fill};
use crate::system::answer;

/// `NVML_CC_SYSTEM_CPU_CAPS_INTEL_TDX`.
const INTEL_TDX: c_uint = 2;
/// `NVML_CC_SYSTEM_GPUS_CC_CAPABLE`.
const CAPABLE: c_uint = 1;

/// `nvmlConfComputeSystemCaps_t`.
#[repr(C)]
struct Capabilities {
    cpu: c_uint,
    gpus: c_uint,
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetConfComputeCapabilities(
    capabilities: Option<&mut Capabilities>,
) -> c_int {
    let value = Capabilities {
        cpu: INTEL_TDX,
        gpus: CAPABLE,
    };
    answer("nvmlSystemGetConfComputeCapabilities", capabilities, value)
}

/// `nvmlConfComputeSystemState_t`.
#[repr(C)]
struct State {
    environment: c_uint,
    feature: c_uint,
    dev_tools_mode: c_uint,
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetConfComputeState(state: Option<&mut State>) -> c_int {
    let value = State {
        environment: config::environment(),
        feature: config::confidential_computing(),
        dev_tools_mode: config::developer_mode(),
    };
    answer("nvmlSystemGetConfComputeState", state, value)
}

/// `nvmlSystemConfComputeSettings_v1_t`.
#[repr(C)]
struct Settings {
    version: c_uint,
    environment: c_uint,
    feature: c_uint,
    dev_tools_mode: c_uint,
    multi_gpu_mode: c_uint,
}

/// `NVML_STRUCT_VERSION(SystemConfComputeSettings, 1)`: the size, and the version in the highest byte.
const SETTINGS_VERSION: c_uint = 20 + (1 << 24);

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetConfComputeSettings(settings: Option<&mut Settings>) -> c_int {
    if settings
        .as_ref()
        .is_some_and(|settings| settings.version != SETTINGS_VERSION)
    {
        return code::ARGUMENT_VERSION_MISMATCH;
    }
    let value = Settings {
        version: SETTINGS_VERSION,
        environment: config::environment(),
        feature: config::confidential_computing(),
        dev_tools_mode: config::developer_mode(),
        multi_gpu_mode: config::multi_gpu_mode(),
    };
    match config::settings_code() {
        code::SUCCESS => answer("nvmlSystemGetConfComputeSettings", settings, value),
        code => code,
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetConfComputeGpusReadyState(ready: Option<&mut c_uint>) -> c_int {
    answer(
        "nvmlSystemGetConfComputeGpusReadyState",
        ready,
        config::ready(),
    )
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemSetConfComputeGpusReadyState(ready: c_uint) -> c_int {
    match config::set_ready_code() {
        code::SUCCESS if ready > 1 => code::INVALID_ARGUMENT,
        code::SUCCESS => config::set_ready(ready).map_or(code::UNKNOWN, |()| code::SUCCESS),
        code => code,
    }
}

/// `nvmlConfComputeGpuAttestationReport_t`.
#[repr(C)]
struct Report {
    is_cec_present: c_uint,
    length: c_uint,
    cec_length: c_uint,
    nonce: [u8; 32],
    content: [u8; 8192],
    cec_content: [u8; 4096],
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetConfComputeGpuAttestationReport(
    device: Device,
    report: Option<&mut Report>,
) -> c_int {
    const FUNCTION: &str = "nvmlDeviceGetConfComputeGpuAttestationReport";
    fill(FUNCTION, device, report, |gpu, report| {
        std::thread::sleep(Duration::from_millis(config::report_ms()));
        let made = ask(Wanted::Report, gpu, &report.nonce);
        let Some(length) = made.and_then(|made| put(&mut report.content, &made)) else {
            return code::UNKNOWN;
        };
        report.is_cec_present = 0;
        report.cec_length = 0;
        report.length = config::report_bytes().unwrap_or(length);
        code::SUCCESS
    })
}

/// `nvmlConfComputeGpuCertificate_t`.
#[repr(C)]
struct Certificate {
    chain_bytes: c_uint,
    attestation_chain_bytes: c_uint,
    chain: [u8; 4096],
    attestation_chain: [u8; 5120],
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetConfComputeGpuCertificate(
    device: Device,
    certificate: Option<&mut Certificate>,
) -> c_int {
    const FUNCTION: &str = "nvmlDeviceGetConfComputeGpuCertificate";
    fill(FUNCTION, device, certificate, |gpu, certificate| {
        let made = ask(Wanted::Chain, gpu, &[0; 32]);
        let Some(length) = made.and_then(|made| put(&mut certificate.attestation_chain, &made))
        else {
            return code::UNKNOWN;
        };
        certificate.chain_bytes = 0;
        certificate.attestation_chain_bytes = config::chain_bytes().unwrap_or(length);
        code::SUCCESS
    })
}

/// Copies what was made and says how long it is, if there is room for it.
fn put(buffer: &mut [u8], made: &[u8]) -> Option<c_uint> {
    buffer.get_mut(..made.len())?.copy_from_slice(made);
    c_uint::try_from(made.len()).ok()
}
