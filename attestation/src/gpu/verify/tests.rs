//! Tests of the whole verification: each refusal on a forged GPU with one thing wrong.

use proptest::prelude::*;

use super::*;
use crate::{
    ErrorCode,
    gpu::{
        forge::{self, NONCE, NOW_S, Pki},
        ocsp::tests::Forged,
        opaque::field,
    },
};

fn verify(pki: &Pki, device: &DeviceReport) -> Result<VerifiedGpu, GpuError> {
    verify_twice(&GpuVerifier::new(pki.anchor()), device, NOW_S)
}

/// By a verifier that remembers nothing, and twice by `verifier`, which may: the outcome is one.
fn verify_twice(
    verifier: &GpuVerifier,
    device: &DeviceReport,
    now_s: u64,
) -> Result<VerifiedGpu, GpuError> {
    let fresh = GpuVerifier::new(verifier.anchor().clone());
    let [cold, warm, again] =
        [&fresh, verifier, verifier].map(|verifier| verifier.verify(device, Some(&NONCE), now_s));
    assert_eq!(format!("{cold:?}"), format!("{warm:?}"));
    assert_eq!(format!("{cold:?}"), format!("{again:?}"));
    warm
}

fn code(pki: &Pki, device: &DeviceReport) -> ErrorCode {
    verify(pki, device).unwrap_err().code()
}

#[test]
fn a_forged_gpu_verifies_under_its_own_root_alone() {
    let pki = Pki::new();
    let device = pki.device(&forge::gpu_fields());
    let verified = verify(&pki, &device).unwrap();
    assert_eq!(
        verified.trust_anchor(),
        "NOT NVIDIA: CN=FORGED Device Identity CA"
    );
    assert_eq!(verified.device_serial(), "410102030405060708");
    assert_eq!(verified.pdi(), Some(Pdi([1, 2, 3, 4, 5, 6, 7, 8])));
    assert_eq!(verified.uuid(), "GPU-forged");
    assert_eq!(verified.nonce(), &NONCE);
    assert_eq!(verified.mode(), &device.mode);
    let ids: Vec<_> = verified
        .reference_ids()
        .into_iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(
        ids,
        [
            "NV_GPU_DRIVER_GH100_550.90.07",
            "NV_GPU_VBIOS_1010_0200_882_96009F0001"
        ]
    );
    let nvidia = GpuVerifier::new(GpuTrustAnchor::nvidia());
    let refused = nvidia.verify(&device, Some(&NONCE), NOW_S).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::GpuChainInvalid);
}

#[test]
fn limits_and_structure_come_first() {
    let pki = Pki::new();
    let device = pki.device(&forge::gpu_fields());
    let no_uuid = DeviceReport {
        uuid: String::new(),
        ..device.clone()
    };
    assert!(matches!(verify(&pki, &no_uuid), Err(GpuError::Limits(_))));
    assert_eq!(code(&pki, &no_uuid), ErrorCode::GpuEvidenceMalformed);
    let no_report = DeviceReport {
        report: vec![1, 2, 3],
        ..device
    };
    assert!(matches!(verify(&pki, &no_report), Err(GpuError::Report(_))));
    assert_eq!(code(&pki, &no_report), ErrorCode::GpuEvidenceMalformed);
}

#[test]
fn an_unknown_chip_has_its_own_code() {
    let pki = Pki::with(|position, params| {
        if position == 1 {
            params.distinguished_name = rcgen::DistinguishedName::new();
            let name = "GA100 A01 GSP BROM";
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, name);
        }
        params.subject_alt_names.clear();
    });
    let device = pki.device(&forge::gpu_fields());
    assert_eq!(code(&pki, &device), ErrorCode::GpuArchitectureNotAllowed);
}

#[test]
fn the_leafs_key_signed_the_report() {
    let (pki, other) = (Pki::new(), Pki::new());
    let device = DeviceReport {
        report: other.device(&forge::gpu_fields()).report,
        ..pki.device(&forge::gpu_fields())
    };
    assert_eq!(code(&pki, &device), ErrorCode::GpuReportSignatureInvalid);
}

#[test]
fn the_report_is_of_the_certified_firmware() {
    let pki = Pki::new();
    let other = forge::gpu_fields_but(field::FIRMWARE_ID, Some(&[1; 48]));
    assert_eq!(
        code(&pki, &pki.device(&other)),
        ErrorCode::GpuFirmwareIdMismatch
    );
    let unnamed = forge::gpu_fields_but(field::FIRMWARE_ID, None);
    assert!(
        verify(&pki, &pki.device(&unnamed)).is_ok(),
        "old drivers leave it out"
    );
    let uncertified = Pki::with(|_, params| params.custom_extensions.clear());
    let device = uncertified.device(&forge::gpu_fields());
    assert_eq!(
        code(&uncertified, &device),
        ErrorCode::GpuFirmwareIdMismatch
    );
}

#[test]
fn the_report_answers_the_nonce() {
    let pki = Pki::new();
    let device = pki.device(&forge::gpu_fields());
    let verifier = GpuVerifier::new(pki.anchor());
    let refused = verifier.verify(&device, Some(&[1; 32]), NOW_S).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::GpuNonceMismatch);
    assert!(verifier.verify(&device, None, NOW_S).is_ok());
}

#[test]
fn what_a_clone_remembers_is_judged_anew() {
    let pki = Pki::new();
    let device = DeviceReport {
        ocsp_responses: vec![Forged::new(&pki).bytes()],
        ..pki.device(&forge::gpu_fields())
    };
    let verifier = GpuVerifier::new(pki.anchor());
    assert!(verify_twice(&verifier.clone(), &device, NOW_S).is_ok());
    assert_eq!(verifier.memo.count(), 5, "four certificates and a response");
    // The chain ends at 2040-01-01.
    let refused = verify_twice(&verifier, &device, 2_208_988_801).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::GpuChainInvalid);
    let other = GpuVerifier {
        anchor: Pki::new().anchor(),
        ..verifier
    };
    let refused = verify_twice(&other, &device, NOW_S).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::GpuChainInvalid);
}

/// A report is signed for one nonce: remembering its signature would fill the memo with what never comes again.
#[test]
fn a_reports_signature_is_not_remembered() {
    let pki = Pki::new();
    let verifier = GpuVerifier::new(pki.anchor());
    for version in [b"550.90.07\0", b"550.90.08\0"] {
        let fields = forge::gpu_fields_but(field::DRIVER_VERSION, Some(version));
        assert!(verify_twice(&verifier, &pki.device(&fields), NOW_S).is_ok());
        assert_eq!(verifier.memo.count(), 4, "the certificates");
    }
}

#[test]
fn a_stapled_response_that_does_not_hold_is_refused() {
    let pki = Pki::new();
    let device = DeviceReport {
        ocsp_responses: vec![vec![0x30, 0]],
        ..pki.device(&forge::gpu_fields())
    };
    assert_eq!(code(&pki, &device), ErrorCode::GpuOcspInvalid);
}

#[test]
fn a_stapled_response_stands_for_its_certificate() {
    let pki = Pki::new();
    let stapled = |count| DeviceReport {
        ocsp_responses: vec![Forged::new(&pki).bytes(); count],
        ..pki.device(&forge::gpu_fields())
    };
    let verified = verify(&pki, &stapled(1)).unwrap();
    let none = OcspStanding::NotStapled;
    let good = OcspStanding::Good {
        this_update_s: NOW_S - 60,
        next_update_s: NOW_S + 86_400,
    };
    assert_eq!(verified.ocsp(), &[none, good, none, none]);
    let refused = verify(&pki, &stapled(2)).unwrap_err();
    let source = OcspError::Repeated;
    assert!(matches!(refused, GpuError::Ocsp { response: 1, source: found } if found == source));
}

/// A verified GPU with these standings.
fn with_standings(ocsp: [OcspStanding; ISSUED_COUNT]) -> VerifiedGpu {
    let pki = Pki::new();
    let verified = verify(&pki, &pki.device(&forge::gpu_fields())).unwrap();
    VerifiedGpu { ocsp, ..verified }
}

#[test]
fn ocsp_is_demanded_of_all_but_the_leaf() {
    let good = OcspStanding::Good {
        this_update_s: NOW_S - 60,
        next_update_s: NOW_S + 10,
    };
    let none = OcspStanding::NotStapled;
    assert!(
        with_standings([none, good, good, good])
            .require_ocsp(NOW_S, 0)
            .is_ok()
    );
    for missing in [none, OcspStanding::Unknown] {
        for certificate in 1..ISSUED_COUNT {
            let mut standings = [good; ISSUED_COUNT];
            standings[certificate] = missing;
            let refused = with_standings(standings)
                .require_ocsp(NOW_S, 0)
                .unwrap_err();
            assert_eq!(refused.code(), ErrorCode::GpuOcspMissing);
            let is_unknown =
                matches!(refused, GpuError::OcspUnknown { certificate: at } if at == certificate);
            assert_eq!(is_unknown, missing == OcspStanding::Unknown);
        }
    }
}

#[test]
fn ocsp_ends_with_the_grace() {
    let good = OcspStanding::Good {
        this_update_s: NOW_S - 60,
        next_update_s: NOW_S,
    };
    let verified = with_standings([good; ISSUED_COUNT]);
    assert!(verified.require_ocsp(NOW_S - 1, 0).is_ok());
    let refused = verified.require_ocsp(NOW_S, 0).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::GpuOcspExpired);
    assert!(verified.require_ocsp(NOW_S + 99, 100).is_ok());
    assert!(verified.require_ocsp(NOW_S + 100, 100).is_err());
}

#[test]
fn codes_of_ocsp_faults_differ() {
    let of = |source| GpuError::Ocsp {
        response: 0,
        source,
    };
    let revoked = of(OcspError::Revoked {
        revoked_at_s: 1,
        this_update_s: 2,
    });
    assert_eq!(revoked.code(), ErrorCode::GpuCertificateRevoked);
    let early = of(OcspError::NotYetGood {
        this_update_s: 2,
        now_s: 1,
    });
    assert_eq!(early.code(), ErrorCode::GpuOcspExpired);
    assert_eq!(of(OcspError::Repeated).code(), ErrorCode::GpuOcspInvalid);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A changed byte of the report changes what was signed, or the signature.
    #[test]
    fn no_changed_report_is_accepted(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let pki = Pki::new();
        let mut device = pki.device(&forge::gpu_fields());
        let verifier = GpuVerifier::new(pki.anchor());
        prop_assert!(verify_twice(&verifier, &device, NOW_S).is_ok());
        let at = at.index(device.report.len());
        device.report[at] ^= flip;
        prop_assert!(verifier.verify(&device, None, NOW_S).is_err());
        prop_assert!(verify_twice(&verifier, &device, NOW_S).is_err());
    }
}
