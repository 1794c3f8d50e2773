//! The simulated policy before the real appraisal: it admits the simulated TD, and nothing laxer.

use attestation::{
    AppraisalPolicy, Appraiser, AttestationResult, Binding, Claims, Enrolment, EnrolmentSecret,
    ErrorCode, Evidence, ExecutorKind, PlatformStanding, Role, SuiteHash, TcbStatus, Verifier,
    enrolment_mac,
    gpu::{GpuTrustAnchor, GpuVerifier, VerifiedReferences},
};
use simulator::{
    CollateralOptions, MACHINES_ENROLLED_COUNT, QuoteVersion, SimulatedPlatform, TdOptions,
};

const NOW_S: u64 = 1_790_000_000;
const SECRET: &[u8] = b"enrolment secret";

/// A register of one worker.
struct Register;

impl Enrolment for Register {
    fn secret(&self, worker_id: &str) -> Option<EnrolmentSecret> {
        (worker_id == "worker-1").then(|| EnrolmentSecret::new(SECRET.to_vec()))
    }

    fn platform(&self, _: &str, _: &[u8; 16]) -> PlatformStanding {
        PlatformStanding::Admissible
    }
}

/// What a test may change of a good attestation.
struct Attempt {
    machine: SimulatedPlatform,
    version: QuoteVersion,
    td: TdOptions,
    collateral: CollateralOptions,
}

impl Attempt {
    fn good(version: QuoteVersion) -> Self {
        let machine = SimulatedPlatform::from_seed(7);
        Self {
            td: machine.td(),
            machine,
            version,
            collateral: CollateralOptions::at(NOW_S),
        }
    }

    fn appraise(&self) -> Result<AttestationResult, ErrorCode> {
        let binding = Binding {
            role: Role::Client,
            hash: SuiteHash::Sha384,
            exported: [1; 32],
            attester_spki: vec![2; 91],
            peer_spki: vec![3; 91],
        };
        let claims = claims(&binding).encode().unwrap();
        let report_data = binding.preimage(b"", &claims).report_data();
        let evidence = Evidence {
            quote: self
                .machine
                .quote(self.version, &self.td, report_data.bytes()),
            claims,
            event_log: None,
            device_evidence: None,
        };
        let appraiser = Appraiser {
            verifier: &Verifier::new(SimulatedPlatform::from_seed(7).trust_anchor()),
            gpu_verifier: &GpuVerifier::new(GpuTrustAnchor::nvidia()),
            policy: &AppraisalPolicy::from_toml(&SimulatedPlatform::from_seed(7).policy_toml())
                .unwrap(),
            collateral: &self.machine.collateral(&self.collateral),
            references: &VerifiedReferences::default(),
        };
        appraiser
            .appraise(&evidence, &binding, &Register, NOW_S)
            .map_err(|refusal| refusal.code)
    }
}

fn claims(binding: &Binding) -> Claims {
    Claims {
        worker_id: "worker-1".into(),
        enrolment_mac: enrolment_mac(SECRET, binding),
        receipt_key_spki: vec![4; 91],
        agent_digest: [5; 32],
        configuration_digest: [6; 32],
        module_digest: [7; 32],
        libraries: Vec::new(),
        gpus: Vec::new(),
        boot_id: [8; 16],
        sequence: 0,
        executor: ExecutorKind::Cpu,
    }
}

#[test]
fn the_simulated_td_is_admitted_in_both_versions_on_every_enrolled_machine() {
    for version in [QuoteVersion::V4, QuoteVersion::V5] {
        let result = Attempt::good(version).appraise().unwrap();
        assert_eq!(result.claims().worker_id, "worker-1");
    }
    for machine in [1, MACHINES_ENROLLED_COUNT - 1] {
        let mut attempt = Attempt::good(QuoteVersion::V4);
        attempt.machine = SimulatedPlatform::machine(7, machine);
        attempt.appraise().unwrap();
    }
}

#[test]
fn a_machine_beyond_the_enrolled_ones_is_refused() {
    let mut attempt = Attempt::good(QuoteVersion::V4);
    attempt.machine = SimulatedPlatform::machine(7, MACHINES_ENROLLED_COUNT);
    assert_eq!(
        attempt.appraise().unwrap_err(),
        ErrorCode::PlatformNotEnrolled
    );
}

#[test]
fn a_td_that_differs_in_anything_is_refused() {
    let refused = |code, change: fn(&mut TdOptions)| {
        let mut attempt = Attempt::good(QuoteVersion::V5);
        change(&mut attempt.td);
        assert_eq!(attempt.appraise().unwrap_err(), code);
    };
    refused(ErrorCode::TdDebuggable, |td| td.debug = true);
    refused(ErrorCode::TdMigratable, |td| td.migratable = true);
    refused(ErrorCode::SeptVeDisableClear, |td| {
        td.sept_ve_disable = false;
    });
    refused(ErrorCode::ServiceTdPresent, |td| td.mr_service_td = [1; 48]);
    refused(ErrorCode::XfamMismatch, |td| td.xfam = [0xff; 8]);
    refused(ErrorCode::MrConfigIdUnknown, |td| td.mr_config_id = [1; 48]);
    refused(ErrorCode::MrOwnerUnknown, |td| td.mr_owner = [1; 48]);
    refused(ErrorCode::MrOwnerConfigUnknown, |td| {
        td.mr_owner_config = [1; 48];
    });
    refused(ErrorCode::SeamMeasurementUnknown, |td| td.mr_seam = [1; 48]);
    refused(ErrorCode::PlatformProfileUnknown, |td| td.mrtd = [1; 48]);
    refused(ErrorCode::PlatformProfileUnknown, |td| {
        td.rtmrs[0] = [1; 48];
    });
    refused(ErrorCode::ReleaseUnknown, |td| td.rtmrs[1] = [1; 48]);
    refused(ErrorCode::ReleaseUnknown, |td| td.rtmrs[2] = [1; 48]);
    refused(ErrorCode::Rtmr3Unknown, |td| td.rtmrs[3] = [1; 48]);
}

#[test]
fn a_tcb_that_is_not_up_to_date_is_refused() {
    for status in TcbStatus::ALL {
        let mut attempt = Attempt::good(QuoteVersion::V4);
        attempt.collateral.tcb_status = *status;
        assert_eq!(
            attempt.appraise().is_ok(),
            *status == TcbStatus::UpToDate,
            "{status}"
        );
    }
    let mut attempt = Attempt::good(QuoteVersion::V4);
    attempt.collateral.evaluation_number -= 1;
    assert_eq!(
        attempt.appraise().unwrap_err(),
        ErrorCode::EvaluationNumberTooLow
    );
}
