//! Where the verifier's refusals stand in a transcript: at the step that they are about, with every other step accounted for.

use attestation::{ErrorCode, Outcome, TcbStatus, Transcript};

use serde_json::json;

use crate::{
    scene::{NOW_S, Scene},
    verification::restated_collateral,
};

const DAY_S: u64 = 24 * 60 * 60;

/// What is changed in a good scene, and the code, number and name of the step that then fails.
type Case = (fn(&mut Scene), ErrorCode, u8, &'static str);

const CASES: &[Case] = &[
    (
        |scene| scene.now_s = NOW_S + 31 * DAY_S,
        ErrorCode::CollateralExpired,
        4,
        "collateral in date",
    ),
    (
        |scene| scene.now_s = NOW_S - DAY_S,
        ErrorCode::CollateralNotYetValid,
        4,
        "collateral in date",
    ),
    (
        |scene| scene.collateral.revoke_pck = true,
        ErrorCode::PckRevoked,
        4,
        "signatures, certificates and collateral",
    ),
    (
        |scene| scene.collateral.fmspc = [9; 6],
        ErrorCode::TcbInfoMismatch,
        4,
        "collateral of this platform",
    ),
    (
        |scene| scene.collateral.pce_id = [9; 2],
        ErrorCode::PceIdMismatch,
        4,
        "collateral of this platform",
    ),
    (
        |scene| scene.td.sept_ve_disable = false,
        ErrorCode::SeptVeDisableClear,
        6,
        "SEPT_VE_DISABLE",
    ),
    (
        |scene| scene.td.attributes_more = 1 << 29,
        ErrorCode::TdMigratable,
        6,
        "TD not migratable",
    ),
    (
        |scene| scene.td.attributes_more = 1 << 32,
        ErrorCode::TdAttributesReserved,
        6,
        "TD attributes",
    ),
    (
        |scene| scene.td.attributes_more = 1 << 17,
        ErrorCode::ServiceTdPresent,
        6,
        "service TD",
    ),
    (
        |scene| scene.collateral.tcb_status = TcbStatus::Revoked,
        ErrorCode::TcbRevoked,
        7,
        "TCB status",
    ),
];

#[test]
fn a_refusal_stands_at_the_step_that_it_is_about() {
    for (change, code, number, name) in CASES {
        let mut scene = Scene::new();
        change(&mut scene);
        let refusal = scene.appraise().unwrap_err();
        assert_eq!(refusal.code, *code, "{}", refusal.transcript);
        let failed = failures(&refusal.transcript);
        assert_eq!(failed, [(*number, *name)], "{}", refusal.transcript);
        every_step_is_there(&refusal.transcript, *number);
    }
}

#[test]
fn what_intel_does_not_describe_is_a_matter_of_module_and_tcb() {
    for (member, code, number, name) in [
        (
            "tdxModuleIdentities",
            ErrorCode::TdxModuleUnknown,
            6,
            "TDX module (MRSEAM)",
        ),
        ("tcbLevels", ErrorCode::TcbLevelNotFound, 7, "TCB level"),
    ] {
        let scene = Scene::new();
        let collateral = restated_collateral(&scene, "tcb_info", |tcb| tcb[member] = json!([]));
        let refusal = scene.appraise_under(&scene.evidence(), &collateral);
        let transcript = refusal.unwrap_err().transcript;
        assert_eq!(transcript.refusal(), Some(code), "{transcript}");
        assert_eq!(failures(&transcript), [(number, name)], "{transcript}");
        every_step_is_there(&transcript, number);
    }
}

#[test]
fn a_quote_that_does_not_read_leaves_all_else_unreached() {
    let mut evidence = Scene::new().evidence();
    evidence.quote = vec![0; 100];
    let refusal = Scene::new().appraise_evidence(&evidence).unwrap_err();
    assert_eq!(failures(&refusal.transcript), [(3, "quote")]);
    every_step_is_there(&refusal.transcript, 3);
}

fn failures(transcript: &Transcript) -> Vec<(u8, &str)> {
    let steps = transcript.steps.iter();
    let failed = steps.filter(|step| step.outcome == Outcome::Fail);
    failed
        .map(|step| (step.number, step.name.as_str()))
        .collect()
}

/// All of 3 to 11 in order; what did not pass and did not fail is missed.
fn every_step_is_there(transcript: &Transcript, failed: u8) {
    let steps = &transcript.steps;
    assert!(steps.is_sorted_by_key(|step| step.number), "{transcript}");
    for number in 3..=11 {
        let mut steps = steps.iter().filter(|step| step.number == number);
        let is_missed = |outcome| number > 3 && outcome == Outcome::Skip;
        assert!(
            steps.any(|step| number == failed
                || number == 3
                || (is_missed(step.outcome) && step.required)),
            "step {number}: {transcript}"
        );
    }
}
