//! Tests of the device evidence: one encoding, and each refusal by name.

use proptest::prelude::*;

use super::*;

fn report() -> DeviceReport {
    DeviceReport {
        kind: DeviceKind::Gpu,
        uuid: "GPU-1".into(),
        report: vec![1; 40],
        certificates: vec![vec![2; 30], vec![3; 20]],
        ocsp_responses: vec![vec![4; 10]],
        mode: ConfidentialMode {
            feature_on: true,
            dev_tools_on: false,
            multi_gpu_mode: MultiGpuMode::ProtectedPcie,
        },
    }
}

fn evidence() -> DeviceEvidence {
    let nv_switch = DeviceReport {
        kind: DeviceKind::NvSwitch,
        uuid: "SWX-1".into(),
        ocsp_responses: Vec::new(),
        ..report()
    };
    DeviceEvidence {
        devices: vec![report(), nv_switch],
    }
}

/// The evidence with its first device changed.
fn with(change: impl FnOnce(&mut DeviceReport)) -> DeviceEvidence {
    let mut changed = evidence();
    change(&mut changed.devices[0]);
    changed
}

#[test]
fn evidence_survives_cbor() {
    let bytes = evidence().encode().unwrap();
    assert_eq!(
        bytes[..8],
        [0xa1, 0x00, 0x82, 0xa6, 0x00, 0x00, 0x01, 0x65],
        "a map of one, a list of two, a map of six, a GPU, a text of five"
    );
    assert_eq!(DeviceEvidence::decode(&bytes).unwrap(), evidence());
}

#[test]
fn lists_hold_byte_strings() {
    let bytes = evidence().encode().unwrap();
    let certificates = [&[0x03, 0x82, 0x58, 30][..], &[2; 30], &[0x54], &[3; 20]].concat();
    assert!(
        bytes
            .windows(certificates.len())
            .any(|window| window == certificates)
    );
}

#[test]
fn lax_encodings_are_refused() {
    let bytes = evidence().encode().unwrap();
    let trailing = [&bytes[..], &[0]].concat();
    // The same map with an indefinite length.
    let indefinite = [&[0xbf], &bytes[1..], &[0xff]].concat();
    // An unknown key 1 behind the known one.
    let unknown = [&[0xa2], &bytes[1..], &[0x01, 0x00]].concat();
    for lax in [trailing, indefinite, unknown] {
        assert!(matches!(
            DeviceEvidence::decode(&lax),
            Err(DeviceEvidenceError::NotDeterministic)
        ));
    }
    assert!(matches!(
        DeviceEvidence::decode(&[0xa0]),
        Err(DeviceEvidenceError::Cbor(_))
    ));
}

#[test]
fn limits_hold_both_ways() {
    let too_many = DeviceEvidence {
        devices: vec![report(); DEVICES_COUNT_MAX + 1],
    };
    let cases = [
        ("devices", too_many),
        ("uuid", with(|d| d.uuid = "G".repeat(NAME_BYTES_MAX + 1))),
        ("report", with(|d| d.report = vec![0; REPORT_BYTES_MAX + 1])),
        (
            "certificates",
            with(|d| d.certificates = vec![vec![0]; CERTIFICATES_COUNT_MAX + 1]),
        ),
        (
            "certificate",
            with(|d| d.certificates = vec![vec![0; CERTIFICATE_BYTES_MAX + 1]]),
        ),
        (
            "ocsp_responses",
            with(|d| d.ocsp_responses = vec![vec![0]; OCSP_RESPONSES_COUNT_MAX + 1]),
        ),
        (
            "ocsp_response",
            with(|d| d.ocsp_responses = vec![vec![0; OCSP_RESPONSE_BYTES_MAX + 1]]),
        ),
    ];
    for (name, case) in cases {
        for refused in [
            case.encode().map(drop),
            DeviceEvidence::decode(&case.to_cbor()).map(drop),
        ] {
            assert!(
                matches!(refused, Err(DeviceEvidenceError::Limit { field, .. }) if field == name),
                "{name}"
            );
        }
    }
}

#[test]
fn nothing_required_is_empty() {
    let cases = [
        ("devices", DeviceEvidence { devices: vec![] }),
        ("uuid", with(|d| d.uuid.clear())),
        ("report", with(|d| d.report.clear())),
        ("certificates", with(|d| d.certificates.clear())),
        ("certificate", with(|d| d.certificates[0].clear())),
        ("ocsp_response", with(|d| d.ocsp_responses[0].clear())),
    ];
    for (name, case) in cases {
        assert!(
            matches!(case.encode(), Err(DeviceEvidenceError::Empty(field)) if field == name),
            "{name}"
        );
    }
}

#[test]
fn a_uuid_is_printable() {
    for uuid in ["GPU 1", "GPU-1\n", "GPÜ-1"] {
        assert!(matches!(
            with(|d| d.uuid = uuid.into()).encode(),
            Err(DeviceEvidenceError::Uuid)
        ));
    }
}

#[test]
fn the_whole_has_a_limit() {
    let large = DeviceReport {
        report: vec![0; REPORT_BYTES_MAX],
        certificates: vec![vec![0; CERTIFICATE_BYTES_MAX]; CERTIFICATES_COUNT_MAX],
        ..report()
    };
    let whole = DeviceEvidence {
        devices: vec![large; DEVICES_COUNT_MAX],
    };
    assert!(matches!(
        whole.encode(),
        Err(DeviceEvidenceError::TooLong(_))
    ));
    assert!(matches!(
        DeviceEvidence::decode(&whole.to_cbor()),
        Err(DeviceEvidenceError::TooLong(_))
    ));
}

proptest! {
    #[test]
    fn decoding_never_panics_and_has_one_preimage(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = evidence().encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(read) = DeviceEvidence::decode(&bytes) {
            prop_assert_eq!(read.encode().unwrap(), bytes);
        }
    }
}
