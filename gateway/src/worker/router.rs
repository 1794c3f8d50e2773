//! The routes of attested connections: one router for all, so that ten thousand connections do not hold one each. Whose
//! connection a request came over stands in its extensions, which no peer can write.

use std::convert::Infallible;

use axum::Router;
use axum::routing::{get, post, put};
use http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;

use super::connection::AttestedConnection;
use super::{acks, control, leases, payloads};
use crate::metrics::Metrics;
use crate::problem;

/// The router of every connection; its handlers refuse what did not come through [`routed`].
pub(super) fn router(metrics: Metrics) -> Router {
    Router::new()
        .route("/v1/control", post(control::open))
        .route("/v1/leases", post(leases::lease))
        .route("/v1/ack", post(acks::ack))
        .route("/v1/nack", post(acks::nack))
        .route("/v1/tasks/{task}/inputs/{index}", get(payloads::input))
        .route("/v1/outputs/{sha256}", put(payloads::output))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(
            metrics,
            crate::observe::worker_requests,
        ))
}

/// The router as one connection's service.
pub(super) fn routed(
    router: Router,
    attested: AttestedConnection,
) -> impl Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future: Send,
> + Clone {
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(attested.clone());
        router.call(request)
    })
}
