//! Around every request: its id, its metrics, its line in the log, its time limit.

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use protocol::problem::{Problem, ProblemCode};
use tokio::time::Instant;

use crate::limits::{API_ANSWER, API_REQUEST};
use crate::metrics::Metrics;
use crate::problem::ApiProblem;
use crate::unread;

/// The caller's id for a request, or ours; it comes back with the answer and stands in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A UUID or ULID with a prefix; anything longer is somebody's payload.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Requests of the API listener.
pub(crate) async fn api_requests(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let id = request_id(&request);
    let transfers = is_transfer(&request);
    let seen = Seen::of(&request);
    let (mut request, unread) = unread::lend(request);
    request.extensions_mut().insert(Began(seen.began));
    let answer = next.run(request);
    let mut response = if transfers {
        // Bounded by its stalls, not by its length.
        answer.await
    } else {
        tokio::time::timeout(API_REQUEST, answer)
            .await
            .unwrap_or_else(|_| timed_out().into_response())
    };
    seen.note(&metrics, "api", &response, id.to_str().unwrap_or_default());
    response.headers_mut().insert(REQUEST_ID, id);
    unread.read_away().await;
    response
}

/// Requests of an attested connection.
pub(crate) async fn worker_requests(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let seen = Seen::of(&request);
    let response = next.run(request).await;
    seen.note(&metrics, "worker", &response, "");
    response
}

/// When a request of the API began, body and all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began(Instant);

impl Began {
    /// How long the request may wait yet and still be answered in time.
    pub(crate) fn left(self) -> Duration {
        let end = API_REQUEST.saturating_sub(API_ANSWER);
        end.saturating_sub(self.0.elapsed())
    }
}

struct Seen {
    method: &'static str,
    route: String,
    began: Instant,
}

impl Seen {
    fn of(request: &Request) -> Self {
        // Paths that no route has would be labels of a caller's choosing; so would odd methods.
        let route = request
            .extensions()
            .get::<MatchedPath>()
            .map(MatchedPath::as_str);
        Self {
            method: method_label(request.method()),
            route: route.unwrap_or("none").to_owned(),
            began: Instant::now(),
        }
    }

    fn note(&self, metrics: &Metrics, listener: &'static str, response: &Response, id: &str) {
        let took = self.began.elapsed();
        let status = response.status().as_u16();
        metrics.request(listener, self.method, &self.route, status, took);
        tracing::debug!(
            listener,
            method = self.method,
            route = self.route,
            status,
            ?took,
            request_id = id,
            "request"
        );
    }
}

fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

fn is_transfer(request: &Request) -> bool {
    let path = request.uri().path();
    path.starts_with("/v1/blobs/") || path.ends_with("/output")
}

fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID).filter(|value| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let bytes = value.as_bytes();
        !bytes.is_empty() && bytes.len() <= REQUEST_ID_BYTES_MAX && bytes.iter().all(plain)
    });
    given.cloned().unwrap_or_else(|| {
        let mut bytes = [0; 16];
        // Without randomness ids repeat, which costs a log line its meaning and nothing else.
        let _ = getrandom::fill(&mut bytes);
        HeaderValue::try_from(hex::encode(bytes))
            .unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

fn timed_out() -> ApiProblem {
    let detail = format!(
        "the request was not answered within {} s",
        API_REQUEST.as_secs()
    );
    Problem::new(ProblemCode::Overloaded, detail).into()
}
