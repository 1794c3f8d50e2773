//! The whole gateway over real sockets: HTTPS requests, attested workers with simulated evidence, nonsense on every
//! listener.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests end where they fail"
)]

mod access;
mod admission;
mod blobs;
mod collateral;
mod command_line;
mod document;
mod embeddings;
mod events;
mod explain;
mod https;
mod leases;
mod lifecycle;
mod nonsense;
mod operator;
#[path = "../../src/store/tests/harness/place.rs"]
#[expect(dead_code, reason = "the conformance suite needs more of it")]
mod place;
mod pool;
mod reappraisal;
mod references;
mod requirements;
mod servers;
mod sessions;
mod shares;
mod tasks;
mod worker;

use gateway::store;
