//! Intel's collateral, from the network to a folder: fetched from PCS or a PCCS, verified, and never replaced by older.
//!
//! The network is untrusted. A [`Client`] asks its [`Source`]s in order and believes nothing that they say: what they send
//! becomes [`attestation::VerifiedCollateral`] under the caller's trust anchor, or is refused by name ([`Rejection`]).
//! Only verified collateral enters a [`CollateralStore`], a folder with one file for each [`attestation::Family`].
//!
//! | module | what it does |
//! |---|---|
//! | `source` | a base URL, and the paths of Intel's API version 4 below it |
//! | `answer` | one answer's parts, assembled to collateral |
//! | `client` | asking the sources in order, with limits and retries |
//! | `acceptance` | what may take the place of what is held |
//! | `store`, `bundle` | the folder, and all of it as one file for pools without a network |
//! | [`agenda`] | which family is looked for when: a plain state machine |
#![forbid(unsafe_code)]

mod acceptance;
pub mod agenda;
mod answer;
mod bundle;
mod client;
mod failure;
pub mod limits;
mod refresh;
mod retry;
mod source;
mod store;
mod tls;

pub use acceptance::{Acceptance, Rejection};
pub use answer::AnswerError;
pub use bundle::{Bundle, BundleError, Entry, EntryError, Imported};
pub use client::{Client, ClientError, Fetched, Options, Timing};
pub use failure::{Attempt, FailureKind, FetchError, SourceFailure};
pub use refresh::{RefreshError, Refreshed, refresh};
pub use source::{Source, SourceError, Update};
pub use store::{CollateralFault, CollateralStore, Put, Reading, StoreError, Stored, write_whole};
pub use tls::TlsError;
