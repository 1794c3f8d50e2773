//! Whether a device runs what NVIDIA released: its measurements against the reference manifests of driver and firmware.
//!
//! A GPU's measurements are described by two manifests, a switch's by one. Every measurement that a manifest marks active must
//! have one of its values; the others mean nothing. One exception is NVIDIA's: a GPU whose NVDEC0 is off measures nothing at
//! index 35. That debugging is off, NVIDIA's verifiers too conclude from nothing but these measurements.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    Architecture, Details, GpuError, VbiosVersion, VerifiedGpu, VerifiedReferences,
    rim::{ManifestKind, ReferenceManifest, ReferenceMeasurement},
};

/// Measured only while NVDEC0 is on.
const NVDEC0_INDEX: u32 = 35;

/// Which manifest a device needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReferenceId {
    /// What it describes.
    pub kind: ManifestKind,
    /// Its identifier at NVIDIA's RIM service, such as `NV_GPU_DRIVER_GH100_550.90.07`.
    pub id: String,
}

/// All measurements that matter have a value that NVIDIA describes. Only [`VerifiedGpu::match_references`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeasurementsMatched {
    references: Vec<ReferenceId>,
    indices: BTreeSet<u32>,
}

impl MeasurementsMatched {
    /// The manifests that were used.
    #[must_use]
    pub fn references(&self) -> &[ReferenceId] {
        &self.references
    }

    /// The indices that were compared.
    #[must_use]
    pub const fn indices(&self) -> &BTreeSet<u32> {
        &self.indices
    }
}

impl VerifiedGpu {
    /// The manifests that describe this device's measurements.
    #[must_use]
    pub fn reference_ids(&self) -> Vec<ReferenceId> {
        let product = (self.architecture(), self.reference_product());
        reference_ids(Some(product), self.details(), self.vbios_version())
    }

    /// The chip that manifests are for: the one that the report names, else the certificates' one.
    fn reference_product(&self) -> &str {
        let named = self.gpu().and_then(|details| details.chip.as_deref());
        named.unwrap_or(self.chip())
    }

    /// Compare the device's measurements with the manifests that describe them, all in date at `now_s`.
    pub fn match_references(
        &self,
        references: &VerifiedReferences,
        now_s: u64,
    ) -> Result<MeasurementsMatched, GpuError> {
        let ids = self.reference_ids();
        let known = references.documents();
        let missing: Vec<_> = ids
            .iter()
            .filter(|reference| known.find(&reference.id).is_none())
            .map(|reference| reference.id.clone())
            .collect();
        if !missing.is_empty() {
            return Err(GpuError::ReferencesMissing(missing));
        }
        let mut manifests = Vec::new();
        for ReferenceId { kind, id } in &ids {
            let manifest = references
                .find(id, now_s)
                .map_err(|source| GpuError::Reference {
                    id: id.clone(),
                    source,
                })?;
            if manifest.kind() != *kind || manifest.product() != self.reference_product() {
                return Err(GpuError::ReferenceForeign {
                    id: id.clone(),
                    found: manifest.to_string(),
                });
            }
            manifests.push(manifest);
        }
        Ok(MeasurementsMatched {
            indices: self.matching(&manifests)?,
            references: ids,
        })
    }

    /// The indices at which this device has none of the values that one manifest demands. Says nothing of what other
    /// manifests demand.
    #[must_use]
    pub fn differing(&self, manifest: &ReferenceManifest) -> BTreeSet<u32> {
        let demanded = demanded(manifest.measurements(), self.nvdec0_is_off());
        let differing = demanded.filter(|(index, reference)| {
            let value = self.measurements().get(index);
            !value.is_some_and(|value| reference.alternatives.contains(value))
        });
        differing.map(|(index, _)| *index).collect()
    }

    fn matching(&self, manifests: &[&ReferenceManifest]) -> Result<BTreeSet<u32>, GpuError> {
        let references = manifests.iter().map(|manifest| manifest.measurements());
        let wanted = disjoint(references, self.nvdec0_is_off())?;
        let differing: BTreeSet<_> = manifests
            .iter()
            .flat_map(|manifest| self.differing(manifest))
            .collect();
        if differing.is_empty() {
            Ok(wanted)
        } else {
            Err(GpuError::Measurements(differing))
        }
    }

    fn nvdec0_is_off(&self) -> bool {
        self.gpu().is_some_and(|details| !details.nvdec0)
    }
}

/// The manifests that describe a device of this chip, and a driver's only where the chip is known.
pub(super) fn reference_ids(
    product: Option<(Architecture, &str)>,
    details: &Details,
    vbios_version: VbiosVersion,
) -> Vec<ReferenceId> {
    let firmware = vbios_version.digits();
    let (kind, id) = match details {
        Details::Gpu(details) => {
            let board = &details.board;
            let (project, sku, chip) = (&board.project, &board.project_sku, &board.chip_sku);
            let id = format!("NV_GPU_VBIOS_{project}_{sku}_{chip}_{firmware}");
            (ManifestKind::Vbios, id)
        }
        Details::NvSwitch(_) => (ManifestKind::SwitchBios, switch_id(&firmware)),
    };
    let driver = match (details, product) {
        (Details::Gpu(details), Some((architecture, product))) => {
            let version = details.driver_version.to_string();
            Some(ReferenceId {
                kind: ManifestKind::Driver,
                id: driver_id(architecture, product, &version),
            })
        }
        _ => None,
    };
    driver
        .into_iter()
        .chain([ReferenceId { kind, id }])
        .collect()
}

/// LS10 comes on one board; its report does not name it (NVIDIA attestation-sdk, switch/evidence.cpp).
pub(super) fn switch_id(firmware: &str) -> String {
    format!("NV_SWITCH_BIOS_5612_0002_890_{firmware}")
}

/// Blackwell's drivers have identifiers of their own form.
pub(super) fn driver_id(architecture: Architecture, product: &str, version: &str) -> String {
    let form = match architecture {
        Architecture::Blackwell => "NV_GPU_CC_DRIVER",
        Architecture::Hopper | Architecture::Ls10 => "NV_GPU_DRIVER",
    };
    format!("{form}_{product}_{version}")
}

/// What a manifest demands of a device.
fn demanded(
    references: &BTreeMap<u32, ReferenceMeasurement>,
    nvdec0_off: bool,
) -> impl Iterator<Item = (&u32, &ReferenceMeasurement)> {
    references.iter().filter(move |(index, reference)| {
        reference.active && !(nvdec0_off && **index == NVDEC0_INDEX)
    })
}

/// All demanded indices. One that two manifests demand is a contradiction, even with equal values.
fn disjoint<'a>(
    manifests: impl Iterator<Item = &'a BTreeMap<u32, ReferenceMeasurement>>,
    nvdec0_off: bool,
) -> Result<BTreeSet<u32>, GpuError> {
    let mut wanted = BTreeSet::new();
    let mut overlap = BTreeSet::new();
    for (index, _) in manifests.flat_map(|references| demanded(references, nvdec0_off)) {
        if !wanted.insert(*index) {
            overlap.insert(*index);
        }
    }
    if !overlap.is_empty() {
        return Err(GpuError::ReferenceOverlap(overlap));
    }
    if wanted.is_empty() {
        return Err(GpuError::ReferenceEmpty);
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests;
