//! `cocoon-attest` as a user meets it: through the binary, and through the library under the simulator's root.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod bundle;
mod collateral;
mod doctor;
mod explain;
mod gpu;
mod harness;
mod inspect;
mod inspect_kinds;
mod policy;
mod receipt;
mod report_data;
mod shell;
mod usage;
mod vectors;
mod verify;
mod world;
