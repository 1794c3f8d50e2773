//! The auditor's record: the verdict can be reached again, and a record that was tampered with cannot pass.

use attestation::{Appraiser, AttestationRecord, ErrorCode, Outcome, TrustAnchor, Verifier};

use crate::scene::{NOW_S, Scene, codes};

pub(crate) fn record(scene: &Scene) -> AttestationRecord {
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
    let evidence = scene.evidence();
    let result = appraiser
        .appraise(&evidence, &scene.binding, &scene.register, scene.now_s)
        .unwrap();
    appraiser.record(
        &evidence,
        &scene.binding,
        result.transcript(),
        result.gpus(),
    )
}

#[test]
fn an_auditor_reaches_the_same_verdict_from_the_json_alone() {
    let scene = Scene::new();
    let json = serde_json::to_string(&record(&scene)).unwrap();
    let read: AttestationRecord = serde_json::from_str(&json).unwrap();
    assert_eq!(read, record(&scene));
    assert_eq!(read.time_s(), NOW_S);
    assert_eq!(read.claims().unwrap(), scene.claims);
    let transcript = read
        .audit(&scene.verifier(), &scene.gpu_verifier())
        .unwrap();
    assert_eq!(transcript.refusal(), None, "{transcript}");
    let skipped = transcript
        .steps
        .iter()
        .filter(|step| step.outcome == Outcome::Skip && step.seen.contains("audit"));
    assert_eq!(
        skipped.count(),
        2,
        "what only the register knows: {transcript}"
    );
}

#[test]
fn an_auditor_trusts_their_own_root() {
    let scene = Scene::new();
    let transcript = record(&scene)
        .audit(&Verifier::new(TrustAnchor::intel()), &scene.gpu_verifier())
        .unwrap();
    assert_eq!(transcript.trust_anchor, "Intel SGX Root CA");
    assert!(transcript.refusal().is_some(), "{transcript}");
}

#[test]
fn a_new_policy_or_a_later_time_can_refuse_what_was_admitted() {
    let mut scene = Scene::new();
    let record = record(&scene);
    let later = record.audit_under(
        &scene.verifier(),
        &scene.gpu_verifier(),
        &scene.appraisal_policy(),
        NOW_S + 365 * 86400,
    );
    assert_eq!(later.refusal(), Some(ErrorCode::CollateralExpired));
    scene.replace_policy(
        "evaluation_data_number_min = 17",
        "evaluation_data_number_min = 18",
    );
    let stricter = record.audit_under(
        &scene.verifier(),
        &scene.gpu_verifier(),
        &scene.appraisal_policy(),
        NOW_S,
    );
    assert_eq!(codes(&stricter), [ErrorCode::EvaluationNumberTooLow]);
}

#[test]
fn a_tampered_record_does_not_pass() {
    let scene = Scene::new();
    let mut json = serde_json::to_value(record(&scene)).unwrap();
    json["binding"]["exported"] = "09".repeat(32).into();
    let read: AttestationRecord = serde_json::from_value(json.clone()).unwrap();
    let transcript = read
        .audit(&scene.verifier(), &scene.gpu_verifier())
        .unwrap();
    assert_eq!(codes(&transcript), [ErrorCode::ReportDataMismatch]);
    json["extra"] = true.into();
    assert!(
        serde_json::from_value::<AttestationRecord>(json).is_err(),
        "unknown fields are refused"
    );
}
