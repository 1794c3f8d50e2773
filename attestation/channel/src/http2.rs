//! HTTP/2 on an attested connection: the worker is the client, the gateway the server.
//!
//! Each connection is one future that its owner drives; nothing is spawned behind the owner's back, so dropping the future
//! ends the connection and everything that runs on it.

mod driver;
mod error;
mod gateway;
mod limits;
mod worker;

pub use error::HttpError;
pub use gateway::GatewayHttp;
pub use worker::{WorkerDriver, WorkerHttp};

use std::error::Error;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// A body whose source no longer matters.
pub(crate) type BoxedBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;
