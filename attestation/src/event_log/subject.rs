//! What an event is about, in words, and what it means when that differs.
//!
//! Which input moves which event was measured: OVMF booted with one input changed after another (memory, vCPUs, devices,
//! firmware, machine version), directly and from a unified kernel image.

mod parse;

use std::fmt;

use super::Event;
pub(super) use parse::Variable;

/// What was measured. Texts come from the log and are escaped: no control character, ASCII alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The TD HOB: the memory map that the VMM hands to the firmware.
    MemoryLayout(String),
    /// A firmware volume; OVMF measures the one that keeps its variables (CFV).
    FirmwareVolume(String),
    /// A variable of Secure Boot: its state or its keys.
    SecureBoot(String),
    /// What vouched for an image: a key of Secure Boot or shim's state.
    Authority(String),
    /// A boot option or their order.
    BootOption(String),
    /// The ACPI tables that the VMM made.
    AcpiTables(String),
    /// SMBIOS or another table handed on by the firmware.
    HandoffTable(String),
    /// Another input that the VMM gave to the firmware.
    VmmConfiguration(String),
    /// Zero where the firmware hands over in order.
    Separator(String),
    /// An EFI executable: boot loader, kernel or unified kernel image.
    Executable(String),
    /// The boot disk's partition table.
    PartitionTable(String),
    /// The firmware says what it does.
    Action(String),
    /// The kernel's command line.
    CommandLine(String),
    /// The initrd.
    Initrd(String),
    /// A section of a unified kernel image.
    ImageSection(String),
    /// A command, file or variable of the boot loader.
    BootLoader(String),
    /// What user space measured, by its name.
    RunTime(String),
    /// Anything else.
    Other(String),
}

impl Subject {
    /// What the event is about.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        parse::subject(event)
    }

    /// What most likely changed where this event differs from a reference.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::MemoryLayout(_) => {
                "the TD has another memory size, or the firmware another memory layout"
            }
            Self::FirmwareVolume(_) => {
                "another firmware file, or other keys enrolled in its variable store (CFV)"
            }
            Self::SecureBoot(_) => "Secure Boot is in another state, or has other keys enrolled",
            Self::Authority(_) => {
                "an image was signed by another key, or shim's own state (SBAT level, MOK list) differs"
            }
            Self::BootOption(_) => {
                "other boot options or another order: the boot disk's slot, or another firmware release"
            }
            Self::AcpiTables(_) => {
                "the VMM made other ACPI tables: vCPU count, PCI devices and their BARs (GPUs), HPET or PIC, or the \
                 QEMU release; memory size too, but then the TD HOB differs first"
            }
            Self::HandoffTable(_) => {
                "other SMBIOS or configuration tables: another firmware or VMM"
            }
            Self::VmmConfiguration(_) => "the VMM gave the firmware other configuration",
            Self::Separator(_) => "the firmware reported an error before it handed over",
            Self::Executable(_) => "another kernel, boot loader or unified kernel image",
            Self::PartitionTable(_) => "another disk image: its partition table differs",
            Self::Action(_) => {
                "the boot took another path: a boot option failed, returned or was skipped"
            }
            Self::CommandLine(_) => "another kernel command line",
            Self::Initrd(_) => "another initrd",
            Self::ImageSection(_) => "another unified kernel image: this section of it differs",
            Self::BootLoader(_) => "the boot loader ran another command, or loaded another file",
            Self::RunTime(_) => "user space measured something else under this name",
            Self::Other(_) => "unknown: no cause is known for this type of event",
        }
    }

    const fn parts(&self) -> (&'static str, &String) {
        match self {
            Self::MemoryLayout(text) => ("TD HOB", text),
            Self::FirmwareVolume(text) => ("firmware volume", text),
            Self::SecureBoot(text) => ("Secure Boot", text),
            Self::Authority(text) => ("authority", text),
            Self::BootOption(text) => ("boot option", text),
            Self::AcpiTables(text) => ("ACPI tables", text),
            Self::HandoffTable(text) => ("configuration table", text),
            Self::VmmConfiguration(text) => ("VMM configuration", text),
            Self::Separator(text) => ("separator", text),
            Self::Executable(text) => ("executable", text),
            Self::PartitionTable(text) => ("partition table", text),
            Self::Action(text) => ("action", text),
            Self::CommandLine(text) => ("command line", text),
            Self::Initrd(text) => ("initrd", text),
            Self::ImageSection(text) => ("image section", text),
            Self::BootLoader(text) => ("boot loader", text),
            Self::RunTime(text) => ("run time", text),
            Self::Other(text) => ("other", text),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = self.parts();
        if text.is_empty() {
            formatter.write_str(kind)
        } else {
            write!(formatter, "{kind}: {text}")
        }
    }
}
