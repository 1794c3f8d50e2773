//! cocoon-gateway: admits attested workers, queues tasks, hands them out, records what comes back, serves the API.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | the configuration file, read once and completely |
//! | `refresh` | collateral, fetched before it ends and where a worker missed it |
//! | `references` | NVIDIA's reference manifests, out of their folder |
//! | [`world`] | clock, trust anchor, source of collateral: what `main` chooses |
//! | `run` | a gateway's life: read, open, bind, serve, stop |
//! | `admission` | the relying party: evidence in, session or refusal out |
//! | [`session`] | when a session attests again, is stale, ends: a plain state machine |
//! | `worker` | the worker listener: nothing but attested connections reaches its handlers |
//! | `api` | the API listener: REST over HTTPS |
//! | [`access`] | access tokens |
//! | [`store`], [`blobs`], [`receipts`] | what is durable: the queue, large payloads, what workers signed |
//! | [`metrics`] | what is counted, and the listener that shows it |
//! | [`init`], [`commands`] | a new pool's files, and the command line |
//! | [`limits`] | every limit of the gateway's own |
#![forbid(unsafe_code)]

mod abandoned;
pub mod access;
mod admission;
mod api;
pub mod blobs;
mod body;
pub mod commands;
mod computing;
pub mod config;
mod gateway;
mod housekeeping;
pub mod init;
pub mod limits;
mod listener;
mod listening;
pub mod logging;
pub mod metrics;
mod observe;
mod parts;
mod policy_file;
mod problem;
pub mod receipts;
mod references;
mod refresh;
mod run;
mod serving;
pub mod session;
mod shares;
#[cfg(test)]
mod simulation;
pub mod store;
mod telemetry;
mod unread;
mod worker;
pub mod world;

pub use api::{ApiTlsError, openapi};
pub use config::Config;
pub use listening::Listening;
pub use policy_file::PolicyFileError;
pub use run::{RunError, read_files, run};
pub use world::World;
