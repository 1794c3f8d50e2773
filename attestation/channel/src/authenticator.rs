//! RFC 9261 client authenticators over a stock TLS connection: the request, how an answer is built, how it is verified.
//!
//! An authenticator is `Certificate ‖ CertificateVerify ‖ Finished`, each a TLS 1.3 handshake message (RFC 8446 section 4).
//! Its signature and MAC cover the request and two values exported from the connection, so that it is worthless on
//! any other one; the evidence rides in an extension of the certificate entry.

mod build;
mod error;
mod keys;
mod message;
mod request;
mod verify;

pub(crate) use build::build;
pub use error::AuthenticatorError;
pub(crate) use keys::AuthenticatorKeys;
pub use message::EVIDENCE_BYTES_MAX;
pub use request::{AuthRequest, Context};
pub(crate) use verify::{Parsed, verify};
