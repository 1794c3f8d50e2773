//! Protected PCIe: NVLink between the GPUs is in clear, so every switch on it must be attested, and must serve nobody else.
//!
//! Devices name each other by their identifiers on NVLink, which the certificates that NVIDIA issued to them end with. GPUs and
//! switches must agree with what was verified, in both directions.

use std::collections::BTreeSet;

use super::{Details, DeviceKind, GpuMode, MultiGpuMode, Pdi, VerifiedGpu};
use crate::ErrorCode;

/// Every link of the GPUs in Protected PCIe mode ends in an attested device. Only [`NvLinks::verify`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NvLinks {
    switches_count: usize,
}

impl NvLinks {
    /// Hold what devices say of their links against each other; `None` where no GPU is in Protected PCIe mode.
    pub fn verify(devices: &[VerifiedGpu]) -> Result<Option<Self>, WiringError> {
        let exposed: Vec<_> = devices.iter().filter(|device| is_exposed(device)).collect();
        if exposed.is_empty() {
            return Ok(None);
        }
        let (gpus, switches) = (
            pdis(devices, DeviceKind::Gpu),
            pdis(devices, DeviceKind::NvSwitch),
        );
        for gpu in exposed {
            let linked = gpu.gpu().map(|details| &details.switch_pdis);
            let linked = linked.filter(|linked| !linked.is_empty());
            let linked = linked.ok_or_else(|| WiringError::Unlinked(gpu.uuid().to_owned()))?;
            if let Some(missing) = linked.difference(&switches).next() {
                return Err(WiringError::SwitchMissing(hex::encode(missing.0)));
            }
        }
        for device in devices {
            let Details::NvSwitch(details) = device.details() else {
                continue;
            };
            if details.device_pdi != device.pdi() {
                return Err(WiringError::SwitchForeign(device.uuid().to_owned()));
            }
            if let Some(stranger) = details.gpu_pdis.difference(&gpus).next() {
                return Err(WiringError::GpuForeign(hex::encode(stranger.0)));
            }
        }
        Ok(Some(Self {
            switches_count: switches.len(),
        }))
    }

    /// Over how many attested switches.
    #[must_use]
    pub const fn switches_count(&self) -> usize {
        self.switches_count
    }
}

/// In the device's own words, or in NVML's on its machine.
fn is_exposed(device: &VerifiedGpu) -> bool {
    device.gpu().is_some_and(|gpu| {
        gpu.mode == Some(GpuMode::ProtectedPcie)
            || gpu.protected_pcie == Some(true)
            || device.mode().multi_gpu_mode == MultiGpuMode::ProtectedPcie
    })
}

fn pdis(devices: &[VerifiedGpu], kind: DeviceKind) -> BTreeSet<Pdi> {
    let devices = devices.iter().filter(|device| device.kind() == kind);
    devices.filter_map(VerifiedGpu::pdi).collect()
}

/// Why links of GPUs in Protected PCIe mode are not all attested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WiringError {
    /// A GPU in that mode names no switch: what its links end in is unknown.
    #[error("{0} is in Protected PCIe mode and names no switch")]
    Unlinked(String),
    /// A GPU is linked to a switch without evidence.
    #[error("a GPU is linked to switch {0}, which shows no evidence")]
    SwitchMissing(String),
    /// A switch's report names another device than its certificate.
    #[error("switch {0} reports another identifier than its certificate has")]
    SwitchForeign(String),
    /// A switch is linked to a GPU without evidence, which could be somebody else's.
    #[error("a switch is linked to GPU {0}, which shows no evidence")]
    GpuForeign(String),
}

impl WiringError {
    /// The stable code of this refusal.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::GpuLinkUnattested
    }
}
