//! The conformance suite: everything a store must do, said through its public methods alone.

mod acks;
mod ageing;
mod durability;
mod fairness;
pub(crate) mod harness;
mod leases;
mod life;
mod properties;
mod records;
mod retention;
mod submissions;
