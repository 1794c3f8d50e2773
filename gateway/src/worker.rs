//! The worker listener: attested connections only. What a handler here is given came out of the gate.

mod acks;
mod connection;
mod control;
mod driver;
mod gates;
mod leases;
mod listener;
mod message;
mod payloads;
mod reappraising;
mod router;
mod sessions;

pub(crate) use listener::serve;
pub(crate) use sessions::{Command, LiveSession, Sessions};
