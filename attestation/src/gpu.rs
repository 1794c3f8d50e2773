//! Evidence of NVIDIA GPUs and NVSwitches: from the bytes that NVML gives to what the device identity root vouches for.
//!
//! ```text
//! bytes ── decode ──▶ DeviceEvidence ── verify ──▶ VerifiedGpu ── match ──▶ MeasurementsMatched
//! ```
//!
//! * [`DeviceEvidence`] is what a worker sends: for each device a signed SPDM exchange, its certificates and, if it likes, OCSP
//!   responses.
//! * [`GpuVerifier::verify`] follows the signatures to a [`GpuTrustAnchor`].
//! * Whether the firmware is one that NVIDIA released, the comparison with its reference measurements tells.
//!
//! Nothing here reads a file, a clock or a socket.

mod anchor;
mod architecture;
mod certificate;
mod chain;
mod dice;
mod error;
mod evidence;
#[cfg(test)]
mod forge;
mod measurements;
mod memo;
mod ocsp;
mod opaque;
mod p384;
mod references;
mod report;
pub mod rim;
mod spdm;
mod unverified;
mod verify;
mod version;
mod wiring;

pub use crate::cursor::CutShort;
pub use anchor::{GpuTrustAnchor, GpuTrustAnchorError};
pub use architecture::{Architecture, UnknownArchitecture};
pub use certificate::CertificateError;
pub use chain::{CHAIN_CERTIFICATES_COUNT, ChainError};
pub use error::GpuError;
pub use evidence::{
    CERTIFICATE_BYTES_MAX, CERTIFICATES_COUNT_MAX, ConfidentialMode, DEVICES_COUNT_MAX,
    DeviceEvidence, DeviceEvidenceError, DeviceKind, DeviceReport, MultiGpuMode,
    OCSP_RESPONSE_BYTES_MAX, OCSP_RESPONSES_COUNT_MAX, REPORT_BYTES_MAX,
};
pub use measurements::{MeasurementsMatched, ReferenceId};
pub use ocsp::{
    OCSP_CLOCK_SKEW_S, OcspError, OcspRequestError, OcspStanding, ocsp_request, ocsp_standing,
};
pub use opaque::OpaqueError;
pub use references::{GpuReferences, MANIFESTS_MAX, VerifiedReferences};
pub use report::{Board, Details, GpuDetails, GpuMode, Pdi, ReportError, SwitchDetails};
pub use spdm::SpdmError;
pub use unverified::UnverifiedReport;
pub use verify::{GpuVerifier, VerifiedGpu};
pub use version::{DriverVersion, VbiosVersion, VersionMalformed};
pub use wiring::{NvLinks, WiringError};
