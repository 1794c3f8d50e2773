//! `AUTH_REQUEST`: the profile's id and an RFC 9261 `CertificateRequest` with 32 fresh bytes of context.

use bytes::Bytes;

use super::{
    AuthenticatorError,
    message::{CERTIFICATE_REQUEST, ECDSA_SECP256R1_SHA256, Message, ended, put_message},
};
use crate::{
    cursor::{Cursor, TooLong, put_vector},
    profile::PROFILE,
};

/// The verifier's nonce of one attestation: the `certificate_request_context` and the context of the exporter.
pub type Context = [u8; 32];

/// RFC 8446 section 4.2.
const SIGNATURE_ALGORITHMS: u16 = 13;

/// One request for an authenticator. The context is its only variable part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthRequest {
    context: Context,
    message: Vec<u8>,
}

impl AuthRequest {
    pub(crate) fn new(context: Context) -> Result<Self, AuthenticatorError> {
        // Every length in a request is fixed and fits.
        let message = encode_message(&context).map_err(|_| AuthenticatorError::MalformedRequest)?;
        Ok(Self { context, message })
    }

    /// Parses the body of an `AUTH_REQUEST`. The profile leaves no freedom, so anything but the one encoding is refused.
    pub fn parse(body: &[u8]) -> Result<Self, AuthenticatorError> {
        let mut cursor = Cursor::new(body);
        let profile = cursor
            .vector(1, "profile id")
            .map_err(AuthenticatorError::Truncated)?;
        if profile != PROFILE.id.as_bytes() {
            return Err(AuthenticatorError::OtherProfile);
        }
        let message = Message::parse(&mut cursor, CERTIFICATE_REQUEST)?;
        ended(&cursor, "CertificateRequest")?;
        let context = Cursor::new(message.content)
            .vector(1, "request context")
            .map_err(AuthenticatorError::Truncated)?;
        let context =
            Context::try_from(context).map_err(|_| AuthenticatorError::MalformedRequest)?;
        let request = Self::new(context)?;
        if request.message != message.whole {
            return Err(AuthenticatorError::MalformedRequest);
        }
        Ok(request)
    }

    /// The body of the `AUTH_REQUEST` frame: `u8 length ‖ profile id ‖ CertificateRequest`.
    pub fn encode(&self) -> Result<Bytes, AuthenticatorError> {
        let mut body = Vec::new();
        put_vector(&mut body, 1, PROFILE.id.as_bytes())
            .map_err(|_| AuthenticatorError::MalformedRequest)?;
        body.extend_from_slice(&self.message);
        Ok(body.into())
    }

    /// The context this request asks to be answered under.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The `CertificateRequest` message, as the transcripts cover it.
    pub(crate) fn message(&self) -> &[u8] {
        &self.message
    }
}

/// `opaque context<0..2^8-1>; Extension extensions<2..2^16-1>`: the signature schemes, which are mandatory (RFC 9261
/// section 4), and the empty evidence extension, which asks for evidence.
fn encode_message(context: &Context) -> Result<Vec<u8>, TooLong> {
    let mut schemes = Vec::new();
    put_vector(&mut schemes, 2, &ECDSA_SECP256R1_SHA256.to_be_bytes())?;
    let mut extensions = SIGNATURE_ALGORITHMS.to_be_bytes().to_vec();
    put_vector(&mut extensions, 2, &schemes)?;
    extensions.extend_from_slice(&PROFILE.evidence_extension.to_be_bytes());
    put_vector(&mut extensions, 2, &[])?;
    let mut body = Vec::new();
    put_vector(&mut body, 1, context)?;
    put_vector(&mut body, 2, &extensions)?;
    let mut message = Vec::new();
    put_message(&mut message, CERTIFICATE_REQUEST, &body)?;
    Ok(message)
}
