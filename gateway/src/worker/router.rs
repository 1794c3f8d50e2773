//! The routes of an attested connection.

use axum::Router;
use axum::routing::{get, post, put};

use super::connection::AttestedConnection;
use super::{acks, control, leases, payloads};
use crate::problem;

/// The router of one connection.
pub(super) fn router(attested: AttestedConnection) -> Router {
    Router::new()
        .route("/v1/control", post(control::open))
        .route("/v1/lease", post(leases::lease))
        .route("/v1/ack", post(acks::ack))
        .route("/v1/nack", post(acks::nack))
        .route("/v1/tasks/{task}/inputs/{index}", get(payloads::input))
        .route("/v1/outputs/{sha256}", put(payloads::output))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(
            attested.gateway().metrics.clone(),
            crate::observe::worker_requests,
        ))
        .with_state(attested)
}
