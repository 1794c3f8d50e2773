//! Which devices are known here, by the name of their chip.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::DeviceKind;

/// A family of devices that report in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// GPUs with a chip `GH…`, such as H100 and H200.
    Hopper,
    /// GPUs with a chip `GB…`, such as B200.
    Blackwell,
    /// The third-generation NVSwitch.
    Ls10,
}

impl Architecture {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Hopper, Self::Blackwell, Self::Ls10];

    /// Its name in policies and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hopper => "hopper",
            Self::Blackwell => "blackwell",
            Self::Ls10 => "ls10",
        }
    }

    /// After the chip's name as the device's certificates have it: `GH100`, `GB100`, `LS_10`.
    pub(super) fn of_chip(chip: &str) -> Option<Self> {
        let family = chip.get(..2)?;
        let number = chip.get(2..)?.trim_start_matches('_');
        if number.is_empty() || !number.chars().all(|c| c.is_ascii_alphanumeric()) {
            return None;
        }
        match (family, number) {
            ("GH", _) => Some(Self::Hopper),
            ("GB", _) => Some(Self::Blackwell),
            ("LS", "10") => Some(Self::Ls10),
            _ => None,
        }
    }

    /// What such a device is.
    #[must_use]
    pub const fn kind(self) -> DeviceKind {
        match self {
            Self::Hopper | Self::Blackwell => DeviceKind::Gpu,
            Self::Ls10 => DeviceKind::NvSwitch,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that names no architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown GPU architecture")]
pub struct UnknownArchitecture;

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|architecture| architecture.as_str() == text)
            .ok_or(UnknownArchitecture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_serde() {
        for architecture in Architecture::ALL {
            assert_eq!(architecture.as_str().parse(), Ok(architecture));
            let json = serde_json::to_string(&architecture).unwrap();
            assert_eq!(json, format!("\"{architecture}\""));
        }
        assert_eq!("ampere".parse::<Architecture>(), Err(UnknownArchitecture));
    }

    #[test]
    fn chips_have_an_architecture() {
        for (chip, architecture) in [
            ("GH100", Some(Architecture::Hopper)),
            ("GB100", Some(Architecture::Blackwell)),
            ("GB202", Some(Architecture::Blackwell)),
            ("LS_10", Some(Architecture::Ls10)),
            ("LS10", Some(Architecture::Ls10)),
            ("LR10", None),
            ("GA100", None),
            ("GH", None),
            ("GH_", None),
            ("GH 100", None),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(Architecture::of_chip(chip), architecture, "{chip:?}");
        }
    }
}
