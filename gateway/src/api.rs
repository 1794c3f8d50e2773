//! The API listener: REST over HTTPS for clients, operators and dashboards. Routes and their description come from the same
//! annotations, one file for each resource.

mod access;
mod batch;
mod blobs;
mod catalogue;
mod embeddings;
mod events;
mod explain;
mod json;
mod openapi;
mod outputs;
mod policy;
mod server;
mod status;
mod submission;
mod tasks;
mod workers;

pub use openapi::openapi;
pub use server::ApiTlsError;
pub(crate) use server::{ApiTls, serve};

use std::sync::Arc;

use axum::{Extension, Router};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::gateway::Gateway;
use crate::{observe, problem};

/// The routes of users, and what they say of themselves.
fn of_users() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new()
        .routes(routes!(tasks::submit, tasks::list))
        .routes(routes!(batch::submit_batch))
        .routes(routes!(tasks::show))
        .routes(routes!(events::follow))
        .routes(routes!(explain::task))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::redrive))
        .routes(routes!(outputs::output))
        .routes(routes!(outputs::receipt))
        .routes(routes!(outputs::attestation))
        .routes(routes!(embeddings::embed))
        .routes(routes!(blobs::upload, blobs::head))
        .routes(routes!(catalogue::operations))
        .routes(routes!(status::status))
        .routes(routes!(policy::reload))
        .routes(routes!(workers::create, workers::list))
        .routes(routes!(workers::show, workers::delete))
        .routes(routes!(explain::worker))
        .routes(routes!(workers::drain))
        .routes(routes!(workers::undrain))
        .routes(routes!(workers::attestation))
}

/// All routes behind one another; those of users as they are given.
fn described(of_users: OpenApiRouter<Arc<Gateway>>) -> (Router<Arc<Gateway>>, OpenApi) {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(of_users)
        .routes(routes!(openapi::document))
        .split_for_parts()
}

/// The router of the API listener.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    serving(routes(), gateway)
}

/// The routes alone, of no gateway yet.
pub(crate) fn routes() -> Router<Arc<Gateway>> {
    let admit = axum::middleware::from_fn(access::admit);
    described(of_users().route_layer(admit)).0
}

/// Routes as a gateway serves them.
pub(crate) fn serving(routes: Router<Arc<Gateway>>, gateway: Arc<Gateway>) -> Router {
    routes
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        // As one: each layer of a router costs every request a box.
        .layer((
            Extension(Arc::clone(&gateway)),
            axum::middleware::from_fn_with_state(gateway.metrics.clone(), observe::api_requests),
        ))
        .with_state(gateway)
}
