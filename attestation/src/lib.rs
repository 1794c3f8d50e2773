//! From untrusted bytes to an attestation result: a pure function of evidence, collateral, policy and time.
//!
//! The road has one direction, and each stage is a type that only the stage before it can make:
//!
//! ```text
//! bytes ── parse ──▶ Quote ── verify ──▶ VerifiedQuote ── appraise ──▶ AttestationResult
//! ```
//!
//! * [`Quote::parse`] reads the structure of an Intel DCAP quote; nothing in it is believed yet.
//! * [`Verifier::verify`] follows the signatures to a [`TrustAnchor`] with the help of Intel's [`Collateral`].
//! * [`Appraiser::appraise`] holds the verified claims, the [`Binding`] of the connection and the worker's
//!   [`Claims`] against an [`AppraisalPolicy`], and writes a [`Transcript`] of every step.
//!
//! Nothing here reads a file, a clock or a socket: `now_s` (seconds since the Unix epoch) is an argument wherever
//! time matters. Every refusal has a stable [`ErrorCode`].
//!
//! Quotes are malleable: padding, the outer certification type and the ECDSA signatures can change without a change
//! of meaning. Key nothing on a hash of a quote; the identity of an attestation is its [`ReportData`].

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod anchor;
mod appraise;
mod binding;
pub mod broker;
pub mod claims;
mod codes;
pub mod collateral;
mod cursor;
mod digest;
mod enrolment;
pub mod event_log;
pub mod evidence;
mod family;
pub mod gpu;
pub mod policy;
mod quote;
mod record;
mod result;
mod tcb;
mod td;
mod text;
mod time;
mod transcript;
mod verify;

pub use anchor::{TrustAnchor, TrustAnchorError};
pub use appraise::Appraiser;
pub use binding::{Binding, Preimage, PreimageError, ReportData, Role, SuiteHash};
pub use claims::{Claims, ClaimsError, ExecutorKind, GpuClaim, LibraryClaim};
pub use codes::{ErrorCode, UnknownErrorCode};
pub use collateral::{Collateral, CollateralError, CollateralPart};
pub use enrolment::{
    Enrolment, EnrolmentMacMismatch, EnrolmentSecret, PlatformStanding, SECRET_BYTES_MIN,
    enrolment_mac,
};
pub use event_log::{EventLog, EventLogError};
pub use evidence::{Evidence, EvidenceError, EvidenceMember};
pub use family::{Family, FamilyError, PckCa, PckCaError};
pub use policy::{AppraisalPolicy, PolicyError};
pub use quote::{PckCertificate, Quote, QuoteBody, QuoteError, SgxQuoteBody, Tee};
pub use record::AttestationRecord;
pub use result::{AttestationResult, Refusal};
pub use tcb::{TcbStatus, TcbVerdict, UnknownTcbStatus};
pub use td::{Measurement, Td15, Td15Extended, TdAttributes, TdQuoteBody};
pub use text::one_line;
pub use time::rfc_3339;
pub use transcript::{Outcome, Step, Transcript};
pub use verify::{
    CertificateChain, ChainFault, Details, VerifiedCollateral, VerifiedQuote, Verifier, VerifyError,
};
