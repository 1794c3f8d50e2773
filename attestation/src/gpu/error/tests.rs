//! Tests of what refusals say, where one text stands for several causes.

use std::error::Error;

use super::*;

#[test]
fn a_manifest_that_is_missing_and_one_that_does_not_verify_are_told_apart() {
    for (source, code, why) in [
        (
            RimError::Missing("NV_GPU".to_owned()),
            ErrorCode::GpuReferenceMissing,
            "there is no reference integrity manifest NV_GPU",
        ),
        (
            RimError::DigestMismatch,
            ErrorCode::GpuReferenceInvalid,
            "the manifest's contents are not those that were signed",
        ),
    ] {
        let id = "NV_GPU".to_owned();
        let error = GpuError::Reference { id, source };
        let text = "reference manifest NV_GPU is missing or does not verify";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.source().unwrap().to_string(), why);
        assert_eq!(error.code(), code);
    }
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
