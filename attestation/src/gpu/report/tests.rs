//! Tests of what GPU and switch say of themselves, and each refusal by field.

use proptest::prelude::*;

use super::*;
use crate::gpu::forge;

fn signed(fields: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let unsigned = forge::exchange(&[(1, &[7; 48]), (36, &[9; 48])], &forge::opaque(fields));
    [unsigned, vec![0; SIGNATURE_BYTES]].concat()
}

fn switch_fields() -> Vec<(u16, Vec<u8>)> {
    let gpus = (0..8_u8).flat_map(|gpu| [gpu; 8]);
    let ports = [0xff; 64];
    vec![
        (field::VBIOS_VERSION, b"96.10.55.00.01".to_vec()),
        (field::DEVICE_PDI, vec![1, 2, 3, 4, 5, 6, 7, 8]),
        (field::GPU_PDIS, gpus.chain(ports).collect()),
    ]
}

fn refused(kind: DeviceKind, fields: &[(u16, Vec<u8>)]) -> ReportError {
    Report::parse(&signed(fields), kind).unwrap_err()
}

#[test]
fn a_gpu_names_driver_board_and_modes() {
    let bytes = signed(&forge::gpu_fields());
    let report = Report::parse(&bytes, DeviceKind::Gpu).unwrap();
    assert_eq!(report.vbios_version.to_string(), "96.00.9F.00.01");
    assert_eq!(report.firmware_id, Some(forge::FIRMWARE_ID));
    assert!(report.measurements.keys().eq(&[0, 35]), "counted from 0");
    let Details::Gpu(gpu) = report.details else {
        panic!("a GPU")
    };
    assert_eq!(gpu.driver_version.to_string(), "550.90.07");
    assert_eq!(gpu.board.project, "1010");
    assert_eq!(gpu.board.project_sku, "0200");
    assert_eq!(gpu.board.chip_sku, "882");
    assert_eq!(
        (gpu.nvdec0, gpu.protected_pcie, gpu.mode),
        (false, Some(false), None)
    );
}

#[test]
fn optional_fields_of_a_gpu_are_read() {
    let mut fields = forge::gpu_fields_but(field::NVDEC0_STATUS, Some(&[0xaa]));
    fields.extend([
        (field::CHIP, b"GB100\0".to_vec()),
        (field::FEATURE_FLAG, vec![2, 0]),
        // Twice the same switch, least significant byte first.
        (field::SWITCH_PDIS, [[8, 7, 6, 5, 4, 3, 2, 1]; 2].concat()),
    ]);
    let bytes = signed(&fields);
    let report = Report::parse(&bytes, DeviceKind::Gpu).unwrap();
    let Details::Gpu(gpu) = report.details else {
        panic!("a GPU")
    };
    assert!(gpu.nvdec0);
    assert_eq!(gpu.chip.as_deref(), Some("GB100"));
    assert_eq!(gpu.mode, Some(GpuMode::ProtectedPcie));
    let pdi = Pdi([1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(gpu.switch_pdis, BTreeSet::from([pdi]));
}

#[test]
fn a_switch_names_itself_and_its_gpus() {
    let bytes = signed(&switch_fields());
    let report = Report::parse(&bytes, DeviceKind::NvSwitch).unwrap();
    assert_eq!(report.vbios_version.to_string(), "96.10.55.00.01");
    assert_eq!(report.firmware_id, None);
    let Details::NvSwitch(nv_switch) = report.details else {
        panic!("a switch")
    };
    assert_eq!(nv_switch.device_pdi, Some(Pdi([1, 2, 3, 4, 5, 6, 7, 8])));
    assert_eq!(nv_switch.gpu_pdis.len(), 8);
    // A GPU's report is none of a switch, nor the other way round.
    let gpu = signed(&forge::gpu_fields());
    assert!(Report::parse(&gpu, DeviceKind::NvSwitch).is_err());
    assert!(Report::parse(&bytes, DeviceKind::Gpu).is_err());
}

#[test]
fn what_a_gpu_must_say_is_there() {
    for number in [
        field::VBIOS_VERSION,
        field::CHIP_SKU,
        field::PROJECT,
        field::PROJECT_SKU,
        field::DRIVER_VERSION,
        field::NVDEC0_STATUS,
    ] {
        let missing = refused(DeviceKind::Gpu, &forge::gpu_fields_but(number, None));
        assert_eq!(missing, ReportError::Opaque(OpaqueError::Missing(number)));
    }
    let none = refused(DeviceKind::NvSwitch, &[]);
    let missing = OpaqueError::Missing(field::VBIOS_VERSION);
    assert_eq!(none, ReportError::Opaque(missing));
}

#[test]
fn what_a_gpu_says_has_a_meaning() {
    for (number, value) in [
        (field::VBIOS_VERSION, &[0, 0x9f, 0, 0x96, 1, 1, 0, 0][..]),
        (field::VBIOS_VERSION, b"96.00.9F.00.01"),
        (field::DRIVER_VERSION, b"550\0"),
        (field::PROJECT, b"10/10"),
        (field::NVDEC0_STATUS, &[0]),
        (field::NVDEC0_STATUS, &[0x55, 0x55]),
        (field::PROTECTED_PCIE_STATUS, &[1]),
        (field::FEATURE_FLAG, &[9, 0]),
        (field::SWITCH_PDIS, &[1, 2, 3]),
        (field::FIRMWARE_ID, &[1; 32]),
    ] {
        let malformed = refused(DeviceKind::Gpu, &forge::gpu_fields_but(number, Some(value)));
        let wanted = ReportError::Opaque(OpaqueError::Malformed(number));
        assert_eq!(malformed, wanted, "{number} {value:?}");
    }
}

#[test]
fn what_a_switch_says_has_a_meaning() {
    for (at, value) in [(0, &b"96.10.55"[..]), (1, &[1; 7]), (2, &[1; 63])] {
        let mut fields = switch_fields();
        fields[at].1 = value.to_vec();
        let malformed = refused(DeviceKind::NvSwitch, &fields);
        let wanted = ReportError::Opaque(OpaqueError::Malformed(fields[at].0));
        assert_eq!(malformed, wanted);
    }
}

#[test]
fn what_is_no_exchange_is_no_report() {
    let refused = Report::parse(b"", DeviceKind::Gpu).unwrap_err();
    assert!(matches!(refused, ReportError::Spdm(_)));
}

proptest! {
    #[test]
    fn no_mutation_panics(at in any::<prop::sample::Index>(), byte: u8, of_gpu: bool) {
        let (kind, fields) = if of_gpu {
            (DeviceKind::Gpu, forge::gpu_fields())
        } else {
            (DeviceKind::NvSwitch, switch_fields())
        };
        let mut bytes = signed(&fields);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Report::parse(&bytes, kind);
    }
}
