//! Building an authenticator: the worker's side.

use rustls::sign::Signer;

use super::{
    AuthRequest, AuthenticatorError, AuthenticatorKeys,
    keys::signed_content,
    message::{
        CERTIFICATE, CERTIFICATE_VERIFY, CertificateContent, ECDSA_SECP256R1_SHA256, FINISHED,
        put_message,
    },
};
use crate::cursor::put_vector;

/// `Certificate ‖ CertificateVerify ‖ Finished` in answer to `request`, with `evidence` (a CMW collection of at most
/// [`super::EVIDENCE_BYTES_MAX`] bytes) in the entry of `leaf`, signed by the leaf's key.
pub(crate) fn build(
    keys: &AuthenticatorKeys,
    request: &AuthRequest,
    leaf: &[u8],
    evidence: &[u8],
    signer: &dyn Signer,
) -> Result<Vec<u8>, AuthenticatorError> {
    let mut certificate = Vec::new();
    CertificateContent {
        context: request.context(),
        leaf,
        evidence,
    }
    .encode()
    .and_then(|content| put_message(&mut certificate, CERTIFICATE, &content))
    .map_err(AuthenticatorError::EvidenceTooLong)?;

    let transcript = keys.transcript(&[request.message(), &certificate]);
    let signature = signer
        .sign(&signed_content(&transcript))
        .map_err(|_| AuthenticatorError::Provider)?;
    let mut content = ECDSA_SECP256R1_SHA256.to_be_bytes().to_vec();
    let mut certificate_verify = Vec::new();
    put_vector(&mut content, 2, &signature)
        .and_then(|()| put_message(&mut certificate_verify, CERTIFICATE_VERIFY, &content))
        .map_err(|_| AuthenticatorError::Provider)?;

    let transcript = keys.transcript(&[request.message(), &certificate, &certificate_verify]);
    let mut authenticator = certificate;
    authenticator.append(&mut certificate_verify);
    put_message(
        &mut authenticator,
        FINISHED,
        keys.finished(&transcript).as_ref(),
    )
    .map_err(|_| AuthenticatorError::Provider)?;
    Ok(authenticator)
}
