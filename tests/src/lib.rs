//! Whatever needs more than one crate: the Fleet harness that end-to-end tests and the devnet share, the devnet itself, the
//! faults that its processes go through, the load generator, and the sources' own tests. Never shipped.
#![forbid(unsafe_code)]

pub mod devnet;
pub mod faults;
pub mod fleet;
pub mod load;
pub mod sources;
