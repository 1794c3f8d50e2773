//! The handshake messages inside an authenticator, cut apart and put together.

use super::AuthenticatorError;
use crate::{
    cursor::{Cursor, TooLong, put_vector},
    profile::PROFILE,
};

/// RFC 8446 section 4.
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const CERTIFICATE_REQUEST: u8 = 13;
pub(super) const CERTIFICATE_VERIFY: u8 = 15;
pub(super) const FINISHED: u8 = 20;

/// RFC 8446 section 4.2.3: the one scheme that a P-256 key signs with.
pub(super) const ECDSA_SECP256R1_SHA256: u16 = 0x0403;

/// The extensions of a certificate entry have 2^16 - 1 bytes, of which the extension's header takes four and the length
/// in front of the evidence two.
pub const EVIDENCE_BYTES_MAX: usize = 65_535 - 4 - 2;

/// One handshake message: as it stands (for the transcript) and its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) whole: &'a [u8],
    pub(super) content: &'a [u8],
}

impl<'a> Message<'a> {
    /// `u8 type ‖ u24 length ‖ content`.
    pub(super) fn parse(cursor: &mut Cursor<'a>, wanted: u8) -> Result<Self, AuthenticatorError> {
        let start = cursor.rest();
        let seen = cursor
            .u8("message type")
            .map_err(AuthenticatorError::Truncated)?;
        if seen != wanted {
            return Err(AuthenticatorError::UnexpectedMessage { wanted, seen });
        }
        let content = cursor
            .vector(3, "message")
            .map_err(AuthenticatorError::Truncated)?;
        let used = start.len().saturating_sub(cursor.rest().len());
        let whole = start.get(..used).unwrap_or_default();
        Ok(Self { whole, content })
    }
}

/// Writes one handshake message.
pub(super) fn put_message(out: &mut Vec<u8>, kind: u8, content: &[u8]) -> Result<(), TooLong> {
    out.push(kind);
    put_vector(out, 3, content)
}

/// The content of `Certificate`: `opaque context<0..2^8-1>; CertificateEntry list<0..2^24-1>`.
#[derive(Debug, Clone, Copy)]
pub(super) struct CertificateContent<'a> {
    pub(super) context: &'a [u8],
    pub(super) leaf: &'a [u8],
    pub(super) evidence: &'a [u8],
}

impl<'a> CertificateContent<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, AuthenticatorError> {
        let mut cursor = Cursor::new(body);
        let context = cursor
            .vector(1, "request context")
            .map_err(AuthenticatorError::Truncated)?;
        let list = cursor
            .vector(3, "certificate list")
            .map_err(AuthenticatorError::Truncated)?;
        ended(&cursor, "Certificate")?;
        let mut entry = Cursor::new(list);
        if entry.is_empty() {
            return Err(AuthenticatorError::CertificateCount);
        }
        let leaf = entry
            .vector(3, "certificate")
            .map_err(AuthenticatorError::Truncated)?;
        let extensions = entry
            .vector(2, "certificate extensions")
            .map_err(AuthenticatorError::Truncated)?;
        if !entry.is_empty() {
            return Err(AuthenticatorError::CertificateCount);
        }
        Ok(Self {
            context,
            leaf,
            evidence: parse_evidence(extensions)?,
        })
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut inner = Vec::new();
        put_vector(&mut inner, 2, self.evidence)?;
        let mut extensions = PROFILE.evidence_extension.to_be_bytes().to_vec();
        put_vector(&mut extensions, 2, &inner)?;
        let mut list = Vec::new();
        put_vector(&mut list, 3, self.leaf)?;
        put_vector(&mut list, 2, &extensions)?;
        let mut body = Vec::new();
        put_vector(&mut body, 1, self.context)?;
        put_vector(&mut body, 3, &list)?;
        Ok(body)
    }
}

/// Exactly one extension, ours, whose data is `opaque evidence<1..2^16-1>`.
fn parse_evidence(extensions: &[u8]) -> Result<&[u8], AuthenticatorError> {
    let mut cursor = Cursor::new(extensions);
    if cursor.is_empty() {
        return Err(AuthenticatorError::NoEvidence);
    }
    let code_point = cursor
        .u16("extension type")
        .map_err(AuthenticatorError::Truncated)?;
    if code_point != PROFILE.evidence_extension {
        return Err(AuthenticatorError::UnexpectedExtension(code_point));
    }
    let data = cursor
        .vector(2, "evidence extension")
        .map_err(AuthenticatorError::Truncated)?;
    if let Ok(other) = cursor.u16("extension type") {
        return Err(AuthenticatorError::UnexpectedExtension(other));
    }
    ended(&cursor, "the certificate's extensions")?;
    let mut data = Cursor::new(data);
    let evidence = data
        .vector(2, "evidence")
        .map_err(AuthenticatorError::Truncated)?;
    ended(&data, "the evidence")?;
    if evidence.is_empty() {
        return Err(AuthenticatorError::NoEvidence);
    }
    Ok(evidence)
}

/// The signature inside `CertificateVerify`: `u16 scheme; opaque signature<0..2^16-1>`.
pub(super) fn parse_signature(content: &[u8]) -> Result<&[u8], AuthenticatorError> {
    let mut cursor = Cursor::new(content);
    let scheme = cursor
        .u16("signature scheme")
        .map_err(AuthenticatorError::Truncated)?;
    if scheme != ECDSA_SECP256R1_SHA256 {
        return Err(AuthenticatorError::SignatureScheme(scheme));
    }
    let signature = cursor
        .vector(2, "signature")
        .map_err(AuthenticatorError::Truncated)?;
    ended(&cursor, "CertificateVerify")?;
    Ok(signature)
}

pub(super) fn ended(cursor: &Cursor<'_>, what: &'static str) -> Result<(), AuthenticatorError> {
    if cursor.is_empty() {
        Ok(())
    } else {
        Err(AuthenticatorError::TrailingBytes(what))
    }
}
