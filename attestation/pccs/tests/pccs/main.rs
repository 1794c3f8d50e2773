//! Collateral from a mock of Intel's service over loopback into a folder, with everything that may go wrong on the way.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests end where they fail"
)]

mod bundle;
mod faults;
mod fetch;
mod recorded;
mod store;
mod tls;
mod world;
