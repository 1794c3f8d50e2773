//! The simulator against the real verifier: accepted under its own root, refused under Intel's, and refused for each
//! thing that a test can ask it to forge.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod admission;
mod broker;
mod determinism;
mod event_log;
mod gpu;
mod verification;
