//! Every parser of untrusted bytes as a fuzz target: what must hold of it whatever bytes it is given. Never shipped.
//!
//! A target is an ordinary function that panics where a property does not hold, and it says more than "does not panic":
//! what decodes encodes to the same bytes, the same bytes give the same answer, and nothing is accepted whose meaning
//! nobody signed. libFuzzer drives the targets in `cargo ci fuzz`; this crate's tests drive them without it, with the
//! seeds and simple mutations of them.
//!
//! A new parser gets a file under `targets/` and a line in [`TARGETS`].

#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a target fails as a test does"
)]

mod edits;
mod scene;
mod seeds;
mod targets;

pub use edits::edited;
pub use seeds::Seeds;

/// One parser, or a few that read the same bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name in `cargo ci fuzz NAME`.
    pub name: &'static str,
    /// Panics if a property does not hold for these bytes.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn(&mut Seeds),
    /// Words that a mutation would hardly find by itself.
    pub dictionary: &'static [&'static [u8]],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    targets::authenticator::TARGET,
    targets::broker::TARGET,
    targets::certificate::TARGET,
    targets::claims::TARGET,
    targets::collateral::TARGET,
    targets::event_log::TARGET,
    targets::evidence::TARGET,
    targets::frames::TARGET,
    targets::gpu::CERTIFICATE,
    targets::gpu::EVIDENCE,
    targets::gpu::OCSP,
    targets::gpu::REPORT,
    targets::manifest::TARGET,
    targets::policy::TARGET,
    targets::quote::TARGET,
    targets::receipt::TARGET,
    targets::record::TARGET,
    targets::revocation::TARGET,
    targets::statement::TARGET,
    targets::task::TARGET,
    targets::wire::TARGET,
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
