//! Quotes: the broker that alone touches configfs-tsm, and the agent's side of its socket.
//!
//! The broker takes *preimages* only, hashes them itself and makes one quote at a time: there is no call that has 64 bytes
//! of a caller's choosing signed, and the stock Linux kernel answers about once a second anyway.

pub mod broker;
pub mod client;
pub mod config;
pub mod configfs_tsm;
pub mod listener;
#[cfg(test)]
mod tests;
