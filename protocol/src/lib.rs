//! What worker, gateway, client and admin say to each other: types, limits, identifiers, the operation catalogue's
//! descriptors and receipts. No I/O, no clock, no randomness of its own: time and random values are arguments.
//!
//! | module | what it holds |
//! |---|---|
//! | [`limits`] | every wire limit, with unit and reason |
//! | [`ids`], [`digest`] | identifiers and SHA-256 digests, one newtype each |
//! | [`task`] | a task's body, its canonical bytes and its digest |
//! | [`requirements`] | what a task demands of its worker |
//! | [`catalogue`] | the operations: parameters, inputs, output sizes, tolerance |
//! | [`lease`], [`control`], [`telemetry`] | worker ↔ gateway, CBOR ([`wire`]; several in one body: [`frames`]) |
//! | [`api`], [`problem`], [`ndjson`] | client and admin ↔ gateway, JSON |
//! | [`receipt`] | leaf, Merkle tree, signed statement, offline verification |
#![forbid(unsafe_code)]

pub mod api;
pub mod catalogue;
pub mod control;
pub mod digest;
pub mod frames;
pub mod ids;
pub mod lease;
pub mod limits;
pub mod ndjson;
pub mod problem;
pub mod receipt;
pub mod requirements;
mod schema;
pub mod task;
pub mod telemetry;
mod text;
pub mod wire;

pub use digest::Sha256Digest;
pub use ids::{FencingToken, IdempotencyKey, SessionId, TaskId, UserName, WorkerId};
