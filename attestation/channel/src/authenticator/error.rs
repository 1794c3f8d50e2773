//! Why a request or an authenticator is refused; one variant per reason.

use attestation::ErrorCode;

use crate::cursor::{TooLong, Truncated};

/// Why an authentication request or an authenticator is refused, or cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticatorError {
    /// The bytes end inside a field.
    #[error("the message ends too soon")]
    Truncated(#[source] Truncated),
    /// Bytes follow where the message should have ended.
    #[error("bytes follow the end of {0}")]
    TrailingBytes(&'static str),
    /// A handshake message of another type stands here.
    #[error("handshake message of type {seen} where type {wanted} belongs")]
    UnexpectedMessage {
        /// The type that belongs here (RFC 8446 section 4).
        wanted: u8,
        /// The type found.
        seen: u8,
    },
    /// The request is of another profile.
    #[error("the request is not of this profile")]
    OtherProfile,
    /// The request is of this profile but not as the profile writes it.
    #[error("the request is not as the profile writes it")]
    MalformedRequest,
    /// The certificate list does not hold exactly one entry.
    #[error("the authenticator does not hold exactly one certificate")]
    CertificateCount,
    /// The certificate entry does not carry exactly the evidence extension.
    #[error("the certificate entry carries extension {0:#06x}, not exactly the evidence")]
    UnexpectedExtension(u16),
    /// The certificate entry carries no evidence.
    #[error("the certificate entry carries no evidence")]
    NoEvidence,
    /// The signature is of another scheme than `ecdsa_secp256r1_sha256`.
    #[error("the signature scheme {0:#06x} is not ecdsa_secp256r1_sha256")]
    SignatureScheme(u16),
    /// The authenticator answers a context that this side never issued.
    #[error("the context is not the one asked for")]
    OtherContext,
    /// The authenticator answers a context that has been used on this connection.
    #[error("the context has been used before")]
    ContextUsed,
    /// An authenticator arrived although none was asked for.
    #[error("no authenticator was asked for")]
    NotRequested,
    /// This connection has used up its contexts.
    #[error("the connection has used all of its contexts")]
    ContextsExhausted,
    /// The leaf is not the one of the TLS handshake.
    #[error("the certificate is not the one of the TLS handshake")]
    OtherCertificate,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// The MAC over the whole exchange does not verify.
    #[error("the Finished MAC does not verify")]
    Finished,
    /// The evidence does not fit its extension.
    #[error("the evidence does not fit an authenticator")]
    EvidenceTooLong(#[source] TooLong),
    /// The connection yields no exported values (it is closed).
    #[error("the connection exports no keying material")]
    Exporter(#[source] Option<rustls::Error>),
    /// The worker's key could not sign, or the system gave no random bytes.
    #[error("the cryptographic provider failed")]
    Provider,
}

impl AuthenticatorError {
    /// The stable code of this refusal.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OtherProfile => ErrorCode::ProfileUnsupported,
            Self::Truncated(_)
            | Self::TrailingBytes(_)
            | Self::UnexpectedMessage { .. }
            | Self::MalformedRequest
            | Self::CertificateCount
            | Self::UnexpectedExtension(_)
            | Self::NoEvidence
            | Self::SignatureScheme(_)
            | Self::EvidenceTooLong(_) => ErrorCode::AuthenticatorMalformed,
            Self::OtherContext | Self::ContextUsed | Self::NotRequested => {
                ErrorCode::ContextMismatch
            }
            Self::OtherCertificate => ErrorCode::LeafMismatch,
            Self::Signature => ErrorCode::CertificateVerifyInvalid,
            Self::Finished => ErrorCode::FinishedInvalid,
            Self::Exporter(_) => ErrorCode::ConnectionLost,
            Self::ContextsExhausted => ErrorCode::SessionExpired,
            Self::Provider => ErrorCode::Internal,
        }
    }
}
