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
    let transfers = is_transfer(request.uri().path());
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

/// Whether it moves a payload, of whatever length.
pub(crate) fn is_transfer(path: &str) -> bool {
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
        "the request was not answered within {} s, and may have had its effect: look before you repeat it",
        API_REQUEST.as_secs()
    );
    Problem::new(ProblemCode::NotInTime, detail).into()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use http::StatusCode;
    use tower::ServiceExt;

    use super::*;

    /// `overloaded` would say that it had not begun, and a client would send it again.
    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_may_have_had_its_effect() {
        let layer = from_fn_with_state(Metrics::default(), api_requests);
        let router = Router::new()
            .route("/v1/tasks", post(std::future::pending::<()>))
            .layer(layer);
        let request = http::Request::post("/v1/tasks").body(Body::empty());
        let response = router.oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await;
        let problem: Problem = serde_json::from_slice(&body.unwrap()).unwrap();
        assert_eq!(problem.code, ProblemCode::NotInTime);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_leaves_time_for_its_answer() {
        let (began, second) = (Began(Instant::now()), Duration::from_secs(1));
        let whole = API_REQUEST.saturating_sub(API_ANSWER);
        assert_eq!(began.left(), whole);
        tokio::time::advance(whole.saturating_sub(second)).await;
        assert_eq!(began.left(), second);
        tokio::time::advance(API_REQUEST).await;
        assert_eq!(began.left(), Duration::ZERO);
    }
}
