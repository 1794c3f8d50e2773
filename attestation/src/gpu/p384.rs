//! ECDSA over P-384 with SHA-384: the one signature scheme of NVIDIA's devices, manifests and OCSP responders.
//!
//! By AWS-LC, whose P-384 takes a quarter of the time that ring's does (`benches/gpu.rs`); all else here is ring's.

use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, UnparsedPublicKey,
};

/// `r ‖ s`, 48 bytes each.
pub(crate) const SIGNATURE_BYTES: usize = 96;

/// The signature is not that key's over that message, or no signature or key at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the P-384 signature does not verify")]
pub(crate) struct SignatureInvalid;

/// Verify `r ‖ s`, as SPDM and XML signatures have it. `point` is the uncompressed public key (`04 ‖ x ‖ y`), the bits of
/// its `SubjectPublicKeyInfo`.
pub(crate) fn verify(
    point: &[u8],
    message: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), SignatureInvalid> {
    verify_with(&ECDSA_P384_SHA384_FIXED, point, message, signature)
}

/// Verify a DER signature, as certificates and OCSP responses have it. A function of these three and of nothing else.
pub(crate) fn verify_der(
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureInvalid> {
    verify_with(&ECDSA_P384_SHA384_ASN1, point, message, signature)
}

fn verify_with(
    algorithm: &'static EcdsaVerificationAlgorithm,
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureInvalid> {
    UnparsedPublicKey::new(algorithm, point)
        .verify(message, signature)
        .map_err(|_| SignatureInvalid)
}
