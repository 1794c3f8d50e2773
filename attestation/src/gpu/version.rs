//! Versions that have an order: a driver's and a VBIOS's, so that policies can name a floor.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Real ones have two or three: `590.12`, `550.90.07`.
const DRIVER_PARTS_MAX: usize = 4;
/// Real ones have at most three.
const DRIVER_PART_DIGITS_MAX: usize = 6;

/// A text that is no such version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version of the form {0}")]
pub struct VersionMalformed(&'static str);

/// A driver's version, such as `550.90.07`. Ordered part by part, as numbers; a shorter one comes first.
#[derive(Clone, Debug)]
pub struct DriverVersion {
    /// As the driver writes it: a manifest's identifier repeats leading zeros.
    text: String,
    parts: Vec<u32>,
}

impl FromStr for DriverVersion {
    type Err = VersionMalformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = VersionMalformed("550.90.07");
        let part = |digits: &str| {
            let plausible = (1..=DRIVER_PART_DIGITS_MAX).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            plausible
                .then(|| digits.parse().ok())
                .flatten()
                .ok_or(malformed)
        };
        let parts: Vec<u32> = text.split('.').map(part).collect::<Result<_, _>>()?;
        if !(2..=DRIVER_PARTS_MAX).contains(&parts.len()) {
            return Err(malformed);
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl DriverVersion {
    /// The numbers between the dots, which versions are ordered by.
    pub(crate) fn parts(&self) -> &[u32] {
        &self.parts
    }
}

impl PartialEq for DriverVersion {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for DriverVersion {}

impl PartialOrd for DriverVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DriverVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts.cmp(&other.parts)
    }
}

/// A VBIOS's version: five bytes, written `96.00.9F.00.01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VbiosVersion(pub [u8; 5]);

impl VbiosVersion {
    /// As it stands in a manifest's identifier: `96009F0001`.
    #[must_use]
    pub fn digits(&self) -> String {
        hex::encode_upper(self.0)
    }
}

impl fmt::Display for VbiosVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(formatter, "{first:02X}")?;
        rest.iter()
            .try_for_each(|byte| write!(formatter, ".{byte:02X}"))
    }
}

impl FromStr for VbiosVersion {
    type Err = VersionMalformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = VersionMalformed("96.00.9F.00.01");
        let mut parts = text.split('.');
        let mut version = [0; 5];
        for byte in &mut version {
            let part = parts.next().ok_or(malformed)?;
            hex::decode_to_slice(part, std::slice::from_mut(byte)).map_err(|_| malformed)?;
        }
        if parts.next().is_some() {
            return Err(malformed);
        }
        Ok(Self(version))
    }
}

macro_rules! serde_as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(de::Error::custom)
            }
        }
    };
}

serde_as_text!(DriverVersion);
serde_as_text!(VbiosVersion);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_versions_are_ordered_as_numbers() {
        let ordered = [
            "535.86.09",
            "550.9",
            "550.54.15",
            "550.90.07",
            "550.144.03",
            "590.12",
        ];
        let versions: Vec<DriverVersion> =
            ordered.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted_by(|a, b| a < b));
        assert_eq!(versions[3].to_string(), "550.90.07", "leading zeros stay");
        assert_eq!("550.90.7".parse(), Ok(versions[3].clone()));
    }

    #[test]
    fn nonsense_is_no_driver_version() {
        for text in [
            "",
            "550",
            "550.",
            ".90",
            "550.90.07.1.1",
            "550.+9",
            "550.9a",
            "550.1234567",
            "550 .1",
        ] {
            assert!(text.parse::<DriverVersion>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn vbios_versions_are_ordered_and_written_in_hexadecimal() {
        let version: VbiosVersion = "96.00.9F.00.01".parse().unwrap();
        assert_eq!(version, VbiosVersion([0x96, 0, 0x9f, 0, 1]));
        assert_eq!(version.to_string(), "96.00.9F.00.01");
        assert_eq!(version.digits(), "96009F0001");
        assert!(version > "96.00.5E.00.01".parse().unwrap());
        assert!(version < "96.00.CF.00.00".parse().unwrap());
        let json = serde_json::to_string(&version).unwrap();
        assert_eq!(
            serde_json::from_str::<VbiosVersion>(&json).unwrap(),
            version
        );
    }

    #[test]
    fn nonsense_is_no_vbios_version() {
        for text in [
            "",
            "96.00.9F.00",
            "96.00.9F.00.01.02",
            "96.0.9F.00.01",
            "96.00.9G.00.01",
            "96009F0001",
        ] {
            assert!(text.parse::<VbiosVersion>().is_err(), "{text:?}");
        }
    }
}
