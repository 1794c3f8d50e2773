//! One entry of a log: which register it extended, by what, and what the log says it was.

use std::fmt;

use super::subject::Variable;
use crate::{Measurement, digest::sha384};

/// A register that a log entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Register {
    /// The measurement of the TD as built. Nothing extends it after that, so an entry that names it explains nothing.
    Mrtd,
    /// Run-time measurement register 0: firmware configuration.
    Rtmr0,
    /// Run-time measurement register 1: boot loaders and kernel.
    Rtmr1,
    /// Run-time measurement register 2: command line and initrd.
    Rtmr2,
    /// Run-time measurement register 3: what user space measured.
    Rtmr3,
}

impl Register {
    /// The four that are extended at run time, in their order.
    pub const RTMRS: [Self; 4] = [Self::Rtmr0, Self::Rtmr1, Self::Rtmr2, Self::Rtmr3];

    /// The register of an MR index of the UEFI specification (section 38.4.1: 0 is MRTD, 1 to 4 are RTMR0 to RTMR3).
    pub(super) fn from_mr_index(index: u32) -> Option<Self> {
        match index {
            0 => Some(Self::Mrtd),
            1 => Some(Self::Rtmr0),
            2 => Some(Self::Rtmr1),
            3 => Some(Self::Rtmr2),
            4 => Some(Self::Rtmr3),
            _ => None,
        }
    }

    /// `MRTD`, or `RTMR0` to `RTMR3`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mrtd => "MRTD",
            Self::Rtmr0 => "RTMR0",
            Self::Rtmr1 => "RTMR1",
            Self::Rtmr2 => "RTMR2",
            Self::Rtmr3 => "RTMR3",
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The register that it extended.
    pub register: Register,
    /// What it was extended by.
    pub digest: Measurement,
    /// What the log says was measured. Only as true as [`Event::coverage`] says.
    pub content: Content,
}

/// What an entry says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An entry of firmware, boot loader or kernel, as the TCG specifications lay it out.
    Firmware {
        /// Its type.
        event_type: EventType,
        /// Its event field.
        data: Vec<u8>,
    },
    /// An event that user space measured.
    RunTime {
        /// Its name.
        name: String,
        /// Its payload.
        payload: Vec<u8>,
    },
}

/// How far an event's digest vouches for its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// The digest is that of the content.
    Content,
    /// The digest is that of the UEFI variable's value; its name is only said.
    VariableValue,
    /// The digest is of something that is not in the log; whoever wrote the log may say what he likes of it.
    Nothing,
}

impl Event {
    /// Whether a register was extended by it: `EV_NO_ACTION` only informs, and nothing extends MRTD.
    #[must_use]
    pub fn extends(&self) -> bool {
        self.register != Register::Mrtd && self.event_type() != Some(EventType::NO_ACTION)
    }

    /// How far the digest vouches for the content.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let Content::Firmware { data, .. } = &self.content else {
            return Coverage::Content;
        };
        if sha384(&[data]) == self.digest.0 {
            return Coverage::Content;
        }
        match self.variable() {
            Some(variable) if sha384(&[variable.value]) == self.digest.0 => Coverage::VariableValue,
            _ => Coverage::Nothing,
        }
    }

    /// The name of the UEFI variable that was measured, escaped.
    pub(super) fn variable_name(&self) -> Option<String> {
        self.variable().map(|variable| variable.name)
    }

    fn variable(&self) -> Option<Variable<'_>> {
        match &self.content {
            Content::Firmware { event_type, data } if event_type.is_variable() => {
                Variable::parse(data)
            }
            _ => None,
        }
    }

    /// The type of an event of firmware, boot loader or kernel.
    #[must_use]
    pub fn event_type(&self) -> Option<EventType> {
        match &self.content {
            Content::Firmware { event_type, .. } => Some(*event_type),
            Content::RunTime { .. } => None,
        }
    }

    /// The type's name, as the TCG specifications spell it; `run-time event` for one of user space.
    #[must_use]
    pub fn type_name(&self) -> String {
        self.event_type().map_or_else(
            || "run-time event".to_owned(),
            |event_type| event_type.to_string(),
        )
    }
}

/// An event type of the *TCG PC Client Platform Firmware Profile*, table 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventType(pub u32);

macro_rules! event_types {
    ($($constant:ident = $number:literal;)*) => {
        impl EventType {
            $(#[doc = concat!("`EV_", stringify!($constant), "`.")]
            pub const $constant: Self = Self($number);)*

            const NAMES: &[(Self, &str)] = &[$((Self::$constant, concat!("EV_", stringify!($constant))),)*];
        }
    };
}

event_types! {
    PREBOOT_CERT = 0x0;
    POST_CODE = 0x1;
    NO_ACTION = 0x3;
    SEPARATOR = 0x4;
    ACTION = 0x5;
    EVENT_TAG = 0x6;
    S_CRTM_CONTENTS = 0x7;
    S_CRTM_VERSION = 0x8;
    CPU_MICROCODE = 0x9;
    PLATFORM_CONFIG_FLAGS = 0xa;
    TABLE_OF_DEVICES = 0xb;
    COMPACT_HASH = 0xc;
    IPL = 0xd;
    IPL_PARTITION_DATA = 0xe;
    NONHOST_CODE = 0xf;
    NONHOST_CONFIG = 0x10;
    NONHOST_INFO = 0x11;
    OMIT_BOOT_DEVICE_EVENTS = 0x12;
    POST_CODE2 = 0x13;
    EFI_VARIABLE_DRIVER_CONFIG = 0x8000_0001;
    EFI_VARIABLE_BOOT = 0x8000_0002;
    EFI_BOOT_SERVICES_APPLICATION = 0x8000_0003;
    EFI_BOOT_SERVICES_DRIVER = 0x8000_0004;
    EFI_RUNTIME_SERVICES_DRIVER = 0x8000_0005;
    EFI_GPT_EVENT = 0x8000_0006;
    EFI_ACTION = 0x8000_0007;
    EFI_PLATFORM_FIRMWARE_BLOB = 0x8000_0008;
    EFI_HANDOFF_TABLES = 0x8000_0009;
    EFI_PLATFORM_FIRMWARE_BLOB2 = 0x8000_000a;
    EFI_HANDOFF_TABLES2 = 0x8000_000b;
    EFI_VARIABLE_BOOT2 = 0x8000_000c;
    EFI_GPT_EVENT2 = 0x8000_000d;
    EFI_HCRTM_EVENT = 0x8000_0010;
    EFI_VARIABLE_AUTHORITY = 0x8000_00e0;
    EFI_SPDM_FIRMWARE_BLOB = 0x8000_00e1;
    EFI_SPDM_FIRMWARE_CONFIG = 0x8000_00e2;
}

impl EventType {
    /// Whether the event field is a `UEFI_VARIABLE_DATA`.
    pub(super) const fn is_variable(self) -> bool {
        matches!(
            self,
            Self::EFI_VARIABLE_DRIVER_CONFIG
                | Self::EFI_VARIABLE_BOOT
                | Self::EFI_VARIABLE_BOOT2
                | Self::EFI_VARIABLE_AUTHORITY
        )
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(known, _)| known == self) {
            Some((_, name)) => formatter.write_str(name),
            None => write!(formatter, "type {:#x}", self.0),
        }
    }
}
