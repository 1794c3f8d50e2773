//! NVIDIA's reference integrity manifests (RIM): which measurements a driver or a firmware release leaves in a GPU's report.
//!
//! A manifest is a signed file. NVIDIA publishes one for each driver and each firmware, now as SWID tags (ISO/IEC 19770-2 in
//! the profile of the TCG's Reference Integrity Manifest Information Model) under an XML signature. `format` is the one place
//! that knows which formats there are.
//!
//! A [`ReferenceManifest`] exists only when the chain of its signer leads to the root and the signature holds; what it states
//! was read from the very octets that were signed. [`UnverifiedManifest`] is the same file for a person to look at.

mod error;
mod format;
mod signer;
mod swid;
mod xml;

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    Architecture, GpuTrustAnchor,
    measurements::{driver_id, switch_id},
};
use crate::digest::sha256;

pub use error::RimError;

/// The longest manifest. Real ones have 18 to 26 KiB.
pub const MANIFEST_BYTES_MAX: usize = 128 * 1024;

/// What a manifest describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ManifestKind {
    /// A GPU driver.
    Driver,
    /// The firmware of a GPU.
    Vbios,
    /// The firmware of an `NVSwitch`.
    SwitchBios,
}

impl ManifestKind {
    /// How the identifiers begin that NVIDIA's RIM service gives to manifests of this kind.
    #[must_use]
    pub const fn id_prefixes(self) -> &'static [&'static str] {
        match self {
            // The second is that of Blackwell's drivers.
            Self::Driver => &["NV_GPU_DRIVER_", "NV_GPU_CC_DRIVER_"],
            Self::Vbios => &["NV_GPU_VBIOS_"],
            Self::SwitchBios => &["NV_SWITCH_BIOS_"],
        }
    }
}

impl fmt::Display for ManifestKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Driver => "driver",
            Self::Vbios => "VBIOS",
            Self::SwitchBios => "switch BIOS",
        })
    }
}

/// What one measurement may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceMeasurement {
    /// Whether a report must show one of the alternatives. Inactive entries only fill the table.
    pub active: bool,
    /// The permitted values; one or more.
    pub alternatives: Vec<Vec<u8>>,
}

/// A verified manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceManifest {
    contents: format::Contents,
    signer: signer::Signer,
    digest: [u8; 32],
}

impl ReferenceManifest {
    /// Verify a manifest's signature and its signer's chain to NVIDIA's root in `anchor`, all in date at `now_s`.
    pub fn verify(bytes: &[u8], anchor: &GpuTrustAnchor, now_s: u64) -> Result<Self, RimError> {
        let manifest = Self::verify_signature(bytes, anchor)?;
        manifest.in_date(now_s)?;
        Ok(manifest)
    }

    /// Everything but the dates, which [`ReferenceManifest::in_date`] holds against a time: so a manifest that is kept need
    /// not be verified again for each report.
    pub(crate) fn verify_signature(
        bytes: &[u8],
        anchor: &GpuTrustAnchor,
    ) -> Result<Self, RimError> {
        let format = format::of(bytes)?;
        let (payload, signer) = format.open(bytes)?.verify(anchor.rim_root())?;
        Ok(Self {
            contents: format.read(&payload)?,
            signer,
            digest: sha256(&[bytes]),
        })
    }

    /// Refuse the manifest when a certificate of its chain is not in date at `now_s`.
    pub(crate) const fn in_date(&self, now_s: u64) -> Result<(), RimError> {
        self.signer.in_date(now_s)
    }

    /// Refuse the manifest when it is not what `id` names, an identifier as NVIDIA's RIM service gives them.
    ///
    /// A driver's is its product and version. A firmware's also names board and chip numbers, which stand nowhere in the
    /// manifest; the version at the end must be the manifest's.
    pub(crate) fn named(&self, id: &str) -> Result<(), RimError> {
        let (product, version) = (self.product(), self.version());
        let mut prefixes = self.kind().id_prefixes().iter();
        let rest = prefixes.find_map(|prefix| id.strip_prefix(prefix));
        let fits = match self.kind() {
            ManifestKind::Driver => rest == Some(&format!("{product}_{version}")),
            ManifestKind::Vbios | ManifestKind::SwitchBios => {
                let ending = format!("_{}", version.replace('.', "").to_ascii_uppercase());
                rest.is_some_and(|rest| rest.ends_with(&ending))
            }
        };
        if fits {
            return Ok(());
        }
        Err(RimError::Misnamed {
            id: id.to_owned(),
            found: self.to_string(),
        })
    }

    /// What the manifest describes.
    #[must_use]
    pub const fn kind(&self) -> ManifestKind {
        self.contents.kind
    }

    /// The chip it is for, such as `GH100`.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.contents.product
    }

    /// The driver's or the firmware's version, such as `550.90.07` or `96.00.9F.00.01`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.contents.version
    }

    /// The reference measurements by index. It counts from 0; the SPDM blocks of a report count from 1.
    #[must_use]
    pub const fn measurements(&self) -> &BTreeMap<u32, ReferenceMeasurement> {
        &self.contents.measurements
    }

    /// From when on every certificate of the signer's chain is valid, in seconds since the Unix epoch.
    #[must_use]
    pub const fn signer_not_before_s(&self) -> u64 {
        self.signer.not_before_s
    }

    /// Until when every certificate of the signer's chain is valid, in seconds since the Unix epoch.
    #[must_use]
    pub const fn signer_not_after_s(&self) -> u64 {
        self.signer.not_after_s
    }

    /// SHA-256 of the file.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Display for ReferenceManifest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, product, version) = (self.kind(), self.product(), self.version());
        write!(formatter, "{kind} {version} for {product}")
    }
}

/// What a file states of itself. Nothing of it is believed: no signature was verified and no chain followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnverifiedManifest {
    /// What it claims to describe.
    pub kind: ManifestKind,
    /// The chip it claims to be for.
    pub product: String,
    /// The version it claims to describe.
    pub version: String,
    /// The subject of the first certificate it carries.
    pub signer_subject: String,
    /// When the last of its certificates becomes valid, in seconds since the Unix epoch.
    pub signer_not_before_s: u64,
    /// When the first of its certificates ends, in seconds since the Unix epoch.
    pub signer_not_after_s: u64,
    /// How many measurements it lists.
    pub measurements_count: usize,
    /// How many of them a report must match.
    pub active_measurements_count: usize,
}

impl UnverifiedManifest {
    /// Read a manifest without believing it.
    pub fn inspect(bytes: &[u8]) -> Result<Self, RimError> {
        let format = format::of(bytes)?;
        let envelope = format.open(bytes)?;
        let signer = signer::inspect(&envelope.certificates)?;
        let contents = format.read(&envelope.payload)?;
        let active = contents.measurements.values().filter(|one| one.active);
        Ok(Self {
            kind: contents.kind,
            signer_subject: signer.subject,
            signer_not_before_s: signer.not_before_s,
            signer_not_after_s: signer.not_after_s,
            measurements_count: contents.measurements.len(),
            active_measurements_count: active.count(),
            product: contents.product,
            version: contents.version,
        })
    }

    /// Its identifier at NVIDIA's RIM service; of a VBIOS with `*` for the board's numbers, which stand in the GPU's report alone.
    /// `None` for a driver of a chip that is not known here.
    #[must_use]
    pub fn identifier(&self) -> Option<String> {
        let firmware = self.version.replace('.', "").to_ascii_uppercase();
        match self.kind {
            ManifestKind::Driver => Architecture::of_chip(&self.product)
                .map(|architecture| driver_id(architecture, &self.product, &self.version)),
            ManifestKind::Vbios => Some(format!("NV_GPU_VBIOS_*_{firmware}")),
            ManifestKind::SwitchBios => Some(switch_id(&firmware)),
        }
    }
}
