//! The worker's side of the pool: `cocoon-worker` attests, leases tasks, has its executor child run them and reports;
//! `cocoon-quote` is the small privileged broker that alone touches configfs-tsm.
//!
//! | module | what it holds |
//! |---|---|
//! | [`command_line`] | what both programs do with theirs |
//! | [`config`] | the configuration file, read once and completely |
//! | [`machine`] | every decision of the worker's life: events and `now` in, actions out; no clock, no await |
//! | [`driver`] | carries the actions out: the one `select!`, the one `JoinSet` |
//! | [`session`] | one attested connection: connect, attest, the requests that a worker makes |
//! | [`evidence`] | what the worker says of itself, and the quote over it |
//! | [`gpus`] | the GPUs' evidence, and their ready state |
//! | [`executor`] | the executor child's supervisor thread |
//! | [`model`] | the model's files, fetched and verified |
//! | [`receipts`] | receipt leaves and signed ack batches |
//! | [`telemetry`] | what NVML says of the GPUs |
//! | [`health`], [`systemd`], [`logging`] | how the process is watched |
//! | [`https`] | the client of what is fetched beside the gateway |
//! | [`quote`] | the quote broker: its source, its socket, its client |
#![forbid(unsafe_code)]

pub mod command_line;
pub mod config;
pub mod driver;
pub mod evidence;
pub mod executor;
pub mod gpus;
pub mod health;
pub mod https;
pub mod logging;
pub mod machine;
pub mod model;
pub mod quote;
pub mod receipts;
pub mod run;
pub mod session;
pub mod systemd;
pub mod telemetry;
pub mod world;

pub use run::{RunError, run};
pub use world::World;
