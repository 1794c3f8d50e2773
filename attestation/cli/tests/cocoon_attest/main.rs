//! `cocoon-attest` as a user meets it: through the binary, and through the library under the simulator's root.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod collateral;
mod explain;
mod harness;
mod inspect;
mod receipt;
mod report_data;
mod usage;
mod vectors;
mod verify;
mod world;
