//! Forges what a device sends, under a root of its own, so that tests can break one thing at a time.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SanType, SerialNumber, date_time_ymd,
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair},
};

use super::{
    CHAIN_CERTIFICATES_COUNT, ConfidentialMode, DeviceKind, DeviceReport, GpuTrustAnchor,
    MultiGpuMode, opaque::field,
};

/// 2025-10-09.
pub(super) const NOW_S: u64 = 1_760_000_000;
pub(super) const NONCE: [u8; 32] = [0x5a; 32];
/// What leaf and report say of the firmware.
pub(super) const FIRMWARE_ID: [u8; 48] = [0xf1; 48];
/// 2.23.133.5.4.1
pub(super) const COMPOSITE_DEVICE_ID: &[u64] = &[2, 23, 133, 5, 4, 1];
/// `SEQUENCE { OBJECT IDENTIFIER sha384, OCTET STRING }` of [`FIRMWARE_ID`], without its digest.
pub(super) const FWID_HEADER: &[u8] =
    b"\x30\x3d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x04\x30";

/// Five keys and certificates, from the leaf to the root.
pub(super) struct Pki {
    pub(super) keys: Vec<KeyPair>,
    pub(super) certificates: Vec<Vec<u8>>,
}

impl Pki {
    pub(super) fn new() -> Self {
        Self::with(|_, _| {})
    }

    /// The same with each certificate's parameters changed, by position.
    pub(super) fn with(change: impl Fn(usize, &mut CertificateParams)) -> Self {
        let generate = |_| KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        Self::of_keys(
            (0..CHAIN_CERTIFICATES_COUNT).map(generate).collect(),
            change,
        )
    }

    pub(super) fn of_keys(
        keys: Vec<KeyPair>,
        change: impl Fn(usize, &mut CertificateParams),
    ) -> Self {
        let all: Vec<_> = (0..keys.len())
            .map(|position| {
                let mut params = params(position);
                change(position, &mut params);
                params
            })
            .collect();
        let certificates = all.iter().enumerate().map(|(position, params)| {
            let above = (position + 1).min(keys.len() - 1);
            let issuer = Issuer::from_params(&all[above], &keys[above]);
            let certificate = params.signed_by(&keys[position], &issuer).unwrap();
            certificate.der().to_vec()
        });
        Self {
            certificates: certificates.collect(),
            keys,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "tests choose their root")]
    pub(super) fn anchor(&self) -> GpuTrustAnchor {
        let root = self.certificates.last().unwrap();
        GpuTrustAnchor::from_der(root, root).unwrap()
    }

    /// A GPU that answers [`NONCE`], with these opaque fields.
    pub(super) fn device(&self, fields: &[(u16, Vec<u8>)]) -> DeviceReport {
        let unsigned = exchange(&[(1, &[7; 48]), (36, &[9; 48])], &opaque(fields));
        DeviceReport {
            kind: DeviceKind::Gpu,
            uuid: "GPU-forged".into(),
            report: sign(&self.keys[0], &unsigned),
            certificates: self.certificates.clone(),
            ocsp_responses: Vec::new(),
            mode: ConfidentialMode {
                feature_on: true,
                dev_tools_on: false,
                multi_gpu_mode: MultiGpuMode::None,
            },
        }
    }
}

/// As real certificates are made, by position.
fn params(position: usize) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = [
        "GH100 A01 GSP FMC LF",
        "GH100 A01 GSP BROM",
        "FORGED GH100 Provisioner ICA 1",
        "FORGED GH100 Identity",
        "FORGED Device Identity CA",
    ][position];
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&[0x41, 1, 2, 3, 4, 5, 6, 7, 8]));
    params.not_before = date_time_ymd(2022, 3, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    if position == 0 {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![device_info("NVIDIA:GH100:48B02D0000000001")];
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            COMPOSITE_DEVICE_ID,
            composite_device_id(),
        )];
    } else {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

pub(super) fn device_info(text: &str) -> SanType {
    SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 412, 274, 1], text.into()))
}

/// Version 1, an empty key, and [`FIRMWARE_ID`].
pub(super) fn composite_device_id() -> Vec<u8> {
    let elements = [&[2, 1, 1, 0x30, 0][..], FWID_HEADER, &FIRMWARE_ID].concat();
    sequence(&elements)
}

/// A DER sequence of fewer than 128 bytes.
pub(super) fn sequence(elements: &[u8]) -> Vec<u8> {
    let length = u8::try_from(elements.len()).unwrap();
    assert!(length < 128, "short form");
    [&[0x30, length][..], elements].concat()
}

/// What a Hopper GPU says of itself.
pub(super) fn gpu_fields() -> Vec<(u16, Vec<u8>)> {
    vec![
        (field::VBIOS_VERSION, vec![0, 0x9f, 0, 0x96, 1, 0, 0, 0]),
        (field::CHIP_SKU, b"882\0\0\0".to_vec()),
        (field::PROJECT, b"1010\0".to_vec()),
        (field::PROJECT_SKU, b"0200\0".to_vec()),
        (field::DRIVER_VERSION, b"550.90.07\0".to_vec()),
        (field::NVDEC0_STATUS, vec![0x55]),
        (field::FIRMWARE_ID, FIRMWARE_ID.to_vec()),
        (field::PROTECTED_PCIE_STATUS, vec![0x55]),
    ]
}

/// [`gpu_fields`] with one of another value, or without it.
pub(super) fn gpu_fields_but(number: u16, value: Option<&[u8]>) -> Vec<(u16, Vec<u8>)> {
    let mut fields = gpu_fields();
    fields.retain(|(other, _)| *other != number);
    fields.extend(value.map(|value| (number, value.to_vec())));
    fields
}

/// Opaque data in the plain layout.
pub(super) fn opaque(fields: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let fields = fields.iter().flat_map(|(number, value)| {
        let length = u16::try_from(value.len()).unwrap();
        [&number.to_le_bytes()[..], &length.to_le_bytes(), value].concat()
    });
    fields.collect()
}

/// Request and response without the signature.
pub(super) fn exchange(measurements: &[(u8, &[u8])], opaque: &[u8]) -> Vec<u8> {
    let record: Vec<u8> = measurements
        .iter()
        .flat_map(|(index, value)| block(*index, value))
        .collect();
    let count = u8::try_from(measurements.len()).unwrap();
    let record_length = &u32::try_from(record.len()).unwrap().to_le_bytes()[..3];
    let opaque_length = u16::try_from(opaque.len()).unwrap().to_le_bytes();
    [
        &[0x11, 0xe0, 1, 0xff][..],
        &NONCE,
        &[0],
        &[0x11, 0x60, 0, 0, count],
        record_length,
        &record,
        &[3; 32],
        &opaque_length,
        opaque,
    ]
    .concat()
}

fn block(index: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    [
        &[index, 1][..],
        &(length + 3).to_le_bytes(),
        &[1],
        &length.to_le_bytes(),
        value,
    ]
    .concat()
}

/// `unsigned ‖ r ‖ s`.
pub(super) fn sign(key: &KeyPair, unsigned: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let signer = EcdsaKeyPair::from_pkcs8(
        &ECDSA_P384_SHA384_FIXED_SIGNING,
        key.serialized_der(),
        &random,
    );
    let signature = signer.unwrap().sign(&random, unsigned).unwrap();
    [unsigned, signature.as_ref()].concat()
}
