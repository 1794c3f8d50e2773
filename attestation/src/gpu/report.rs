//! A device's report: what GPU and switch say of themselves, each in its own way.
//!
//! A GPU names its driver, its board and its modes; a switch names neither, only its firmware. GPUs have the VBIOS version in
//! binary, switches as text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use super::{
    DeviceKind,
    opaque::{OpaqueData, OpaqueError, field},
    p384::SIGNATURE_BYTES,
    spdm::{Exchange, SpdmError},
    version::{DriverVersion, VbiosVersion},
};

/// What NVIDIA writes for *on*, and for *off*.
const ENABLED: u8 = 0xaa;
const DISABLED: u8 = 0x55;
/// A switch lists eight GPUs; ports follow.
const GPU_PDIS_COUNT: usize = 8;

/// A device's identifier on NVLink. The serial number of its boot ROM's certificate ends with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Pdi(#[serde(with = "hex::serde")] pub [u8; 8]);

impl fmt::Debug for Pdi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pdi({})", hex::encode(self.0))
    }
}

/// The board that a GPU sits on: three of the four parts of its VBIOS manifest's identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Board {
    /// Such as `1010` or `G520`.
    pub project: String,
    /// Such as `0200`.
    pub project_sku: String,
    /// Such as `882`.
    pub chip_sku: String,
}

/// How a GPU takes part in a confidential machine, as it says itself (the `feature flag`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GpuMode {
    /// One GPU in the TD.
    SinglePassThrough,
    /// Several, with encrypted NVLink.
    MultiPassThrough,
    /// Several, NVLink in clear: the switches must be attested too.
    ProtectedPcie,
}

/// What a GPU says that a switch does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GpuDetails {
    /// The driver in the TD.
    pub driver_version: DriverVersion,
    /// Board and chip numbers.
    pub board: Board,
    /// The chip, where the report names it (Blackwell drivers since 2025).
    pub chip: Option<String>,
    /// Whether NVDEC0 is on; decides over measurement 35.
    pub nvdec0: bool,
    /// Whether Protected PCIe is on, where the driver says.
    pub protected_pcie: Option<bool>,
    /// How it takes part, where the driver says.
    pub mode: Option<GpuMode>,
    /// The switches it is linked to.
    pub switch_pdis: BTreeSet<Pdi>,
}

/// What a switch says that a GPU does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwitchDetails {
    /// Its own identifier.
    pub device_pdi: Option<Pdi>,
    /// The GPUs it is linked to.
    pub gpu_pdis: BTreeSet<Pdi>,
}

/// What only one kind of device says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Details {
    /// A GPU's.
    Gpu(GpuDetails),
    /// A switch's.
    NvSwitch(SwitchDetails),
}

/// A report whose structure is sound. Untrusted.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) nonce: [u8; 32],
    /// By index, counted from 0 as NVIDIA's manifests do; SPDM counts from 1.
    pub(super) measurements: BTreeMap<u32, Vec<u8>>,
    pub(super) vbios_version: VbiosVersion,
    /// Digest of the firmware that the device booted, where the report has it.
    pub(super) firmware_id: Option<[u8; 48]>,
    pub(super) details: Details,
    /// All opaque fields, by number.
    pub(super) fields: BTreeMap<u16, Vec<u8>>,
    pub(super) signed: &'a [u8],
    pub(super) signature: &'a [u8; SIGNATURE_BYTES],
}

impl<'a> Report<'a> {
    pub(super) fn parse(bytes: &'a [u8], kind: DeviceKind) -> Result<Self, ReportError> {
        let exchange = Exchange::parse(bytes).map_err(ReportError::Spdm)?;
        let opaque = OpaqueData::parse(exchange.opaque).map_err(ReportError::Opaque)?;
        let (vbios_version, details) = match kind {
            DeviceKind::Gpu => gpu(&opaque),
            DeviceKind::NvSwitch => nv_switch(&opaque),
        }
        .map_err(ReportError::Opaque)?;
        let measurements = exchange.measurements.into_iter();
        Ok(Self {
            nonce: *exchange.nonce,
            measurements: measurements
                .map(|(index, value)| (u32::from(index).saturating_sub(1), value.to_vec()))
                .collect(),
            vbios_version,
            firmware_id: opaque
                .array(field::FIRMWARE_ID)
                .map_err(ReportError::Opaque)?,
            details,
            fields: opaque.into_fields(),
            signed: exchange.signed,
            signature: exchange.signature,
        })
    }
}

fn gpu(opaque: &OpaqueData) -> Result<(VbiosVersion, Details), OpaqueError> {
    let details = GpuDetails {
        driver_version: text(opaque, field::DRIVER_VERSION)?
            .parse()
            .map_err(|_| OpaqueError::Malformed(field::DRIVER_VERSION))?,
        board: Board {
            project: text(opaque, field::PROJECT)?,
            project_sku: text(opaque, field::PROJECT_SKU)?,
            chip_sku: text(opaque, field::CHIP_SKU)?,
        },
        chip: opaque.text(field::CHIP)?.map(str::to_owned),
        nvdec0: switch_state(opaque, field::NVDEC0_STATUS)?
            .ok_or(OpaqueError::Missing(field::NVDEC0_STATUS))?,
        protected_pcie: switch_state(opaque, field::PROTECTED_PCIE_STATUS)?,
        mode: mode(opaque)?,
        switch_pdis: switch_pdis(opaque)?,
    };
    Ok((binary_vbios_version(opaque)?, Details::Gpu(details)))
}

fn nv_switch(opaque: &OpaqueData) -> Result<(VbiosVersion, Details), OpaqueError> {
    let number = field::VBIOS_VERSION;
    let version = text(opaque, number)?
        .parse()
        .map_err(|_| OpaqueError::Malformed(number))?;
    let details = SwitchDetails {
        device_pdi: opaque.array(field::DEVICE_PDI)?.map(Pdi),
        gpu_pdis: gpu_pdis(opaque)?,
    };
    Ok((version, Details::NvSwitch(details)))
}

fn text(opaque: &OpaqueData, number: u16) -> Result<String, OpaqueError> {
    let text = opaque.text(number)?.ok_or(OpaqueError::Missing(number))?;
    Ok(text.to_owned())
}

/// Eight bytes: four of the version in little-endian order, the fifth, three zeros.
fn binary_vbios_version(opaque: &OpaqueData) -> Result<VbiosVersion, OpaqueError> {
    let number = field::VBIOS_VERSION;
    match opaque.array(number)?.ok_or(OpaqueError::Missing(number))? {
        [fourth, third, second, first, fifth, 0, 0, 0] => {
            Ok(VbiosVersion([first, second, third, fourth, fifth]))
        }
        _ => Err(OpaqueError::Malformed(number)),
    }
}

/// One byte, *on* or *off* and nothing else.
fn switch_state(opaque: &OpaqueData, number: u16) -> Result<Option<bool>, OpaqueError> {
    match opaque.array(number)? {
        None => Ok(None),
        Some([ENABLED]) => Ok(Some(true)),
        Some([DISABLED]) => Ok(Some(false)),
        Some(_) => Err(OpaqueError::Malformed(number)),
    }
}

fn mode(opaque: &OpaqueData) -> Result<Option<GpuMode>, OpaqueError> {
    match opaque.number(field::FEATURE_FLAG)? {
        None => Ok(None),
        Some(0) => Ok(Some(GpuMode::SinglePassThrough)),
        Some(1) => Ok(Some(GpuMode::MultiPassThrough)),
        Some(2) => Ok(Some(GpuMode::ProtectedPcie)),
        Some(_) => Err(OpaqueError::Malformed(field::FEATURE_FLAG)),
    }
}

/// One for each link, so most are there more than once. A GPU writes them little-endian, a switch its own big-endian.
fn switch_pdis(opaque: &OpaqueData) -> Result<BTreeSet<Pdi>, OpaqueError> {
    let number = field::SWITCH_PDIS;
    let (pdis, rest) = opaque.bytes(number).unwrap_or_default().as_chunks();
    if !rest.is_empty() {
        return Err(OpaqueError::Malformed(number));
    }
    let pdis = pdis.iter().map(|pdi| u64::from_le_bytes(*pdi));
    Ok(pdis.map(|pdi| Pdi(pdi.to_be_bytes())).collect())
}

/// Eight of them, then a port for each link.
fn gpu_pdis(opaque: &OpaqueData) -> Result<BTreeSet<Pdi>, OpaqueError> {
    let Some(bytes) = opaque.bytes(field::GPU_PDIS) else {
        return Ok(BTreeSet::new());
    };
    let pdis = bytes.as_chunks().0.get(..GPU_PDIS_COUNT);
    let pdis = pdis.ok_or(OpaqueError::Malformed(field::GPU_PDIS))?;
    Ok(pdis.iter().copied().map(Pdi).collect())
}

/// Why bytes are not a device's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Not an SPDM exchange.
    #[error("the SPDM exchange does not parse")]
    Spdm(#[source] SpdmError),
    /// Not NVIDIA's opaque data, or not that of such a device.
    #[error("the opaque data does not parse")]
    Opaque(#[source] OpaqueError),
}

#[cfg(test)]
mod tests;
