//! Simulated GPUs against the real verifier: accepted under their own roots, refused under NVIDIA's, and refused by name for
//! each thing that a test can ask for.

use std::collections::BTreeSet;

use attestation::{
    ErrorCode,
    gpu::{
        Architecture, DeviceReport, GpuError, GpuTrustAnchor, GpuVerifier, MeasurementsMatched,
        OcspStanding, VerifiedGpu, VerifiedReferences,
    },
};
use simulator::gpu::{
    CHIP, DRIVER_VERSION, DRIVER_VERSION_OLD, GpuFlaw, GpuOptions, SimulatedGpu, VBIOS_VERSION,
    VBIOS_VERSION_OLD, simulated_gpu_anchor,
};

const SEED: u64 = 7;
const NOW_S: u64 = 1_790_000_000;
const NONCE: [u8; 32] = [0x42; 32];

fn verify(device: &DeviceReport) -> Result<VerifiedGpu, GpuError> {
    let verify = |verifier: &GpuVerifier| verifier.verify(device, Some(&NONCE), NOW_S);
    let verifier = GpuVerifier::new(simulated_gpu_anchor(SEED));
    let cold = verify(&verifier);
    // The same GPU in good order, so that all its signatures are known.
    let good = SimulatedGpu::new(SEED, 0).report(&NONCE, &GpuOptions::at(NOW_S));
    assert!(verifier.verify(&good, Some(&NONCE), NOW_S).is_ok());
    let warm = verify(&verifier);
    assert_eq!(format!("{cold:?}"), format!("{warm:?}"));
    warm
}

fn code_of(flaw: GpuFlaw) -> ErrorCode {
    let options = GpuOptions {
        flaw: Some(flaw),
        ..GpuOptions::at(NOW_S)
    };
    let device = SimulatedGpu::new(SEED, 0).report(&NONCE, &options);
    verify(&device).unwrap_err().code()
}

#[test]
fn a_gpu_in_good_order_verifies_with_all_that_it_says() {
    let gpu = SimulatedGpu::new(SEED, 3);
    let verified = verify(&gpu.report(&NONCE, &GpuOptions::at(NOW_S))).unwrap();
    assert!(verified.trust_anchor().starts_with("NOT NVIDIA: "));
    assert_eq!(verified.architecture(), Architecture::Hopper);
    assert_eq!(verified.chip(), CHIP);
    assert_eq!(verified.uuid(), gpu.uuid());
    assert_eq!(verified.device_serial(), gpu.serial());
    assert_eq!(verified.nonce(), &NONCE);
    assert_eq!(verified.vbios_version().0, VBIOS_VERSION);
    let details = verified.gpu().unwrap();
    assert_eq!(details.driver_version.to_string(), DRIVER_VERSION);
    assert_eq!(details.board.project, "1010");
    assert!(!details.nvdec0);
    assert_eq!(verified.measurements().len(), 64);
    assert!(verified.mode().feature_on && !verified.mode().dev_tools_on);
    let good = |standing: &&OcspStanding| matches!(standing, OcspStanding::Good { .. });
    assert_eq!(verified.ocsp().iter().filter(good).count(), 3);
    assert!(verified.require_ocsp(NOW_S, 0).is_ok());
}

#[test]
fn each_flaw_is_refused_by_name() {
    for (flaw, code) in [
        (GpuFlaw::Nonce, ErrorCode::GpuNonceMismatch),
        (GpuFlaw::Signature, ErrorCode::GpuReportSignatureInvalid),
        (GpuFlaw::FirmwareId, ErrorCode::GpuFirmwareIdMismatch),
        (GpuFlaw::ForeignRoot, ErrorCode::GpuChainInvalid),
        (GpuFlaw::OcspRevoked(1), ErrorCode::GpuCertificateRevoked),
        (GpuFlaw::OcspRevoked(2), ErrorCode::GpuCertificateRevoked),
        (GpuFlaw::OcspRevoked(3), ErrorCode::GpuCertificateRevoked),
        (GpuFlaw::OcspForeign, ErrorCode::GpuOcspInvalid),
    ] {
        assert_eq!(code_of(flaw), code, "{flaw:?}");
    }
}

#[test]
fn responses_can_be_left_out_and_are_then_missing() {
    let options = GpuOptions {
        ocsp: false,
        ..GpuOptions::at(NOW_S)
    };
    let verified = verify(&SimulatedGpu::new(SEED, 0).report(&NONCE, &options)).unwrap();
    let error = verified.require_ocsp(NOW_S, 0).unwrap_err();
    assert_eq!(error.code(), ErrorCode::GpuOcspMissing);
}

#[test]
fn overdue_responses_count_for_as_long_as_the_policy_says() {
    let options = GpuOptions {
        flaw: Some(GpuFlaw::OcspExpired),
        ..GpuOptions::at(NOW_S)
    };
    let verified = verify(&SimulatedGpu::new(SEED, 0).report(&NONCE, &options)).unwrap();
    let error = verified.require_ocsp(NOW_S, 0).unwrap_err();
    assert_eq!(error.code(), ErrorCode::GpuOcspExpired);
    assert!(verified.require_ocsp(NOW_S, 2 * 60 * 60).is_ok());
}

#[test]
fn no_other_root_vouches_for_a_simulated_gpu() {
    let device = SimulatedGpu::new(SEED, 0).report(&NONCE, &GpuOptions::at(NOW_S));
    for anchor in [GpuTrustAnchor::nvidia(), simulated_gpu_anchor(SEED + 1)] {
        let error = GpuVerifier::new(anchor)
            .verify(&device, Some(&NONCE), NOW_S)
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::GpuChainInvalid);
    }
}

fn matched(options: &GpuOptions) -> Result<MeasurementsMatched, GpuError> {
    let gpu = SimulatedGpu::new(SEED, 0);
    let references = VerifiedReferences::verify(&gpu.references(), &simulated_gpu_anchor(SEED));
    assert_eq!(references.refused().count(), 0);
    let verified = verify(&gpu.report(&NONCE, options)).unwrap();
    verified.match_references(&references, NOW_S)
}

#[test]
fn measurements_are_those_of_the_manifests_unless_one_is_changed() {
    let options = GpuOptions::at(NOW_S);
    // An H100's manifests describe 33; index 35 counts only while NVDEC0 is on.
    assert_eq!(matched(&options).unwrap().indices().len(), 32);
    let decoding = GpuOptions {
        nvdec0: true,
        ..options.clone()
    };
    assert_eq!(matched(&decoding).unwrap().indices().len(), 33);
    for index in [0, 7, 12, 21, 35] {
        let changed = GpuOptions {
            flaw: Some(GpuFlaw::Measurement(index)),
            ..decoding.clone()
        };
        let error = matched(&changed).unwrap_err();
        let wanted = BTreeSet::from([u32::from(index)]);
        assert!(
            matches!(&error, GpuError::Measurements(differing) if *differing == wanted),
            "{error:?}"
        );
    }
}

#[test]
fn old_versions_are_known_and_unknown_ones_are_not() {
    let old = GpuOptions {
        driver_version: DRIVER_VERSION_OLD.to_owned(),
        vbios_version: VBIOS_VERSION_OLD,
        ..GpuOptions::at(NOW_S)
    };
    assert!(matched(&old).is_ok());
    let unknown = GpuOptions {
        driver_version: "999.1".to_owned(),
        ..old
    };
    let code = matched(&unknown).unwrap_err().code();
    assert_eq!(code, ErrorCode::GpuReferenceMissing);
}

#[test]
fn one_seed_gives_one_gpu_byte_for_byte_and_its_sisters_share_no_identity() {
    let (first, same) = (SimulatedGpu::new(SEED, 0), SimulatedGpu::new(SEED, 0));
    let second = SimulatedGpu::new(SEED, 1);
    let options = GpuOptions::at(NOW_S);
    let report = first.report(&NONCE, &options);
    assert_eq!(report, same.report(&NONCE, &options));
    assert_eq!(first.references(), second.references());
    let other = second.report(&NONCE, &options);
    assert_ne!(first.serial(), second.serial());
    assert_ne!(report.uuid, other.uuid);
    assert_ne!(report.certificates[..2], other.certificates[..2]);
    assert_eq!(report.certificates[2..], other.certificates[2..]);
}

#[test]
fn every_certificate_of_a_gpu_says_what_it_is() {
    let name = b"SIMULATED - not NVIDIA";
    let says_so = |der: &[u8]| der.windows(name.len()).any(|window| window == name);
    let anchor = simulated_gpu_anchor(SEED);
    let report = SimulatedGpu::new(SEED, 0).report(&NONCE, &GpuOptions::at(NOW_S));
    assert!(report.certificates.iter().all(|der| says_so(der)));
    assert!(report.ocsp_responses.iter().all(|der| says_so(der)));
    assert!(says_so(anchor.rim_root()));
}
