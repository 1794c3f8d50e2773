//! Tests of the opaque data: both layouts, and each refusal by name.

use proptest::prelude::*;

use super::*;
use crate::gpu::forge;

/// The headed layout: magic, profile, major, minor and two bytes more, then fields with types.
fn headed(profile: u16, major: u8) -> Vec<u8> {
    [
        MAGIC,
        &profile.to_le_bytes(),
        &[major, 0, 0, 0],
        &[3, 0, 0x87, 0, 6, 0],
        b"590.12",
    ]
    .concat()
}

#[test]
fn both_layouts_are_read() {
    let plain = OpaqueData::parse(&forge::opaque(&[(3, b"590.12\0".to_vec())])).unwrap();
    let headed = OpaqueData::parse(&headed(PROFILE, 2)).unwrap();
    for opaque in [plain, headed] {
        assert_eq!(opaque.text(3), Ok(Some("590.12")));
        assert_eq!(opaque.text(4), Ok(None));
    }
    assert_eq!(OpaqueData::parse(b"").unwrap().fields, BTreeMap::new());
}

#[test]
fn unknown_fields_are_kept() {
    let opaque = OpaqueData::parse(&forge::opaque(&[(777, vec![1, 2])])).unwrap();
    assert_eq!(opaque.bytes(777), Some(&[1, 2][..]));
    assert_eq!(opaque.into_fields(), BTreeMap::from([(777, vec![1, 2])]));
}

#[test]
fn unknown_layouts_are_refused() {
    assert_eq!(
        OpaqueData::parse(&headed(1, 1)),
        Err(OpaqueError::Profile(1))
    );
    assert_eq!(
        OpaqueData::parse(&headed(PROFILE, 3)),
        Err(OpaqueError::Version(3))
    );
    let newer = forge::opaque(&[(field::DATA_VERSION, vec![3, 0])]);
    assert_eq!(OpaqueData::parse(&newer), Err(OpaqueError::Version(3)));
}

#[test]
fn a_field_is_there_once_and_whole() {
    let twice = forge::opaque(&[(3, vec![1]), (3, vec![1])]);
    assert_eq!(OpaqueData::parse(&twice), Err(OpaqueError::Repeated(3)));
    let one = forge::opaque(&[(3, vec![1, 2])]);
    for length in 1..one.len() {
        let cut = OpaqueData::parse(&one[..length]);
        assert!(matches!(cut, Err(OpaqueError::CutShort(_))), "{length}");
    }
}

#[test]
fn values_are_of_their_kind() {
    let fields = [
        (1, vec![]),
        (2, vec![0; 9]),
        (3, b"550 90".to_vec()),
        (4, vec![0xff]),
        (5, vec![0, 0]),
        (6, vec![1, 2]),
    ];
    let opaque = OpaqueData::parse(&forge::opaque(&fields)).unwrap();
    for number in [1, 2] {
        assert_eq!(opaque.number(number), Err(OpaqueError::Malformed(number)));
    }
    for number in [3, 4, 5] {
        assert_eq!(opaque.text(number), Err(OpaqueError::Malformed(number)));
    }
    assert_eq!(opaque.array::<3>(6), Err(OpaqueError::Malformed(6)));
    assert_eq!(opaque.array(6), Ok(Some([1, 2])));
    assert_eq!(opaque.number(6), Ok(Some(0x0201)));
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), headed: bool) {
        let bytes = if headed { [MAGIC, &[0, 0], &bytes].concat() } else { bytes };
        if let Ok(opaque) = OpaqueData::parse(&bytes) {
            for number in opaque.fields.keys() {
                let _ = (opaque.number(*number), opaque.text(*number), opaque.array::<8>(*number));
            }
        }
    }
}
