//! The pool's client: a library over the gateway's REST API, and the program `cocoon` on top of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`gateway`] | [`Gateway`]: one typed method for each route; time limits, retries, verified downloads |
//! | [`tls`] | which roots the gateway's certificate may end in |
//! | [`task`] | a task made ready before any network: inputs digested, body read against the catalogue, digest computed |
//! | [`receipt`] | what a receipt proves to somebody who knows what was submitted |
//! | [`ledger`] | what this machine submitted, so that a later command knows what to expect |
//! | [`config`] | flags, environment and file become one [`Config`](config::Config) |
//! | [`files`] | files handed to the user, whole or not at all |
//! | [`program`], [`terminal`], [`table`], [`view`], [`progress`], [`failure`], [`exit`] | how the programs speak; `cocoon-admin` shares them |
//! | [`cli`] | the commands of `cocoon` |
//!
//! The gateway is not trusted with the content: the client computes the task digest itself and compares it with the
//! gateway's answer and with the receipt, and no output is handed on before its digest was compared.
#![forbid(unsafe_code)]

pub mod access_token;
pub mod cli;
pub mod config;
pub mod exit;
pub mod failure;
pub mod files;
pub mod gateway;
pub mod ledger;
pub mod program;
pub mod progress;
pub mod receipt;
pub mod table;
pub mod task;
pub mod terminal;
pub mod tls;
pub mod view;

pub use access_token::AccessToken;
pub use exit::Exit;
pub use gateway::{Gateway, GatewayError};
