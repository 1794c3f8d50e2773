//! End to end: a gateway and workers as processes, attested over simulated quotes, doing real work.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod commands;
mod documents;
mod embed;
mod faults;
mod interface;
mod listeners;
mod loss;
mod outputs;
mod policy;
mod pool;
mod refusal;
mod stopping;
