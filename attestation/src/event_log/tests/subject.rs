//! Tests of what an event is said to be about.

use super::*;

fn subject(event_type: EventType, data: &[u8]) -> String {
    Subject::of(&event(Register::Rtmr0, event_type, 0, data)).to_string()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn variable(name: &str, value: &[u8]) -> Vec<u8> {
    let mut data = vec![0; 16];
    data.extend(u64::try_from(name.len()).unwrap().to_le_bytes());
    data.extend(u64::try_from(value.len()).unwrap().to_le_bytes());
    data.extend(utf16(name));
    data.extend(value);
    data
}

fn tagged(tag: u32, data: &[u8]) -> Vec<u8> {
    let mut event = tag.to_le_bytes().to_vec();
    event.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    event.extend(data);
    event
}

#[test]
fn variables_are_shown_with_what_they_say() {
    let secure_boot = EventType::EFI_VARIABLE_DRIVER_CONFIG;
    for (event_type, name, value, wanted) in [
        (
            secure_boot,
            "SecureBoot",
            &[1][..],
            "Secure Boot: SecureBoot is on",
        ),
        (secure_boot, "PK", &[], "Secure Boot: PK, empty"),
        (
            EventType::EFI_VARIABLE_AUTHORITY,
            "db",
            &[1, 2],
            "authority: db, 2 bytes",
        ),
        (
            EventType::EFI_VARIABLE_BOOT,
            "BootOrder",
            &[1, 0, 0x0a, 0],
            "boot option: BootOrder 0001,000A",
        ),
        (
            EventType::EFI_VARIABLE_BOOT2,
            "Boot0001",
            b"\0\0\0\0\x04\0U\0i\0\0\0",
            "boot option: Boot0001 Ui",
        ),
    ] {
        assert_eq!(subject(event_type, &variable(name, value)), wanted);
    }
}

#[test]
fn firmware_blobs_and_tables_are_named() {
    let named = |name: &[u8]| [&[u8::try_from(name.len()).unwrap()], name, &[0; 16]].concat();
    assert_eq!(
        subject(EventType::EFI_HANDOFF_TABLES2, &named(b"TdxTable\0")),
        "TD HOB: TdxTable"
    );
    assert_eq!(
        subject(EventType::EFI_HANDOFF_TABLES2, &named(b"SMBIOS\0")),
        "configuration table: SMBIOS"
    );
    assert_eq!(
        subject(EventType::EFI_PLATFORM_FIRMWARE_BLOB2, &named(b"Fv(X)")),
        "firmware volume: Fv(X)"
    );
    assert_eq!(
        subject(EventType::PLATFORM_CONFIG_FLAGS, b"ACPI DATA"),
        "ACPI tables: ACPI DATA"
    );
    assert_eq!(
        subject(EventType::SEPARATOR, &[0; 4]),
        "separator: 00000000"
    );
}

#[test]
fn an_executable_is_shown_by_its_path() {
    let path = utf16("\\EFI\\BOOT\\BOOTX64.EFI\0");
    let mut nodes = vec![1, 1, 6, 0, 0, 3];
    nodes.extend([4, 4]);
    nodes.extend(u16::try_from(path.len() + 4).unwrap().to_le_bytes());
    nodes.extend(path);
    let mut data = Vec::new();
    for number in [0x1000, 4096, 0, u64::try_from(nodes.len()).unwrap()] {
        data.extend(number.to_le_bytes());
    }
    data.extend(nodes);
    assert_eq!(
        subject(EventType::EFI_BOOT_SERVICES_APPLICATION, &data),
        "executable: \\EFI\\BOOT\\BOOTX64.EFI, 4096 bytes"
    );
}

#[test]
fn command_lines_and_initrds_are_found_wherever_they_are_measured() {
    for (event_type, data, wanted) in [
        (
            EventType::EVENT_TAG,
            tagged(0x8f3b_22ed, b"LOADED_IMAGE::LoadOptions\0"),
            "command line: LOADED_IMAGE::LoadOptions",
        ),
        (
            EventType::EVENT_TAG,
            tagged(0x8f3b_22ec, b"Linux initrd\0"),
            "initrd: Linux initrd",
        ),
        (
            EventType::EVENT_TAG,
            tagged(7, b"x"),
            "other: tag 0x00000007, x",
        ),
        (EventType::IPL, utf16(".initrd\0"), "initrd: .initrd"),
        (EventType::IPL, utf16(".linux\0"), "image section: .linux"),
        (
            EventType::IPL,
            b"grub_kernel_cmdline (hd0)/vmlinuz ro\0".to_vec(),
            "command line: (hd0)/vmlinuz ro",
        ),
        (
            EventType::IPL,
            b"grub_cmd [  ]\0`".to_vec(),
            "boot loader: grub_cmd [  ]",
        ),
    ] {
        assert_eq!(subject(event_type, &data), wanted);
    }
}

#[test]
fn no_text_of_a_log_can_move_the_cursor_of_a_terminal() {
    let shown = subject(EventType::EFI_ACTION, "ok\u{1b}[2J\r\n\u{202e}".as_bytes());
    assert_eq!(shown, "action: ok\\u{1b}[2J\\u{d}\\u{a}\\u{202e}");
    let run_time = RunTimeEvent::new("a", b"x\ny".to_vec()).unwrap();
    assert_eq!(
        Subject::of(&Event::from(&run_time)).to_string(),
        "run time: a 780a79"
    );
}

/// The type still says what kind of thing was measured; long texts are cut.
#[test]
fn fields_that_do_not_parse_or_were_left_out_are_known_by_their_type() {
    for (event_type, wanted) in [
        (EventType::EFI_HANDOFF_TABLES2, "configuration table"),
        (EventType::EFI_PLATFORM_FIRMWARE_BLOB2, "firmware volume"),
        (EventType::EFI_BOOT_SERVICES_APPLICATION, "executable"),
        (EventType::EFI_GPT_EVENT, "partition table"),
    ] {
        assert_eq!(subject(event_type, &[0xff, 1]), wanted);
        assert_eq!(subject(event_type, &[]), wanted);
    }
    assert_eq!(subject(EventType::EVENT_TAG, &[0xff, 1]), "other: ff01");
    assert_eq!(
        subject(EventType::EFI_VARIABLE_BOOT, &[0xff; 30]),
        format!("boot option: {}... (30 bytes)", "ff".repeat(24))
    );
    assert!(subject(EventType::IPL, &[b'a'; 10_000]).len() < 5_000);
    assert_eq!(EventType(0x1234).to_string(), "type 0x1234");
    assert_eq!(EventType::IPL.to_string(), "EV_IPL");
}
