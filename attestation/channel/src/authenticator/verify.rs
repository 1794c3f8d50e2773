//! Verifying an authenticator: the gateway's side. Parsing comes first and takes no decision.

use rustls::pki_types::CertificateDer;
use subtle::ConstantTimeEq as _;

use super::{
    AuthRequest, AuthenticatorError, AuthenticatorKeys,
    keys::signed_content,
    message::{
        CERTIFICATE, CERTIFICATE_VERIFY, CertificateContent, FINISHED, Message, ended,
        parse_signature,
    },
};
use crate::cursor::Cursor;

/// An authenticator cut into its parts; nothing of it has been verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parsed<'a> {
    certificate: Message<'a>,
    content: CertificateContent<'a>,
    certificate_verify: Message<'a>,
    signature: &'a [u8],
    finished: Message<'a>,
}

impl<'a> Parsed<'a> {
    pub(crate) fn parse(authenticator: &'a [u8]) -> Result<Self, AuthenticatorError> {
        let mut cursor = Cursor::new(authenticator);
        let certificate = Message::parse(&mut cursor, CERTIFICATE)?;
        let certificate_verify = Message::parse(&mut cursor, CERTIFICATE_VERIFY)?;
        let finished = Message::parse(&mut cursor, FINISHED)?;
        ended(&cursor, "Finished")?;
        Ok(Self {
            certificate,
            content: CertificateContent::parse(certificate.content)?,
            certificate_verify,
            signature: parse_signature(certificate_verify.content)?,
            finished,
        })
    }

    /// The context it claims to answer.
    pub(crate) fn context(&self) -> &'a [u8] {
        self.content.context
    }
}

/// Verifies `parsed` as the answer to `request` by the holder of `leaf`, the client certificate of the TLS handshake, and
/// yields the evidence it carries. That the request was ours and is unanswered is the caller's to know.
pub(crate) fn verify<'a>(
    keys: &AuthenticatorKeys,
    request: &AuthRequest,
    leaf: &CertificateDer<'_>,
    parsed: &Parsed<'a>,
) -> Result<&'a [u8], AuthenticatorError> {
    if !bool::from(parsed.context().ct_eq(request.context())) {
        return Err(AuthenticatorError::OtherContext);
    }
    if parsed.content.leaf != leaf.as_ref() {
        return Err(AuthenticatorError::OtherCertificate);
    }
    let transcript = keys.transcript(&[request.message(), parsed.certificate.whole]);
    webpki::EndEntityCert::try_from(leaf)
        .and_then(|leaf| {
            let content = signed_content(&transcript);
            leaf.verify_signature(webpki::ring::ECDSA_P256_SHA256, &content, parsed.signature)
        })
        .map_err(|_| AuthenticatorError::Signature)?;
    let whole = [
        request.message(),
        parsed.certificate.whole,
        parsed.certificate_verify.whole,
    ];
    keys.verify_finished(&keys.transcript(&whole), parsed.finished.content)?;
    Ok(parsed.content.evidence)
}
