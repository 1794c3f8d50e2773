//! The limits of this crate: name, unit and reason in one place.

use std::time::Duration;

use attestation::collateral::COLLATERAL_BYTES_MAX;

/// One answer of a source. TCB info has some 12 KiB, the PCK Platform CRL some 3 KiB and grows with revocations.
pub const ANSWER_BYTES_MAX: usize = 512 * 1024;
const _: () = assert!(ANSWER_BYTES_MAX < COLLATERAL_BYTES_MAX);
/// An issuer chain, two certificates in PEM, after decoding; real ones have 2 KiB.
pub const ISSUER_CHAIN_BYTES_MAX: usize = 16 * 1024;

/// Base URLs of one client: Intel's, a mirror in each site, and room.
pub const SOURCES_MAX: usize = 8;
/// Name lookup, TCP and TLS together.
pub const CONNECT: Duration = Duration::from_secs(10);
/// One request with its answer. A PCCS that must ask Intel first takes a few seconds.
pub const REQUEST: Duration = Duration::from_secs(20);
/// One source with all its retries, before the next is tried.
pub const SOURCE: Duration = Duration::from_mins(1);
/// How often one request is made again after a failure that may pass.
pub const RETRIES_MAX: u32 = 3;
/// Before the first retry at most; doubles with each.
pub const RETRY_FIRST: Duration = Duration::from_millis(500);
/// What a source may ask for by `Retry-After`; one that wants longer is left for the next one.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(20);
const _: () = assert!(RETRY_AFTER_MAX.as_secs() < SOURCE.as_secs());

/// Families of one store or bundle. Intel knows some 100 in all; a pool has a handful.
pub const FAMILIES_MAX: usize = 256;
/// A bundle with that many families of 60 KiB, and room for revocations.
pub const BUNDLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Families that workers asked for and that are not held, those that failed lately included. The FMSPC is a worker's word,
/// so this bounds what a hostile one makes a pool ask Intel for.
pub const WANTED_FAMILIES_MAX: usize = 16;
/// A part is due when so much of its life is left, or a third of it, whichever is less: time for a broken mirror to be mended.
pub const DUE_BEFORE_S: u64 = 7 * 86_400;
/// Collateral is looked for again after so long though none of it is due: Intel signs TCB info anew every day, and a
/// revocation or a TCB recovery must not wait for three weeks.
pub const REFRESH_AGE_S: u64 = 86_400;
/// What is due and has no successor yet is looked for so often.
pub const DUE_AGAIN_S: u64 = 3_600;
/// After a failure; doubles with each one that follows.
pub const FAILED_FIRST_S: u64 = 300;
pub const FAILED_S_MAX: u64 = 3_600;
