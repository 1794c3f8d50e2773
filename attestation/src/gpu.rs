//! Evidence of NVIDIA GPUs and NVSwitches: from the bytes that NVML gives to what the device identity root vouches for.

mod evidence;
mod references;
pub mod rim;

pub use evidence::{
    CERTIFICATE_BYTES_MAX, CERTIFICATES_COUNT_MAX, ConfidentialMode, DEVICES_COUNT_MAX,
    DeviceEvidence, DeviceEvidenceError, DeviceKind, DeviceReport, MultiGpuMode,
    OCSP_RESPONSE_BYTES_MAX, OCSP_RESPONSES_COUNT_MAX, REPORT_BYTES_MAX,
};
pub use references::{GpuReferences, MANIFESTS_MAX, VerifiedReferences};
