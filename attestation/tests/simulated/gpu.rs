//! Step 10 under a policy that demands GPU evidence: each refusal by name, on forged evidence of forged GPUs.

use attestation::{
    ErrorCode, ExecutorKind, GpuClaim, LibraryClaim, Outcome,
    gpu::{DeviceEvidence, DeviceReport, VerifiedReferences},
};
use simulator::gpu::{
    DRIVER_VERSION, DRIVER_VERSION_OLD, GpuFlaw, GpuOptions, SimulatedGpu, VBIOS_VERSION_OLD,
    simulated_gpu_anchor,
};

use crate::scene::{NOW_S, Scene, codes};

const SEED: u64 = 2;

const RULES: &str = r#"gpu = "required"

[gpu]
driver_version_min = "550.54.14"
driver_versions_denied = ["560.28.03"]
vbios_versions_min = { hopper = "96.00.9F.00.01" }
reference_measurements = "required"
ocsp = "required"
ocsp_grace_hours = 0
enrolled = "any"
revoked = []
"#;

/// A worker with so many GPUs in good order, under a policy that demands all of it.
fn scene(gpus: u16) -> Scene {
    let mut scene = Scene::new();
    scene.gpu_anchor = simulated_gpu_anchor(SEED);
    let gpu = SimulatedGpu::new(SEED, 0);
    scene.references = VerifiedReferences::verify(&gpu.references(), &scene.gpu_anchor);
    scene.replace_policy("gpu = \"not-required\"\n", RULES);
    scene.claims.gpus = (0..gpus)
        .map(|index| claim(&SimulatedGpu::new(SEED, index)))
        .collect();
    let reports = (0..gpus).map(|index| report(&scene, index, &GpuOptions::at(NOW_S)));
    let reports = reports.collect();
    show(&mut scene, reports);
    scene
}

fn claim(gpu: &SimulatedGpu) -> GpuClaim {
    GpuClaim {
        uuid: gpu.uuid(),
        name: "simulated".to_owned(),
    }
}

/// A GPU under another root keeps the UUID that the worker claims: that is the agent's word.
fn report(scene: &Scene, index: u16, options: &GpuOptions) -> DeviceReport {
    let gpu = SimulatedGpu::new(SEED, index);
    DeviceReport {
        uuid: gpu.uuid(),
        ..gpu.report(&scene.binding.gpu_nonce(), options)
    }
}

fn show(scene: &mut Scene, devices: Vec<DeviceReport>) {
    let evidence = DeviceEvidence { devices };
    scene.device_evidence = (!evidence.devices.is_empty()).then(|| evidence.encode().unwrap());
}

/// One GPU that is as `change` makes it.
fn with(change: impl FnOnce(&mut GpuOptions)) -> Scene {
    let mut options = GpuOptions::at(NOW_S);
    change(&mut options);
    let mut scene = scene(1);
    let devices = vec![report(&scene, 0, &options)];
    show(&mut scene, devices);
    scene
}

fn flawed(flaw: GpuFlaw) -> Scene {
    with(|options| options.flaw = Some(flaw))
}

fn refused(scene: &Scene) -> Vec<ErrorCode> {
    let refusal = scene.appraise().unwrap_err();
    let mut codes = codes(&refusal.transcript);
    codes.dedup();
    codes
}

#[test]
fn gpus_in_good_order_are_admitted_and_named() {
    for count in [1, 2, 8] {
        let result = scene(count)
            .appraise()
            .unwrap_or_else(|refusal| panic!("{}", refusal.transcript));
        assert_eq!(result.gpus().len(), usize::from(count));
        let transcript = result.transcript();
        let skipped = transcript
            .steps
            .iter()
            .filter(|step| step.number == 10 && step.outcome == Outcome::Skip);
        assert_eq!(skipped.count(), 0, "{transcript}");
        assert!(
            transcript.to_string().contains("NOT NVIDIA"),
            "{transcript}"
        );
    }
}

#[test]
fn each_flaw_of_a_gpu_has_its_code() {
    for (flaw, code) in [
        (GpuFlaw::Nonce, ErrorCode::GpuNonceMismatch),
        (GpuFlaw::Signature, ErrorCode::GpuReportSignatureInvalid),
        (GpuFlaw::FirmwareId, ErrorCode::GpuFirmwareIdMismatch),
        (GpuFlaw::Measurement(9), ErrorCode::GpuMeasurementMismatch),
        (GpuFlaw::ForeignRoot, ErrorCode::GpuChainInvalid),
        (GpuFlaw::OcspRevoked(1), ErrorCode::GpuCertificateRevoked),
        (GpuFlaw::OcspExpired, ErrorCode::GpuOcspExpired),
        (GpuFlaw::OcspForeign, ErrorCode::GpuOcspInvalid),
    ] {
        let refusal = flawed(flaw).appraise().unwrap_err();
        assert_eq!(
            codes(&refusal.transcript),
            [code],
            "{flaw:?}\n{}",
            refusal.transcript
        );
    }
}

#[test]
fn mode_and_versions_are_as_the_policy_says() {
    let off = with(|options| options.mode.feature_on = false);
    assert_eq!(refused(&off), [ErrorCode::GpuConfidentialModeOff]);
    let debug = with(|options| options.mode.dev_tools_on = true);
    assert_eq!(refused(&debug), [ErrorCode::GpuDebugEnabled]);
    let driver = with(|options| DRIVER_VERSION_OLD.clone_into(&mut options.driver_version));
    assert_eq!(refused(&driver), [ErrorCode::GpuDriverTooOld]);
    let vbios = with(|options| options.vbios_version = VBIOS_VERSION_OLD);
    assert_eq!(refused(&vbios), [ErrorCode::GpuVbiosTooOld]);
    let mut denied = scene(1);
    denied.replace_policy("560.28.03", DRIVER_VERSION);
    assert_eq!(refused(&denied), [ErrorCode::GpuDriverTooOld]);
    let mut other = scene(1);
    other.replace_policy(
        "hopper = \"96.00.9F.00.01\"",
        "blackwell = \"97.00.88.00.0F\"",
    );
    assert_eq!(refused(&other), [ErrorCode::GpuArchitectureNotAllowed]);
}

#[test]
fn what_comes_is_what_is_claimed() {
    let missing = Scene {
        device_evidence: None,
        ..scene(1)
    };
    assert_eq!(refused(&missing), [ErrorCode::GpuEvidenceMissing]);
    let malformed = Scene {
        device_evidence: Some(vec![0xff; 40]),
        ..scene(1)
    };
    assert_eq!(refused(&malformed), [ErrorCode::GpuEvidenceMalformed]);
    let mut fewer = scene(2);
    let one = vec![report(&fewer, 0, &GpuOptions::at(NOW_S))];
    show(&mut fewer, one);
    assert_eq!(refused(&fewer), [ErrorCode::GpuCountMismatch]);
    let mut other = scene(1);
    other.claims.gpus = vec![claim(&SimulatedGpu::new(SEED, 7))];
    assert_eq!(refused(&other), [ErrorCode::GpuUuidMismatch]);
    let mut twice = scene(2);
    let mut second = report(&twice, 0, &GpuOptions::at(NOW_S));
    second.uuid = SimulatedGpu::new(SEED, 1).uuid();
    let devices = vec![report(&twice, 0, &GpuOptions::at(NOW_S)), second];
    show(&mut twice, devices);
    assert_eq!(refused(&twice), [ErrorCode::GpuCertificateRepeated]);
}

fn library(name: &str, version: &str) -> LibraryClaim {
    LibraryClaim {
        name: name.to_owned(),
        version: version.to_owned(),
        digest: [8; 32],
    }
}

#[test]
fn the_claimed_driver_is_the_one_in_every_report() {
    let (driver, foreign) = ("libnvidia-ml", "580.95.05");
    let claiming = |mut scene: Scene, libraries: &[(&str, &str)]| {
        let libraries = libraries
            .iter()
            .map(|(name, version)| library(name, version));
        scene.claims.libraries = libraries.collect();
        scene
    };
    let others = [("libcublasLt", foreign), (driver, DRIVER_VERSION)];
    assert!(claiming(scene(2), &others).appraise().is_ok());
    let inconsistent = [ErrorCode::GpuClaimInconsistent];
    // As text: what differs in how it is written was not read from this driver.
    for version in [foreign, "550.90", "550.90.7"] {
        let other = claiming(scene(2), &[(driver, version)]);
        assert_eq!(refused(&other), inconsistent, "{version}");
    }
    let twice = [(driver, DRIVER_VERSION), (driver, foreign)];
    assert_eq!(refused(&claiming(scene(2), &twice)), inconsistent);
    // One GPU of two says otherwise.
    let mut mixed = claiming(scene(2), &[(driver, DRIVER_VERSION)]);
    mixed.replace_policy("550.54.14", DRIVER_VERSION_OLD);
    let mut options = GpuOptions::at(NOW_S);
    DRIVER_VERSION_OLD.clone_into(&mut options.driver_version);
    let devices = vec![
        report(&mixed, 0, &GpuOptions::at(NOW_S)),
        report(&mixed, 1, &options),
    ];
    show(&mut mixed, devices);
    assert_eq!(refused(&mixed), inconsistent);
    // Without evidence there is nothing to hold the claim against.
    let mut cpu = claiming(scene(0), &[(driver, foreign)]);
    cpu.claims.executor = ExecutorKind::Cpu;
    cpu.replace_policy("gpu = \"required\"", "gpu = \"if-claimed\"");
    assert!(cpu.appraise().is_ok());
}

#[test]
fn a_gpu_can_be_enrolled_and_taken_out() {
    let serial = SimulatedGpu::new(SEED, 0).serial();
    let mut revoked = scene(1);
    revoked.replace_policy(
        "enrolled = \"any\"\nrevoked = []\n",
        &format!("enrolled = \"any\"\nrevoked = [\"{serial}\"]\n"),
    );
    assert_eq!(refused(&revoked), [ErrorCode::GpuNotEnrolled]);
    let mut enrolled = scene(1);
    enrolled.replace_policy("enrolled = \"any\"", &format!("enrolled = [\"{serial}\"]"));
    assert!(enrolled.appraise().is_ok());
    let mut other = scene(1);
    other.replace_policy("enrolled = \"any\"", "enrolled = [\"0123\"]");
    assert_eq!(refused(&other), [ErrorCode::GpuNotEnrolled]);
}

#[test]
fn references_and_ocsp_are_demanded_unless_the_policy_says_otherwise() {
    let without_references = Scene {
        references: VerifiedReferences::default(),
        ..scene(1)
    };
    assert_eq!(
        refused(&without_references),
        [ErrorCode::GpuReferenceMissing]
    );
    let mut lax = without_references;
    lax.replace_policy(
        "reference_measurements = \"required\"",
        "reference_measurements = \"not-required\"",
    );
    assert!(lax.appraise().is_ok());
    let mut without_ocsp = with(|options| options.ocsp = false);
    assert_eq!(refused(&without_ocsp), [ErrorCode::GpuOcspMissing]);
    without_ocsp.replace_policy("ocsp = \"required\"", "ocsp = \"not-required\"");
    assert!(without_ocsp.appraise().is_ok());
    // Overdue by an hour: a grace of two carries it.
    let mut overdue = flawed(GpuFlaw::OcspExpired);
    overdue.replace_policy("ocsp_grace_hours = 0", "ocsp_grace_hours = 2");
    assert!(overdue.appraise().is_ok());
    // Revoked is revoked, whether or not anybody asked.
    let mut revoked = flawed(GpuFlaw::OcspRevoked(2));
    revoked.replace_policy("ocsp = \"required\"", "ocsp = \"not-required\"");
    assert_eq!(refused(&revoked), [ErrorCode::GpuCertificateRevoked]);
}

#[test]
fn who_claims_no_gpu_shows_none() {
    let mut cpu = scene(0);
    cpu.claims.executor = ExecutorKind::Cpu;
    assert_eq!(refused(&cpu), [ErrorCode::GpuEvidenceMissing]);
    let unclaimed = vec![report(&cpu, 0, &GpuOptions::at(NOW_S))];
    show(&mut cpu, unclaimed);
    assert_eq!(refused(&cpu), [ErrorCode::GpuEvidenceMissing]);
    cpu.device_evidence = None;
    cpu.replace_policy("gpu = \"required\"", "gpu = \"if-claimed\"");
    let result = cpu.appraise().unwrap();
    assert!(result.gpus().is_empty());
    let unclaimed = vec![report(&cpu, 0, &GpuOptions::at(NOW_S))];
    show(&mut cpu, unclaimed);
    assert_eq!(refused(&cpu), [ErrorCode::GpuCountMismatch]);
}

/// Whoever replays public reports over another connection must not make the gateway verify them.
#[test]
fn evidence_of_another_connection_is_not_looked_at() {
    let mut replayed = scene(1);
    replayed.worker_binding = Some(attestation::Binding {
        exported: [9; 32],
        ..replayed.binding.clone()
    });
    let refusal = replayed.appraise().unwrap_err();
    assert_eq!(refusal.code, ErrorCode::ReportDataMismatch);
    let steps = &refusal.transcript.steps;
    let gpu: Vec<_> = steps.iter().filter(|step| step.number == 10).collect();
    assert!(
        matches!(gpu[..], [step] if step.outcome == Outcome::Skip && step.required),
        "{}",
        refusal.transcript
    );
}

#[test]
fn protected_pcie_without_attested_switches_is_refused() {
    let exposed = with(|options| {
        options.mode.multi_gpu_mode = attestation::gpu::MultiGpuMode::ProtectedPcie;
    });
    assert_eq!(refused(&exposed), [ErrorCode::GpuLinkUnattested]);
}

/// The record carries the manifests, so that an auditor needs nothing of the gateway's.
#[test]
fn an_auditor_reaches_the_verdict_on_gpus_from_the_record_alone() {
    let scene = scene(2);
    let json = serde_json::to_string(&crate::record::record(&scene)).unwrap();
    let read: attestation::AttestationRecord = serde_json::from_str(&json).unwrap();
    assert_eq!(read.references().ids().count(), 2, "driver and VBIOS");
    let transcript = read
        .audit(&scene.verifier(), &scene.gpu_verifier())
        .unwrap();
    assert_eq!(transcript.refusal(), None, "{transcript}");
    let nvidia = attestation::gpu::GpuVerifier::new(attestation::gpu::GpuTrustAnchor::nvidia());
    let transcript = read.audit(&scene.verifier(), &nvidia).unwrap();
    assert_eq!(transcript.refusal(), Some(ErrorCode::GpuChainInvalid));
}
