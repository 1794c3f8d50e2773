//! A forged event log: what OVMF, systemd-boot's stub, the kernel and a boot image's init would have measured.
//!
//! The log is made first, and the TD's registers are what it replays to, so that a quote and its log agree as on a real
//! machine. It is a function of the seed alone: machines of one seed boot the same image on the same shape of VM.

use attestation::event_log::{Ccel, EventLog, EventType, RunTimeEvent, RunTimeLog};
use ring::digest;

use crate::{keys::Seed, quote::sized};

/// What OVMF reserves for its log, filled with `0xff`.
const AREA_BYTES: usize = 64 * 1024;
/// `TPM_ALG_SHA384`.
const ALGORITHM_SHA384: u16 = 0x000c;
/// The GUID of `EFI_GLOBAL_VARIABLE`, as it lies in memory.
const GLOBAL_VARIABLE: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];
/// The Linux EFI stub's tag of the initrd.
const TAG_INITRD: u32 = 0x8f3b_22ec;

/// An entry: MR index, type, what the digest is of, and the event field.
struct Entry {
    index: u32,
    event_type: EventType,
    measured: Vec<u8>,
    data: Vec<u8>,
}

impl Entry {
    fn new(index: u32, event_type: EventType, measured: Vec<u8>, data: Vec<u8>) -> Self {
        Self {
            index,
            event_type,
            measured,
            data,
        }
    }

    /// Whose digest is that of its event field.
    fn said(index: u32, event_type: EventType, data: &[u8]) -> Self {
        Self::new(index, event_type, data.to_vec(), data.to_vec())
    }
}

/// The log's area as Linux shows it, padding and all.
pub(crate) fn ccel_area(seed: Seed) -> Vec<u8> {
    let mut area = spec_id_event();
    for entry in entries(seed) {
        area.extend(entry.index.to_le_bytes());
        area.extend(entry.event_type.0.to_le_bytes());
        area.extend(1_u32.to_le_bytes());
        area.extend(ALGORITHM_SHA384.to_le_bytes());
        area.extend(sha384(&[&entry.measured]));
        area.extend(sized(&entry.data));
    }
    area.resize(AREA_BYTES, 0xff);
    area
}

/// The boot image's events, the closing one last.
pub(crate) fn run_time_log(seed: Seed) -> RunTimeLog {
    let configuration: [u8; 48] = seed.bytes("configuration");
    let events = [
        RunTimeEvent::new("cocoon:configuration", configuration),
        Ok(RunTimeEvent::closing()),
    ];
    match events
        .into_iter()
        .collect::<Result<_, _>>()
        .and_then(RunTimeLog::new)
    {
        Ok(log) => log,
        Err(error) => unreachable!("two short events: {error}"),
    }
}

/// Both logs.
pub(crate) fn event_log(seed: Seed) -> EventLog {
    match Ccel::parse(&ccel_area(seed)) {
        Ok(ccel) => EventLog {
            ccel,
            run_time: run_time_log(seed),
        },
        Err(error) => unreachable!("the forged log parses: {error}"),
    }
}

/// The registers as the TDX module would have extended them, one measurement after another.
pub(crate) fn rtmrs(seed: Seed) -> [[u8; 48]; 4] {
    let firmware: Vec<(u32, [u8; 48])> = entries(seed)
        .iter()
        .map(|entry| (entry.index, sha384(&[&entry.measured])))
        .collect();
    let run_time = run_time_log(seed);
    let run_time = run_time.events().iter().map(|event| (4, event.digest().0));
    let extended: Vec<(u32, [u8; 48])> = firmware.into_iter().chain(run_time).collect();
    [1, 2, 3, 4].map(|register| {
        extended
            .iter()
            .filter(|(index, _)| *index == register)
            .fold([0; 48], |value, (_, digest)| sha384(&[&value, digest]))
    })
}

/// A boot of a unified kernel image, in short.
fn entries(seed: Seed) -> Vec<Entry> {
    let secret = |label: &str| seed.bytes::<48>(label).to_vec();
    let boot_order = [1, 0, 0, 0];
    vec![
        Entry::new(
            1,
            EventType::EFI_HANDOFF_TABLES2,
            secret("TD HOB"),
            named(b"TdxTable\0"),
        ),
        Entry::new(
            1,
            EventType::EFI_PLATFORM_FIRMWARE_BLOB2,
            secret("CFV"),
            named(b"Fv(SIMULATED)"),
        ),
        Entry::said(
            1,
            EventType::EFI_VARIABLE_DRIVER_CONFIG,
            &variable("SecureBoot", &[0]),
        ),
        Entry::new(
            1,
            EventType::PLATFORM_CONFIG_FLAGS,
            secret("ACPI tables"),
            b"ACPI DATA".to_vec(),
        ),
        Entry::new(
            1,
            EventType::EFI_VARIABLE_BOOT,
            boot_order.to_vec(),
            variable("BootOrder", &boot_order),
        ),
        Entry::said(
            2,
            EventType::EFI_ACTION,
            b"Calling EFI Application from Boot Option",
        ),
        Entry::said(2, EventType::SEPARATOR, &[0; 4]),
        Entry::new(
            2,
            EventType::EFI_BOOT_SERVICES_APPLICATION,
            secret("UKI"),
            image_load(),
        ),
        Entry::new(
            3,
            EventType::IPL,
            secret("command line"),
            utf16(".cmdline\0"),
        ),
        Entry::new(3, EventType::EVENT_TAG, secret("initrd"), initrd()),
        Entry::said(2, EventType::EFI_ACTION, b"Exit Boot Services Invocation"),
        Entry::said(
            2,
            EventType::EFI_ACTION,
            b"Exit Boot Services Returned with Success",
        ),
    ]
}

/// A `TCG_PCR_EVENT` that says which digests the entries have.
fn spec_id_event() -> Vec<u8> {
    let mut data = b"Spec ID Event03\0".to_vec();
    data.extend([0; 4]); // platform class: client
    data.extend([0, 2, 0, 2]); // version 2.00, errata 0, 64 bits
    data.extend(1_u32.to_le_bytes());
    data.extend(ALGORITHM_SHA384.to_le_bytes());
    data.extend(48_u16.to_le_bytes());
    data.push(0); // no vendor's information
    let mut event = 1_u32.to_le_bytes().to_vec();
    event.extend(EventType::NO_ACTION.0.to_le_bytes());
    event.extend([0; 20]);
    event.extend(sized(&data));
    event
}

/// A `UEFI_PLATFORM_FIRMWARE_BLOB2` or `UEFI_HANDOFF_TABLE_POINTERS2`: a name, and two numbers that nobody reads.
fn named(name: &[u8]) -> Vec<u8> {
    let bytes = u8::try_from(name.len()).unwrap_or(u8::MAX);
    [&[bytes], name, &[0; 16]].concat()
}

/// A `UEFI_VARIABLE_DATA`.
fn variable(name: &str, value: &[u8]) -> Vec<u8> {
    let mut data = GLOBAL_VARIABLE.to_vec();
    data.extend(length_u64(name.len()));
    data.extend(length_u64(value.len()));
    data.extend(utf16(name));
    data.extend(value);
    data
}

/// A `UEFI_IMAGE_LOAD_EVENT` whose device path is one file.
fn image_load() -> Vec<u8> {
    let path = utf16("\\EFI\\BOOT\\BOOTX64.EFI\0");
    let mut node = vec![4, 4];
    node.extend(
        u16::try_from(path.len().saturating_add(4))
            .unwrap_or(u16::MAX)
            .to_le_bytes(),
    );
    node.extend(path);
    let mut data = 0x7000_0000_u64.to_le_bytes().to_vec();
    data.extend(20_447_232_u64.to_le_bytes());
    data.extend(0_u64.to_le_bytes());
    data.extend(length_u64(node.len()));
    data.extend(node);
    data
}

/// A `TCG_PCClientTaggedEvent` of the Linux EFI stub.
fn initrd() -> Vec<u8> {
    let mut data = TAG_INITRD.to_le_bytes().to_vec();
    data.extend(sized(b"Linux initrd\0"));
    data
}

fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    let digest = digest::digest(&digest::SHA384, &parts.concat());
    let mut bytes = [0; 48];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn length_u64(length: usize) -> [u8; 8] {
    u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes()
}
