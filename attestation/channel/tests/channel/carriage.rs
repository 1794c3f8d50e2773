//! Evidence packed for the road and unpacked for its appraisal.

use attestation::{ErrorCode, Evidence};
use channel::{EVIDENCE_BYTES_MAX, OpaqueEvidence, OpaqueEvidenceError};

fn evidence(device_evidence_bytes: usize) -> Evidence {
    Evidence {
        quote: vec![1; 8000],
        claims: vec![2; 400],
        event_log: Some(vec![3; 20_000]),
        device_evidence: (device_evidence_bytes > 0).then(|| vec![4; device_evidence_bytes]),
    }
}

#[test]
fn what_fits_travels_inside() {
    for bytes in [0, 10_000, 30_000] {
        let packed = OpaqueEvidence::pack(evidence(bytes)).unwrap();
        assert!(packed.device_evidence.is_none());
        assert!(packed.cmw.len() <= EVIDENCE_BYTES_MAX);
        assert_eq!(packed.unpack().unwrap(), evidence(bytes));
    }
}

#[test]
fn what_does_not_fit_travels_beside() {
    let packed = OpaqueEvidence::pack(evidence(120_000)).unwrap();
    assert_eq!(packed.device_evidence.as_ref().unwrap().len(), 120_000);
    assert_eq!(packed.unpack().unwrap(), evidence(120_000));
}

#[test]
fn evidence_that_is_too_long_even_so_is_refused() {
    let mut long = evidence(0);
    long.event_log = Some(vec![3; 60_000]);
    assert!(matches!(
        OpaqueEvidence::pack(long),
        Err(OpaqueEvidenceError::Collection(_))
    ));
}

#[test]
fn device_evidence_inside_and_beside_is_refused() {
    let mut packed = OpaqueEvidence::pack(evidence(10_000)).unwrap();
    packed.device_evidence = Some("again".into());
    let error = packed.unpack().unwrap_err();
    assert!(matches!(error, OpaqueEvidenceError::DeviceEvidenceTwice));
    assert_eq!(error.code(), ErrorCode::EvidenceMalformed);
}

#[test]
fn bytes_that_are_no_collection_are_refused() {
    let noise = OpaqueEvidence {
        cmw: "noise".into(),
        device_evidence: None,
    };
    assert!(matches!(
        noise.unpack(),
        Err(OpaqueEvidenceError::Collection(_))
    ));
}

/// Report data hashes an absent member as the empty string: "none came" and "nothing came" must not be two things.
#[test]
fn device_evidence_beside_keeps_to_the_limits_of_a_member() {
    let packed = OpaqueEvidence::pack(evidence(0)).unwrap();
    for bytes in [0, attestation::evidence::DEVICE_EVIDENCE_BYTES_MAX + 1] {
        let beside = OpaqueEvidence {
            device_evidence: Some(vec![7; bytes].into()),
            ..packed.clone()
        };
        let error = beside.unpack().unwrap_err();
        assert!(
            matches!(error, OpaqueEvidenceError::Collection(_)),
            "{error:?}"
        );
        assert_eq!(error.code(), ErrorCode::EvidenceMalformed);
    }
}

#[test]
fn every_collection_within_the_limits_can_travel() {
    use attestation::evidence::{
        CLAIMS_BYTES_MAX, DEVICE_EVIDENCE_BYTES_MAX, EVENT_LOG_BYTES_MAX, QUOTE_BYTES_MAX,
    };
    let largest = Evidence {
        quote: vec![1; QUOTE_BYTES_MAX],
        claims: vec![2; CLAIMS_BYTES_MAX],
        event_log: Some(vec![3; EVENT_LOG_BYTES_MAX]),
        device_evidence: Some(vec![4; DEVICE_EVIDENCE_BYTES_MAX]),
    };
    let packed = OpaqueEvidence::pack(largest.clone()).unwrap();
    assert_eq!(packed.unpack().unwrap(), largest);
}
