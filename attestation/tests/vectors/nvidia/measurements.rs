//! Measurements of real devices against NVIDIA's reference manifests.

use std::path::Path;

use attestation::{
    ErrorCode,
    gpu::{GpuReferences, GpuTrustAnchor, VerifiedReferences, rim::ReferenceManifest},
};

use super::{PAIRS, devices, pair, verify};
use crate::support::{directory, read};

/// 2026-11-18, when the signer of the switch's manifest is in date.
const RIM_NOW_S: u64 = 1_795_000_000;
/// 2024-07-03, when the signers of the older VBIOS manifests were.
const VBIOS_RIM_NOW_S: u64 = 1_720_000_000;

/// Manifests by identifier, each verified under NVIDIA's root.
fn references(rims: &Path, files: &[(&str, &str)]) -> VerifiedReferences {
    let documents = files
        .iter()
        .map(|(id, file)| ((*id).to_owned(), read(rims.join(file))));
    let references = GpuReferences::from_documents(documents).unwrap();
    VerifiedReferences::verify(&references, &GpuTrustAnchor::nvidia())
}

#[test]
fn a_switch_matches_its_reference_measurements() {
    let Some(directory) = directory("switch reference measurements") else {
        return;
    };
    let rims = directory.join("nvidia/rim");
    let id = "NV_SWITCH_BIOS_5612_0002_890_9610550001";
    let nv_switch = verify(&pair(&directory.join("nvidia/evidence"), &PAIRS[1])).unwrap();
    assert_eq!(nv_switch.reference_ids()[0].id, id);
    let released = references(
        &rims,
        &[(
            id,
            "switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml",
        )],
    );
    let matched = nv_switch.match_references(&released, RIM_NOW_S).unwrap();
    assert_eq!(matched.indices().len(), 31);
    let none = nv_switch.match_references(&references(&rims, &[]), RIM_NOW_S);
    assert_eq!(none.unwrap_err().code(), ErrorCode::GpuReferenceMissing);
    let altered = references(
        &rims,
        &[(
            id,
            "NV_SWITCH_BIOS_5612_0002_890_9610550001_invalid_signature.xml",
        )],
    );
    let refused = nv_switch.match_references(&altered, RIM_NOW_S).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::GpuReferenceInvalid);
}

/// The driver manifest of this report is not among the vectors, so its VBIOS manifest is compared alone.
#[test]
fn a_gpu_matches_its_vbios_manifest_and_no_other() {
    let Some(directory) = directory("VBIOS reference measurements") else {
        return;
    };
    let rims = directory.join("nvidia/rim");
    let gpu = verify(&pair(&directory.join("nvidia/evidence"), &PAIRS[3])).unwrap();
    let ids: Vec<_> = gpu
        .reference_ids()
        .into_iter()
        .map(|reference| reference.id)
        .collect();
    assert_eq!(
        ids,
        [
            "NV_GPU_DRIVER_GH100_535.86.09",
            "NV_GPU_VBIOS_1010_0200_882_96005E0001"
        ]
    );
    let differing = |file: &str, now_s| {
        let manifest =
            ReferenceManifest::verify(&read(rims.join(file)), &GpuTrustAnchor::nvidia(), now_s);
        gpu.differing(&manifest.unwrap())
    };
    assert!(differing("1010_0200_882_96005E0001_PROD.swidtag", VBIOS_RIM_NOW_S).is_empty());
    for (file, now_s) in [
        (
            "NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml",
            VBIOS_RIM_NOW_S,
        ),
        ("1010_0205_862_96005E0002_PROD.swidtag", VBIOS_RIM_NOW_S),
        ("NV_GPU_DRIVER_GH100_550.144.03.xml", RIM_NOW_S),
    ] {
        let differing = differing(file, now_s);
        println!("{file}: differs at {differing:?}");
        assert!(!differing.is_empty(), "{file}");
    }
}

/// A switch's manifest under the identifier of another firmware is never taken for that firmware's.
#[test]
fn other_firmware_has_other_reference_measurements() {
    let Some(directory) = directory("foreign reference measurements") else {
        return;
    };
    let path = directory.join("nvidia/evidence/nvtrust__switch_evidence.json");
    let devices = devices(&serde_json::from_slice(&read(path)).unwrap()).unwrap();
    let nv_switch = verify(&devices[0]).unwrap();
    let id = "NV_SWITCH_BIOS_5612_0002_890_9610730001";
    assert_eq!(nv_switch.reference_ids()[0].id, id);
    let file = "switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml";
    let foreign = references(&directory.join("nvidia/rim"), &[(id, file)]);
    let refused = nv_switch.match_references(&foreign, RIM_NOW_S).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::GpuReferenceInvalid);
}
