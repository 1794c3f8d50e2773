//! Reading event fields. They are untrusted and mostly vouched for by nothing; one that does not parse is shown as it is.

use super::Subject;
use crate::{
    cursor::Cursor,
    event_log::{Content, Event, EventLogError, EventType},
};

/// A kernel's command line has at most 4096 characters on most machines; longer texts are cut.
const TEXT_CHARACTERS_MAX: usize = 4096;
/// As much of unreadable bytes as fits a line.
const HEXADECIMAL_BYTES_MAX: usize = 24;
/// Real device paths have a handful of nodes.
const DEVICE_PATH_NODES_COUNT_MAX: usize = 64;

/// The Linux EFI stub's tags (`drivers/firmware/efi/libstub/efistub.h`).
const TAG_INITRD: u32 = 0x8f3b_22ec;
const TAG_LOAD_OPTIONS: u32 = 0x8f3b_22ed;

/// `EFI_DEVICE_PATH_PROTOCOL`: a file's path.
const NODE_MEDIA_FILE_PATH: (u8, u8) = (4, 4);

pub(super) fn subject(event: &Event) -> Subject {
    match &event.content {
        Content::RunTime { name, payload } => Subject::RunTime(run_time(name, payload)),
        Content::Firmware { event_type, data } => firmware(*event_type, data),
    }
}

/// A field that does not parse, or that whoever sent the log left out, leaves the description empty.
fn firmware(event_type: EventType, data: &[u8]) -> Subject {
    match event_type {
        EventType::EFI_HANDOFF_TABLES2 => handoff_table(named(data).unwrap_or_default()),
        EventType::EFI_HANDOFF_TABLES => Subject::HandoffTable(String::new()),
        EventType::EFI_PLATFORM_FIRMWARE_BLOB2 => firmware_blob(named(data).unwrap_or_default()),
        EventType::EFI_PLATFORM_FIRMWARE_BLOB => Subject::FirmwareVolume(String::new()),
        EventType::EFI_VARIABLE_DRIVER_CONFIG => Subject::SecureBoot(variable(data)),
        EventType::EFI_VARIABLE_AUTHORITY => Subject::Authority(variable(data)),
        EventType::EFI_VARIABLE_BOOT | EventType::EFI_VARIABLE_BOOT2 => {
            Subject::BootOption(variable(data))
        }
        EventType::EFI_BOOT_SERVICES_APPLICATION
        | EventType::EFI_BOOT_SERVICES_DRIVER
        | EventType::EFI_RUNTIME_SERVICES_DRIVER => {
            Subject::Executable(image_load(data).unwrap_or_default())
        }
        EventType::EFI_GPT_EVENT | EventType::EFI_GPT_EVENT2 => {
            Subject::PartitionTable(partition_table(data).unwrap_or_default())
        }
        EventType::EFI_ACTION | EventType::ACTION => Subject::Action(text(data)),
        EventType::SEPARATOR => Subject::Separator(hexadecimal(data)),
        EventType::PLATFORM_CONFIG_FLAGS | EventType::POST_CODE | EventType::POST_CODE2 => {
            vmm_input(data)
        }
        EventType::EVENT_TAG => tagged(data).unwrap_or_else(|_| Subject::Other(hexadecimal(data))),
        EventType::IPL => loader(text(data)),
        _ => Subject::Other(text(data)),
    }
}

/// A `UEFI_VARIABLE_DATA`.
pub(in crate::event_log) struct Variable<'a> {
    pub(in crate::event_log) name: String,
    pub(in crate::event_log) value: &'a [u8],
}

impl<'a> Variable<'a> {
    pub(in crate::event_log) fn parse(data: &'a [u8]) -> Option<Self> {
        Self::read(&mut Cursor::new(data)).ok()
    }

    fn read(cursor: &mut Cursor<'a>) -> Result<Self, EventLogError> {
        cursor.take(16, "a variable's GUID")?;
        let name_characters = length(cursor.u64("a variable's name")?);
        let value_bytes = length(cursor.u64("a variable's value")?);
        let name = cursor.take(name_characters.saturating_mul(2), "a variable's name")?;
        Ok(Self {
            name: escaped(&utf16(name)),
            value: cursor.take(value_bytes, "a variable's value")?,
        })
    }
}

fn variable(data: &[u8]) -> String {
    let Some(Variable { name, value }) = Variable::parse(data) else {
        return hexadecimal(data);
    };
    if name == "BootOrder" {
        let (options, _) = value.as_chunks::<2>();
        let options: Vec<String> = options
            .iter()
            .map(|option| format!("{:04X}", u16::from_le_bytes(*option)))
            .collect();
        return format!("{name} {}", options.join(","));
    }
    match (name.as_str(), value) {
        (_, []) => format!("{name}, empty"),
        ("SecureBoot", [0]) => format!("{name} is off"),
        ("SecureBoot", [1]) => format!("{name} is on"),
        _ if name.starts_with("Boot") => format!("{name} {}", load_option(value)),
        _ => format!("{name}, {} bytes", value.len()),
    }
}

/// The description of an `EFI_LOAD_OPTION`, behind its attributes and the length of its device path.
fn load_option(value: &[u8]) -> String {
    let (_, description) = value.split_at_checked(6).unwrap_or_default();
    escaped(&utf16(description))
}

/// The name of a `UEFI_PLATFORM_FIRMWARE_BLOB2` or `UEFI_HANDOFF_TABLE_POINTERS2`.
fn named(data: &[u8]) -> Result<String, EventLogError> {
    let mut cursor = Cursor::new(data);
    let bytes = cursor.u8("a name's length")?;
    Ok(text(cursor.take(usize::from(bytes), "a name")?))
}

fn handoff_table(name: String) -> Subject {
    match name.as_str() {
        "TdxTable" => Subject::MemoryLayout(name),
        _ => Subject::HandoffTable(name),
    }
}

/// td-shim measures its payload, the kernel, as a firmware blob.
fn firmware_blob(name: String) -> Subject {
    match name.as_str() {
        "td_payload" => Subject::Executable(name),
        _ => Subject::FirmwareVolume(name),
    }
}

/// A `UEFI_IMAGE_LOAD_EVENT`.
fn image_load(data: &[u8]) -> Result<String, EventLogError> {
    let mut cursor = Cursor::new(data);
    cursor.u64("an image's address")?;
    let image_bytes = cursor.u64("an image's length")?;
    cursor.u64("an image's link time")?;
    let path_bytes = length(cursor.u64("a device path's length")?);
    let path = file_path(cursor.take(path_bytes, "a device path")?);
    Ok(format!(
        "{}, {image_bytes} bytes",
        path.unwrap_or_else(|| "no file path".to_owned())
    ))
}

/// The file's path among the nodes of a device path.
fn file_path(path: &[u8]) -> Option<String> {
    let mut cursor = Cursor::new(path);
    for _ in 0..DEVICE_PATH_NODES_COUNT_MAX {
        let [kind, subkind] = *cursor.array("a node's type").ok()?;
        let bytes = cursor.u16("a node's length").ok()?;
        // The length counts the four bytes of the head.
        let body = usize::from(bytes).checked_sub(4)?;
        let body = cursor.take(body, "a node").ok()?;
        if (kind, subkind) == NODE_MEDIA_FILE_PATH {
            return Some(escaped(&utf16(body)));
        }
    }
    None
}

/// A `UEFI_GPT_DATA`: the header of 92 bytes, then the number of entries.
fn partition_table(data: &[u8]) -> Result<String, EventLogError> {
    let mut cursor = Cursor::new(data);
    cursor.take(92, "a partition table's header")?;
    let count = cursor.u64("a partition table's length")?;
    Ok(format!("{count} partitions"))
}

/// What the VMM gave to the firmware. OVMF names the three ACPI blobs alike, other clouds by their `fw_cfg` files.
fn vmm_input(data: &[u8]) -> Subject {
    let text = text(data);
    match text.as_str() {
        "td_hob" => Subject::MemoryLayout(text),
        "td_payload_info" => {
            // td-shim: the name with its zero, four bytes, the command line.
            let (_, command_line) = data.split_at_checked(20).unwrap_or_default();
            Subject::CommandLine(self::text(command_line))
        }
        _ if text == "ACPI DATA" || text.starts_with("etc/acpi/") || text == "etc/table-loader" => {
            Subject::AcpiTables(text)
        }
        _ => Subject::VmmConfiguration(text),
    }
}

/// A `TCG_PCClientTaggedEvent`.
fn tagged(data: &[u8]) -> Result<Subject, EventLogError> {
    let mut cursor = Cursor::new(data);
    let tag = cursor.u32("a tag")?;
    let text = text(cursor.sized("a tagged event's data")?);
    Ok(match tag {
        TAG_INITRD => Subject::Initrd(text),
        TAG_LOAD_OPTIONS => Subject::CommandLine(text),
        _ => Subject::Other(format!("tag {tag:#010x}, {text}")),
    })
}

/// An `EV_IPL`: a section's name (systemd-stub), or a line about a command or file (GRUB, shim).
fn loader(text: String) -> Subject {
    let after = |prefix: &str| text.strip_prefix(prefix).map(str::to_owned);
    if let Some(command_line) = after("grub_kernel_cmdline ").or_else(|| after("kernel_cmdline: "))
    {
        return Subject::CommandLine(command_line);
    }
    match text.as_str() {
        ".cmdline" => Subject::CommandLine(text),
        ".initrd" | "grub_linuxefi Initrd" => Subject::Initrd(text),
        "grub_linuxefi Kernel" => Subject::Executable(text),
        _ if text.starts_with('.') => Subject::ImageSection(text),
        _ => Subject::BootLoader(text),
    }
}

fn run_time(name: &str, payload: &[u8]) -> String {
    let name = escaped(name);
    match (payload, std::str::from_utf8(payload)) {
        ([], _) => name,
        (_, Ok(text)) if !text.contains(char::is_control) => format!("{name} {}", escaped(text)),
        _ => format!("{name} {}", hexadecimal(payload)),
    }
}

/// Text in UTF-16 or UTF-8, up to its zero; what is neither, in hexadecimal.
fn text(data: &[u8]) -> String {
    if let [first, 0, _, 0, ..] = data
        && *first != 0
    {
        return escaped(&utf16(data));
    }
    let end = data.iter().position(|&byte| byte == 0);
    let (head, _) = data
        .split_at_checked(end.unwrap_or(data.len()))
        .unwrap_or_default();
    match std::str::from_utf8(head) {
        Ok(text) if !text.is_empty() => escaped(text),
        _ => hexadecimal(data),
    }
}

/// UTF-16LE up to its zero.
fn utf16(data: &[u8]) -> String {
    let (units, _) = data.as_chunks::<2>();
    let units = units
        .iter()
        .map(|unit| u16::from_le_bytes(*unit))
        .take_while(|&unit| unit != 0);
    char::decode_utf16(units)
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Printable ASCII and no more: these texts end up in logs, tables and terminals.
fn escaped(text: &str) -> String {
    let plain = |character: char| character == ' ' || character.is_ascii_graphic();
    text.chars()
        .take(TEXT_CHARACTERS_MAX)
        .map(|character| {
            if plain(character) {
                character.to_string()
            } else {
                character.escape_unicode().to_string()
            }
        })
        .collect()
}

fn hexadecimal(data: &[u8]) -> String {
    match data.split_at_checked(HEXADECIMAL_BYTES_MAX) {
        Some((head, [_, ..])) => format!("{}... ({} bytes)", hex::encode(head), data.len()),
        _ => hex::encode(data),
    }
}

/// A length that no address space holds is longer than what is there, and is refused where it is used.
fn length(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
