//! Every code of the appraisal: one thing is changed, and exactly one step refuses.

use attestation::{
    Appraiser, Binding, ErrorCode, Evidence, ExecutorKind, Outcome, PlatformStanding, ReportData,
    Role, TcbStatus, rfc_3339,
};
use simulator::{QuoteVersion, SimulatedPlatform};

use crate::scene::{NOW_S, Scene, codes};

#[test]
fn a_scene_in_good_order_is_admitted() {
    for version in [QuoteVersion::V4, QuoteVersion::V5] {
        let scene = Scene {
            version,
            ..Scene::new()
        };
        let result = scene
            .appraise()
            .unwrap_or_else(|refusal| panic!("{}", refusal.transcript));
        assert_eq!(result.claims(), &scene.claims);
        assert_eq!(result.verified_quote().tcb().status, TcbStatus::UpToDate);
        assert_eq!(
            result.verified_quote().platform().ppid,
            scene.platform.ppid()
        );
        assert_eq!(result.policy_digest(), scene.appraisal_policy().digest());
        assert_eq!(result.collateral_grace_used_s(), 0);
        let preimage = scene.binding.preimage(b"", &scene.evidence().claims);
        assert_eq!(result.report_data(), preimage.report_data());
        let transcript = result.transcript();
        assert!(
            transcript.trust_anchor.starts_with("NOT INTEL: "),
            "{transcript}"
        );
        let numbers: Vec<u8> = transcript.steps.iter().map(|step| step.number).collect();
        assert!(
            numbers.is_sorted() && numbers.first() == Some(&3) && numbers.last() == Some(&11),
            "{numbers:?}"
        );
    }
}

#[test]
fn what_is_not_required_is_skipped_in_so_many_words() {
    let scene = Scene {
        event_log: Some(vec![1]),
        device_evidence: Some(vec![2]),
        ..Scene::new()
    };
    let result = scene.appraise().unwrap();
    let skipped: Vec<_> = result
        .transcript()
        .steps
        .iter()
        .filter(|step| step.outcome == Outcome::Skip)
        .collect();
    let names: Vec<_> = skipped
        .iter()
        .map(|step| (step.number, step.name.as_str(), step.seen.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            (8, "event log", "1 bytes came; not replayed"),
            (10, "GPU evidence", "1 bytes came; not appraised")
        ]
    );
}

/// One change to a scene in good order.
type Change = fn(&mut Scene);

/// Each change makes exactly one step refuse, with that code.
fn assert_each(cases: &[(ErrorCode, Change)]) {
    for (code, change) in cases {
        let mut scene = Scene::new();
        change(&mut scene);
        let refusal = scene.appraise().unwrap_err();
        assert_eq!(refusal.code, *code, "{}", refusal.transcript);
        assert_eq!(
            codes(&refusal.transcript),
            [*code],
            "{}",
            refusal.transcript
        );
    }
}

#[test]
fn the_td_is_as_the_policy_says() {
    assert_each(&[
        (ErrorCode::ServiceTdPresent, |scene| {
            scene.version = QuoteVersion::V5;
            scene.td.mr_service_td = [1; 48];
        }),
        (ErrorCode::TdAttributesMismatch, |scene| {
            scene.td.attributes_more = 1 << 63;
        }),
        (ErrorCode::XfamMismatch, |scene| scene.td.xfam[0] ^= 4),
        (ErrorCode::MrConfigIdUnknown, |scene| {
            scene.td.mr_config_id = [1; 48];
        }),
        (ErrorCode::MrOwnerUnknown, |scene| {
            scene.td.mr_owner = [1; 48];
        }),
        (ErrorCode::MrOwnerConfigUnknown, |scene| {
            scene.td.mr_owner_config = [1; 48];
        }),
        (ErrorCode::SeamMeasurementUnknown, |scene| {
            scene.td.mr_seam = [1; 48];
        }),
        (ErrorCode::SeamSignerUnknown, |scene| {
            scene.replace_policy(
                &format!("signers = [\"{}\"]", "00".repeat(48)),
                &format!("signers = [\"{}\"]", "01".repeat(48)),
            );
        }),
    ]);
}

#[test]
fn the_tcb_is_as_the_policy_says() {
    assert_each(&[
        (ErrorCode::TcbStatusNotAllowed, |scene| {
            scene.collateral.tcb_status = TcbStatus::OutOfDate;
        }),
        (ErrorCode::TcbStatusNotAllowed, |scene| {
            scene.collateral.module_status = TcbStatus::OutOfDate;
        }),
        (ErrorCode::TcbStatusNotAllowed, |scene| {
            scene.collateral.qe_status = TcbStatus::OutOfDate;
        }),
        (ErrorCode::TcbStatusNotAllowed, |scene| {
            scene.collateral.tcb_status = TcbStatus::ConfigurationNeeded;
        }),
        (ErrorCode::EvaluationNumberTooLow, |scene| {
            scene.collateral.evaluation_number -= 1;
        }),
        (ErrorCode::AdvisoryDenied, |scene| {
            scene.collateral.advisory_ids =
                vec!["INTEL-SA-00001".to_owned(), "INTEL-SA-00837".to_owned()];
            scene.replace_policy(
                "advisories_denied = []",
                "advisories_denied = [\"INTEL-SA-00837\"]",
            );
        }),
    ]);
}

const DAY_S: u64 = 24 * 60 * 60;

/// A platform that a better level has overtaken, so many days before the scene's time, under thirty days of grace.
fn superseded(days: u64) -> Scene {
    let mut scene = Scene::new();
    scene.collateral.tcb_status = TcbStatus::OutOfDate;
    scene.collateral.superseded_s = Some(NOW_S - days * DAY_S);
    scene.replace_policy(
        "statuses_in_grace = []",
        "statuses_in_grace = [\"OutOfDate\"]",
    );
    scene.replace_policy("grace_days = 0", "grace_days = 30");
    scene
}

#[test]
fn the_grace_for_an_outdated_tcb_counts_down_and_ends() {
    for (days, left_days, left) in [(0, 30, "30 days"), (12, 18, "18 days"), (29, 1, "1 day")] {
        let result = superseded(days).appraise().unwrap();
        assert_eq!(result.tcb_grace_left_s(), Some(left_days * DAY_S));
        let transcript = result.transcript().to_string();
        let seen = format!(", {left} of grace left");
        assert!(transcript.contains(&seen), "{transcript}");
    }
    for days in [30, 31, 3000] {
        let refusal = superseded(days).appraise().unwrap_err();
        assert_eq!(codes(&refusal.transcript), [ErrorCode::TcbGraceEnded]);
    }
    assert_eq!(Scene::new().appraise().unwrap().tcb_grace_left_s(), None);
}

/// Where nothing better is described, the level itself was never good: its own date counts.
#[test]
fn an_outdated_level_without_a_better_one_has_no_grace_from_today() {
    let mut scene = superseded(0);
    scene.collateral.superseded_s = None;
    const { assert!(NOW_S > simulator::LEVEL_DATE_S + 30 * DAY_S) };
    assert_eq!(scene.appraise().unwrap_err().code, ErrorCode::TcbGraceEnded);
    let mut enclave = superseded(0);
    enclave.collateral.qe_status = TcbStatus::OutOfDate;
    assert_eq!(
        enclave.appraise().unwrap_err().code,
        ErrorCode::TcbGraceEnded
    );
}

/// The library converges a TD 1.5's two TCBs like Intel's: it reports the launch's unless the present one is better.
#[test]
fn a_present_tcb_that_is_worse_than_the_launchs_is_refused() {
    assert_each(&[(ErrorCode::TcbStatusNotAllowed, |scene| {
        scene.version = QuoteVersion::V5;
        scene.td.tee_tcb_svn2[2] -= 1;
    })]);
    let mut scene = Scene::new();
    scene.version = QuoteVersion::V5;
    scene.td.tee_tcb_svn2[2] -= 1;
    scene.replace_policy("[\"UpToDate\"]", "[\"UpToDate\", \"OutOfDate\"]");
    let result = scene.appraise().unwrap();
    let tcb = result.verified_quote().tcb();
    assert_eq!(tcb.status, TcbStatus::UpToDate);
    assert_eq!(tcb.platform_status_now, Some(TcbStatus::OutOfDate));
}

#[test]
fn the_receipt_key_is_none_of_the_connections() {
    assert_each(&[
        (ErrorCode::ReceiptKeyShared, |scene| {
            scene.claims.receipt_key_spki = scene.binding.attester_spki.clone();
        }),
        (ErrorCode::ReceiptKeyShared, |scene| {
            scene.claims.receipt_key_spki = scene.binding.peer_spki.clone();
        }),
    ]);
}

#[test]
fn the_measurements_are_known() {
    assert_each(&[
        (ErrorCode::PlatformProfileUnknown, |scene| {
            scene.td.mrtd = [1; 48];
        }),
        (ErrorCode::PlatformProfileUnknown, |scene| {
            scene.td.rtmrs[0] = [1; 48];
        }),
        (ErrorCode::ReleaseUnknown, |scene| {
            scene.td.rtmrs[1] = [1; 48];
        }),
        (ErrorCode::ReleaseUnknown, |scene| {
            scene.td.rtmrs[2] = [1; 48];
        }),
        (ErrorCode::Rtmr3Unknown, |scene| scene.td.rtmrs[3] = [1; 48]),
    ]);
}

#[test]
fn platform_and_worker_are_enrolled() {
    assert_each(&[
        (ErrorCode::PlatformNotEnrolled, |scene| {
            scene.platform = SimulatedPlatform::machine(2, simulator::MACHINES_ENROLLED_COUNT);
        }),
        (ErrorCode::PlatformNotEnrolled, |scene| {
            scene.register.standing = PlatformStanding::Foreign;
        }),
        (ErrorCode::PlatformRevoked, |scene| {
            scene.register.standing = PlatformStanding::Revoked;
        }),
        (ErrorCode::PlatformRevoked, |scene| {
            let ppid = hex::encode(scene.platform.ppid());
            scene.replace_policy("revoked = []", &format!("revoked = [\"{ppid}\"]"));
        }),
        (ErrorCode::WorkerUnknown, |scene| {
            scene.claims.worker_id = "worker-2".to_owned();
        }),
        (ErrorCode::WorkerUnknown, |scene| {
            scene.register.secret = None;
        }),
        (ErrorCode::EnrolmentMacInvalid, |scene| {
            scene.claims.enrolment_mac[0] ^= 1;
        }),
        (ErrorCode::GpuClaimInconsistent, |scene| {
            scene.claims.gpus.clear();
        }),
        (ErrorCode::GpuClaimInconsistent, |scene| {
            scene.claims.executor = ExecutorKind::Cpu;
        }),
        (ErrorCode::GpuClaimInconsistent, |scene| {
            let gpu = scene.claims.gpus[0].clone();
            scene.claims.gpus.push(gpu);
        }),
    ]);
}

#[test]
fn a_debuggable_or_profiled_td_is_refused_whatever_the_policy_says() {
    for (code, bits) in [
        (ErrorCode::TdDebuggable, 1),
        (ErrorCode::TdProfilable, 0x10),
    ] {
        let mut scene = Scene::new();
        scene.td.attributes_more = bits;
        scene.replace_policy(
            r#"attributes_mask = "ffffffffffffffff""#,
            r#"attributes_mask = "0000000000000000""#,
        );
        scene.replace_policy(
            r#"attributes_required = "0000001000000000""#,
            r#"attributes_required = "0000000000000000""#,
        );
        let refusal = scene.appraise().unwrap_err();
        assert_eq!(codes(&refusal.transcript), [code], "{}", refusal.transcript);
    }
}

#[test]
fn evidence_of_another_connection_is_refused() {
    let binding = Scene::new().binding;
    for other in [
        Binding {
            exported: [9; 32],
            ..binding.clone()
        },
        Binding {
            attester_spki: vec![9; 91],
            ..binding.clone()
        },
        Binding {
            peer_spki: vec![9; 91],
            ..binding.clone()
        },
        Binding {
            role: Role::Server,
            ..binding
        },
    ] {
        let refusal = Scene {
            worker_binding: Some(other),
            ..Scene::new()
        }
        .appraise()
        .unwrap_err();
        assert_eq!(
            codes(&refusal.transcript),
            [ErrorCode::ReportDataMismatch],
            "{}",
            refusal.transcript
        );
    }
}

#[test]
fn members_that_were_swapped_behind_the_quote_are_refused() {
    let scene = Scene {
        device_evidence: Some(vec![1]),
        ..Scene::new()
    };
    let evidence = scene.evidence();
    let without = Evidence {
        device_evidence: None,
        ..evidence.clone()
    };
    assert_eq!(
        scene.appraise_evidence(&without).unwrap_err().code,
        ErrorCode::ReportDataMismatch
    );
    let mut claims = scene.claims.clone();
    claims.sequence = 9;
    let swapped = Evidence {
        claims: claims.encode().unwrap(),
        ..evidence
    };
    assert_eq!(
        scene.appraise_evidence(&swapped).unwrap_err().code,
        ErrorCode::ReportDataMismatch
    );
}

#[test]
fn claims_that_do_not_read_are_refused_in_their_own_step() {
    let scene = Scene::new();
    let claims = vec![0xa0];
    let report_data = scene.binding.preimage(b"", &claims).report_data();
    let quote = scene
        .platform
        .quote(scene.version, &scene.td, report_data.bytes());
    let evidence = Evidence {
        quote,
        claims,
        event_log: None,
        device_evidence: None,
    };
    let refusal = scene.appraise_evidence(&evidence).unwrap_err();
    assert_eq!(
        codes(&refusal.transcript),
        [ErrorCode::ClaimsMalformed],
        "{}",
        refusal.transcript
    );
}

#[test]
fn nothing_behind_an_unverified_quote_is_looked_at() {
    let scene = Scene::new();
    let good = scene.evidence();
    let sgx = scene.platform.sgx_quote(&[0; 64]);
    for (code, quote) in [
        (ErrorCode::QuoteMalformed, vec![0; 100]),
        (ErrorCode::QuoteNotTd, sgx),
    ] {
        let refusal = scene
            .appraise_evidence(&Evidence {
                quote,
                ..good.clone()
            })
            .unwrap_err();
        assert_eq!(codes(&refusal.transcript), [code]);
        let skipped = refusal
            .transcript
            .steps
            .iter()
            .filter(|step| step.outcome == Outcome::Skip && step.required);
        assert_eq!(skipped.count(), 8, "steps 4 to 11: {}", refusal.transcript);
    }
}

#[test]
fn expired_collateral_counts_for_the_policys_grace_and_no_longer() {
    let mut scene = Scene::new();
    let ended_s = NOW_S + scene.collateral.valid_for_s;
    scene.now_s = ended_s + 3599;
    assert_eq!(
        scene.appraise().unwrap_err().code,
        ErrorCode::CollateralExpired
    );
    scene.replace_policy("grace_hours = 0", "grace_hours = 1");
    let result = scene.appraise().unwrap();
    assert_eq!(result.collateral_grace_used_s(), 3600);
    let words = format!("ended at {}, within", rfc_3339(ended_s));
    assert!(
        result.transcript().to_string().contains(&words),
        "{}",
        result.transcript()
    );
    scene.now_s += 1;
    assert_eq!(
        scene.appraise().unwrap_err().code,
        ErrorCode::CollateralExpired
    );
}

#[test]
fn every_failure_is_shown_and_the_first_one_names_the_refusal() {
    let mut scene = Scene::new();
    scene.td.debug = true;
    scene.td.rtmrs[1] = [1; 48];
    scene.collateral.tcb_status = TcbStatus::OutOfDate;
    let refusal = scene.appraise().unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TdDebuggable);
    assert_eq!(
        codes(&refusal.transcript),
        [
            ErrorCode::TdDebuggable,
            ErrorCode::TdAttributesMismatch,
            ErrorCode::TcbStatusNotAllowed,
            ErrorCode::ReleaseUnknown
        ]
    );
}

#[test]
fn a_quote_alone_is_judged_without_connection_and_claims() {
    let scene = Scene::new();
    let (verifier, policy, collateral) = (
        scene.verifier(),
        scene.appraisal_policy(),
        scene.collateral(),
    );
    let appraiser = Appraiser {
        verifier: &verifier,
        gpu_verifier: &scene.gpu_verifier(),
        policy: &policy,
        collateral: &collateral,
        references: &scene.references,
    };
    let quote = scene.platform.quote(scene.version, &scene.td, &[7; 64]);
    let accepted = appraiser.audit_quote(&quote, Some(ReportData([7; 64])), NOW_S);
    assert_eq!(accepted.refusal(), None, "{accepted}");
    let other = appraiser.audit_quote(&quote, Some(ReportData([8; 64])), NOW_S);
    assert_eq!(codes(&other), [ErrorCode::ReportDataMismatch]);
    let unsaid = appraiser.audit_quote(&quote, None, NOW_S);
    assert!(
        unsaid
            .steps
            .iter()
            .any(|step| step.number == 5 && step.outcome == Outcome::Skip),
        "{unsaid}"
    );
    let nonsense = appraiser.audit_quote(b"", None, NOW_S);
    assert_eq!(codes(&nonsense), [ErrorCode::QuoteMalformed]);
}
