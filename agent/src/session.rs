//! One attested connection, from the TCP connection to the requests that a worker makes over it.

mod connect;
mod offer;
mod requests;

pub use connect::{ConnectError, Connected, Connector};
pub use offer::{Offer, RefusedLease};
pub use requests::{Leasing, Requests};

#[cfg(test)]
pub(crate) use offer::tests;
