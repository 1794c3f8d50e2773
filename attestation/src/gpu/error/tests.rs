//! Tests of what refusals say, where one text stands for several causes.

use std::error::Error;

use super::*;

#[test]
fn a_manifest_that_is_missing_and_one_that_does_not_verify_are_told_apart() {
    let missing = GpuError::ReferencesMissing(vec!["NV_GPU_A".to_owned(), "NV_GPU_B".to_owned()]);
    let text = "the reference manifests NV_GPU_A, NV_GPU_B are not there";
    assert_eq!(missing.to_string(), text);
    assert!(missing.source().is_none());
    assert_eq!(missing.code(), ErrorCode::GpuReferenceMissing);
    let forged = GpuError::Reference {
        id: "NV_GPU".to_owned(),
        source: RimError::DigestMismatch,
    };
    assert_eq!(
        forged.to_string(),
        "reference manifest NV_GPU cannot be used"
    );
    let why = "the manifest's contents are not those that were signed";
    assert_eq!(forged.source().unwrap().to_string(), why);
    assert_eq!(forged.code(), ErrorCode::GpuReferenceInvalid);
}

#[test]
fn a_response_that_is_missing_and_a_certificate_that_is_unknown_are_told_apart() {
    let missing = GpuError::OcspMissing { certificate: 1 };
    let text = "no OCSP response for certificate 1 is stapled";
    assert_eq!(missing.to_string(), text);
    let unknown = GpuError::OcspUnknown { certificate: 2 };
    let text = "the OCSP responder does not know certificate 2";
    assert_eq!(unknown.to_string(), text);
    for error in [missing, unknown] {
        assert_eq!(error.code(), ErrorCode::GpuOcspMissing);
    }
}
