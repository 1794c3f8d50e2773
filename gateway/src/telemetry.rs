//! The metrics listener: `/metrics`, `/healthz`, `/readyz`, in plain HTTP and on loopback unless told otherwise.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::gateway::Gateway;
use crate::limits::METRICS_CONNECTIONS_MAX;
use crate::listener::accept;
use crate::problem;
use crate::serving::{Protocol, serve_connection};

/// The Prometheus text format.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves until the gateway stops.
pub(crate) async fn serve(gateway: Arc<Gateway>, listener: TcpListener) {
    let router = router(Arc::clone(&gateway));
    let places = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    while let Some((stream, _)) = accept(&listener, &gateway.stopping).await {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            gateway.metrics.connection_refused("metrics", "connections");
            continue;
        };
        let (router, stopping) = (router.clone(), gateway.stopping.clone());
        connections.spawn(async move {
            // A scraper that broke off is no news.
            let _ = serve_connection(stream, Protocol::Http1, router, &stopping).await;
            drop(place);
        });
    }
    while connections.join_next().await.is_some() {}
}

fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(gateway)
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    // Taken when asked for: what is scraped is of this moment, and nobody counts for nobody.
    count(&gateway).await;
    let mut response = gateway.metrics.render().into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

async fn count(gateway: &Gateway) {
    match gateway.store.counts().await {
        Ok(counts) => {
            let (tasks, workers) = gateway.counts(counts);
            gateway.metrics.tasks(tasks);
            gateway.metrics.workers(workers);
        }
        Err(error) => tracing::warn!(
            error = problem::chain(&error),
            "the store cannot be counted"
        ),
    }
    let graces_ms = gateway.sessions.tcb_graces_ms();
    gateway.metrics.tcb_graces(&graces_ms, gateway.now_ms());
    gateway.metrics.store(gateway.store.write_statistics());
}

/// The process runs and answers.
async fn healthy() -> &'static str {
    "ok\n"
}

/// It can take tasks: the store answers, and it is not stopping.
async fn ready(State(gateway): State<Arc<Gateway>>) -> (StatusCode, &'static str) {
    if gateway.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match gateway.store.answers().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the store does not answer\n",
        ),
    }
}
