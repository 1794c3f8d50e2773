//! The policy's rules on GPU evidence.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use super::{
    Allowed, DEMANDS, Demand, GpuDemand, GpuWord, HOUR_S,
    reader::{Reader, Table},
    rules::Floor,
};

/// A response lives for a day; who needs more than a week of grace has no responder.
pub const OCSP_GRACE_HOURS_MAX: u32 = 24 * 7;
/// Architectures that can show evidence; LS10 is the `NVSwitch` of Hopper machines.
const ARCHITECTURES: [&str; 3] = ["hopper", "blackwell", "ls10"];
/// RFC 5280, section 4.1.2.2.
const SERIAL_BYTES_MAX: usize = 20;

/// What is demanded of each GPU and switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GpuRules {
    pub(crate) driver_version_min: DriverVersion,
    pub(crate) driver_versions_denied: BTreeSet<DriverVersion>,
    /// By architecture; one that is not here is not allowed.
    pub(crate) vbios_versions_min: BTreeMap<String, VbiosVersion>,
    pub(crate) reference_measurements: Demand,
    pub(crate) ocsp: Demand,
    pub(crate) ocsp_grace_s: u64,
    /// Serials of attestation certificates, lower-case hexadecimal.
    pub(crate) enrolled: Allowed<String>,
    pub(crate) revoked: BTreeSet<String>,
}

/// A driver's version: numbers with dots between, compared one by one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DriverVersion(Vec<u32>);

/// A VBIOS version: five bytes, compared one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VbiosVersion([u8; 5]);

/// A text that is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAVersion;

impl FromStr for DriverVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        };
        let numbers: Option<Vec<u32>> = text.split('.').map(number).collect();
        numbers
            .filter(|numbers| (2..=4).contains(&numbers.len()))
            .map(Self)
            .ok_or(NotAVersion)
    }
}

impl DriverVersion {
    pub(super) fn floor(&self) -> Floor {
        Floor::new(self, self.0.clone())
    }
}

impl VbiosVersion {
    pub(super) fn floor(self) -> Floor {
        Floor::new(self, self.0.map(u32::from).to_vec())
    }
}

impl fmt::Display for DriverVersion {
    /// As NVIDIA writes it: two digits at least behind the first dot.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, number) in self.0.iter().enumerate() {
            if position == 0 {
                write!(formatter, "{number}")?;
            } else {
                write!(formatter, ".{number:02}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for VbiosVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 5];
        let mut parts = text.split('.');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2)
                .ok_or(NotAVersion)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| NotAVersion)?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(NotAVersion),
        }
    }
}

impl fmt::Display for VbiosVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.map(|byte| format!("{byte:02X}")).join("."))
    }
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
    let enrolled = table.any_or_set(reader, "enrolled", serial);
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
        .map_err(|NotAVersion| format!("`{text}` is no driver version of the form 550.90.07"))
}

fn vbios_version(text: &str) -> Result<VbiosVersion, String> {
    text.parse()
        .map_err(|NotAVersion| format!("`{text}` is no VBIOS version of the form 96.00.9F.00.01"))
}

fn architecture(text: &str) -> Result<String, String> {
    if ARCHITECTURES.contains(&text) {
        Ok(text.to_owned())
    } else {
        let known = ARCHITECTURES.join(", ");
        Err(format!("is no known architecture; one of {known}"))
    }
}

fn serial(text: &str) -> Result<String, String> {
    match hex::decode(text) {
        Ok(bytes) if (1..=SERIAL_BYTES_MAX).contains(&bytes.len()) => Ok(text.to_ascii_lowercase()),
        _ => Err(format!(
            "wants a certificate's serial: 1 to {SERIAL_BYTES_MAX} bytes in hexadecimal"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_number_by_number() {
        let driver = |text: &str| text.parse::<DriverVersion>();
        assert!(driver("550.90.07").unwrap() < driver("550.144.03").unwrap());
        assert!(driver("590.12").unwrap() > driver("580.159.03").unwrap());
        assert_eq!(driver("550.90.07").unwrap().to_string(), "550.90.07");
        for none in [
            "",
            "550",
            "550.",
            "550.x",
            "1.2.3.4.5",
            "550.+1",
            "550.4294967296",
        ] {
            assert_eq!(driver(none), Err(NotAVersion), "{none}");
        }
        let vbios = |text: &str| text.parse::<VbiosVersion>();
        assert!(vbios("96.00.5E.00.01").unwrap() < vbios("96.00.9f.00.01").unwrap());
        assert_eq!(
            vbios("96.00.9f.00.01").unwrap().to_string(),
            "96.00.9F.00.01"
        );
        for none in [
            "96.00.5E.00",
            "96.00.5E.00.01.02",
            "96.0.5E.00.01",
            "96.00.5G.00.01",
        ] {
            assert_eq!(vbios(none), Err(NotAVersion), "{none}");
        }
    }
}
