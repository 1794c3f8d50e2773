//! Tests of what a device's own certificate says of the device.

use proptest::prelude::*;
use rcgen::CustomExtension;

use super::*;
use crate::gpu::forge::{self, FIRMWARE_ID, FWID_HEADER, Pki};

/// `DiceTcbInfo` with a vendor, two digests and flags.
fn tcb_info() -> Vec<u8> {
    let fwids = [FWID_HEADER, &FIRMWARE_ID, FWID_HEADER, &[0; 48]].concat();
    let elements = [
        &b"\x80\x06NVIDIA"[..],
        &[0xa6, u8::try_from(fwids.len()).unwrap()],
        &fwids,
        &[0x87, 2, 0, 0],
    ]
    .concat();
    let length = u8::try_from(elements.len()).unwrap();
    [&[0x30, 0x81, length][..], &elements].concat()
}

fn leaf(pki: &Pki) -> Certificate {
    Certificate::parse(&pki.certificates[0]).unwrap()
}

/// A leaf with this extension in place of the usual one.
fn leaf_with(id: &'static [u64], content: &[u8]) -> Certificate {
    let extension = CustomExtension::from_oid_content(id, content.to_vec());
    leaf(&Pki::with(|position, params| {
        if position == 0 {
            params.custom_extensions = vec![extension.clone()];
        }
    }))
}

fn product_of(info: &str) -> der::Result<Option<String>> {
    product(&leaf(&Pki::with(|position, params| {
        if position == 0 {
            params.subject_alt_names = vec![forge::device_info(info)];
        }
    })))
}

#[test]
fn the_firmware_id_is_read_in_both_forms() {
    assert_eq!(
        read_firmware_id(&forge::composite_device_id()),
        Ok(FIRMWARE_ID)
    );
    assert_eq!(read_firmware_id(&tcb_info()), Ok(FIRMWARE_ID));
}

#[test]
fn the_firmware_id_is_found_under_both_numbers() {
    let composite: &[u64] = forge::COMPOSITE_DEVICE_ID;
    let tcb: &[u64] = &[2, 23, 133, 5, 4, 1, 1];
    for (id, content) in [
        (composite, forge::composite_device_id()),
        (composite, tcb_info()),
        (tcb, tcb_info()),
    ] {
        let found = firmware_id(&leaf_with(id, &content));
        assert_eq!(found, Ok(Some(FIRMWARE_ID)));
    }
    let none = firmware_id(&leaf_with(&[1, 2, 3], &tcb_info()));
    assert_eq!(none, Ok(None));
}

#[test]
fn other_digests_and_shapes_are_refused() {
    let mut sha256 = forge::composite_device_id();
    let at = sha256.len() - 51;
    assert_eq!(sha256[at], 2, "the hash algorithm's last arc");
    sha256[at] = 1;
    let short = forge::sequence(
        b"\x02\x01\x01\x30\x00\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x04\x00",
    );
    let no_digests = forge::sequence(b"\x80\x06NVIDIA");
    for malformed in [sha256, short, no_digests, forge::sequence(b""), vec![4, 0]] {
        assert!(read_firmware_id(&malformed).is_err(), "{malformed:02x?}");
    }
}

#[test]
fn the_product_stands_between_manufacturer_and_serial() {
    let product = product_of("NVIDIA:LS_10:48B02D0000000001");
    assert_eq!(product, Ok(Some("LS_10".to_owned())));
    for malformed in ["NVIDIA", "NVIDIA:GH100", "NVIDIA:GH100:1:2"] {
        assert!(product_of(malformed).is_err(), "{malformed}");
    }
}

#[test]
fn a_leaf_need_not_name_a_product() {
    let unnamed = Pki::with(|_, params| params.subject_alt_names.clear());
    assert_eq!(product(&leaf(&unnamed)), Ok(None));
}

proptest! {
    #[test]
    fn no_mutation_panics(at in any::<prop::sample::Index>(), byte: u8, composite: bool) {
        let mut extension = if composite { forge::composite_device_id() } else { tcb_info() };
        let at = at.index(extension.len());
        extension[at] = byte;
        let _ = read_firmware_id(&extension);
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = read_firmware_id(&bytes);
    }
}
