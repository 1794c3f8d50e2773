//! The policy's rules on GPU evidence.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Allowed, DEMANDS, Demand, GpuDemand, GpuWord, HOUR_S,
    reader::{Reader, Table},
};
use crate::gpu::{Architecture, DriverVersion, VbiosVersion};

/// A response lives for a day; who needs more than a week of grace has no responder.
pub const OCSP_GRACE_HOURS_MAX: u32 = 24 * 7;
/// RFC 5280, section 4.1.2.2.
const SERIAL_BYTES_MAX: usize = 20;

/// What is demanded of each GPU and switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GpuRules {
    pub(crate) driver_version_min: DriverVersion,
    pub(crate) driver_versions_denied: BTreeSet<DriverVersion>,
    /// By architecture; one that is not here is not allowed.
    pub(crate) vbios_versions_min: BTreeMap<Architecture, VbiosVersion>,
    pub(crate) reference_measurements: Demand,
    pub(crate) ocsp: Demand,
    pub(crate) ocsp_grace_s: u64,
    /// Serials of device certificates, lower-case hexadecimal.
    pub(crate) enrolled: Allowed<String>,
    pub(crate) revoked: BTreeSet<String>,
}

/// The demand on GPU evidence. The table is there exactly if it is needed.
pub(super) fn read(
    reader: &mut Reader,
    root: &mut Table,
    word: Option<GpuWord>,
) -> Option<GpuDemand> {
    if word == Some(GpuWord::NotRequired) {
        if root.has("gpu") {
            // Rules that nobody applies would read as if they were applied.
            root.mistake(
                reader,
                "gpu",
                "is never applied: evidence.gpu is \"not-required\"",
            );
            let _ = root.table(reader, "gpu");
        }
        return Some(GpuDemand::NotRequired);
    }
    let rules = root
        .table(reader, "gpu")
        .and_then(|table| read_rules(reader, table))?;
    match word? {
        GpuWord::IfClaimed => Some(GpuDemand::IfClaimed(rules)),
        GpuWord::Required | GpuWord::NotRequired => Some(GpuDemand::Required(rules)),
    }
}

fn read_rules(reader: &mut Reader, mut table: Table) -> Option<GpuRules> {
    let driver_version_min = table.value(reader, "driver_version_min", driver_version);
    let driver_versions_denied = table.set(reader, "driver_versions_denied", driver_version);
    let vbios_versions_min = table.map(reader, "vbios_versions_min", architecture, vbios_version);
    if vbios_versions_min.as_ref().is_some_and(BTreeMap::is_empty) {
        table.mistake(
            reader,
            "vbios_versions_min",
            "wants one architecture at least: an empty table admits no GPU",
        );
    }
    let reference_measurements = table.choice(reader, "reference_measurements", &DEMANDS);
    let ocsp = table.choice(reader, "ocsp", &DEMANDS);
    let ocsp_grace_hours = table.number(reader, "ocsp_grace_hours", 0..=OCSP_GRACE_HOURS_MAX);
    let enrolled = table.any_or_list(reader, "enrolled", serial);
    let revoked = table.set(reader, "revoked", serial);
    table.close(reader);
    Some(GpuRules {
        driver_version_min: driver_version_min?,
        driver_versions_denied: driver_versions_denied?,
        vbios_versions_min: vbios_versions_min?,
        reference_measurements: reference_measurements?,
        ocsp: ocsp?,
        ocsp_grace_s: u64::from(ocsp_grace_hours?).saturating_mul(HOUR_S),
        enrolled: enrolled?,
        revoked: revoked?,
    })
}

fn driver_version(text: &str) -> Result<DriverVersion, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no driver version of the form 550.90.07"))
}

fn vbios_version(text: &str) -> Result<VbiosVersion, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no VBIOS version of the form 96.00.9F.00.01"))
}

fn architecture(text: &str) -> Result<Architecture, String> {
    text.parse().map_err(|_| {
        let known = Architecture::ALL.map(Architecture::as_str).join(", ");
        format!("is no known architecture; one of {known}")
    })
}

fn serial(text: &str) -> Result<String, String> {
    match hex::decode(text) {
        Ok(bytes) if (1..=SERIAL_BYTES_MAX).contains(&bytes.len()) => Ok(text.to_ascii_lowercase()),
        _ => Err(format!(
            "wants a certificate's serial: 1 to {SERIAL_BYTES_MAX} bytes in hexadecimal"
        )),
    }
}
