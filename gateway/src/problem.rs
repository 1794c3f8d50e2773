//! Refusals as HTTP answers: every one is a [`Problem`] in JSON, on both listeners.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode, Uri};
use protocol::problem::{MEDIA_TYPE, Problem, ProblemCode};

use crate::blobs::BlobError;
use crate::store::StoreError;

/// When to come back after an overload: a moment later there may be room.
const RETRY_OVERLOAD: Duration = Duration::from_secs(1);
/// … after a full queue: until some of a long one has run.
const RETRY_QUOTA: Duration = Duration::from_secs(10);

/// A refused request.
#[derive(Debug)]
pub(crate) struct ApiProblem {
    problem: Box<Problem>,
    /// For what passes by itself.
    retry_after: Option<Duration>,
}

impl ApiProblem {
    /// Something failed that is not the caller's doing: the log says what, the caller learns that it did.
    pub(crate) fn internal(error: &dyn Error) -> Self {
        tracing::error!(error = chain(error), "a request failed");
        Problem::new(
            ProblemCode::Internal,
            "see the gateway's log, by the request id",
        )
        .into()
    }

    pub(crate) fn into_problem(self) -> Problem {
        *self.problem
    }

    /// When the same request may be made again.
    pub(crate) fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.retry_after.map(whole_seconds)
    }
}

impl From<Problem> for ApiProblem {
    fn from(problem: Problem) -> Self {
        let retry_after = match problem.status {
            503 => Some(RETRY_OVERLOAD),
            429 => Some(RETRY_QUOTA),
            _ => None,
        };
        Self {
            problem: Box::new(problem),
            retry_after,
        }
    }
}

impl From<StoreError> for ApiProblem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Problem::new(
                ProblemCode::Overloaded,
                "too much waits to be written; come back",
            )
            .into(),
            StoreError::Closed => Problem::new(
                ProblemCode::Overloaded,
                "the gateway is stopping; come back",
            )
            .into(),
            StoreError::Undone => Problem::new(
                ProblemCode::Overloaded,
                "it was undone with another write that failed; come back",
            )
            .into(),
            other => Self::internal(&other),
        }
    }
}

impl From<BlobError> for ApiProblem {
    fn from(error: BlobError) -> Self {
        let code = match &error {
            BlobError::TooLarge { .. } => {
                let problem = Problem::new(ProblemCode::LimitExceeded, error.to_string());
                return problem.with_limit("BLOB_BYTES_MAX").into();
            }
            BlobError::Length { .. } | BlobError::Interrupted(_) => ProblemCode::MalformedRequest,
            BlobError::Digest { .. } => ProblemCode::DigestMismatch,
            BlobError::Missing(_) => ProblemCode::NotFound,
            BlobError::DiskFull | BlobError::Io(_) => return Self::internal(&error),
        };
        Problem::new(code, chain(&error)).into()
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let problem = &self.problem;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The fallback for paths that no route has.
pub(crate) async fn not_found(uri: Uri) -> ApiProblem {
    let path: String = uri.path().chars().take(200).collect();
    let detail =
        format!("there is no `{path}`; GET /openapi.json on the API listener lists what there is");
    Problem::new(ProblemCode::NotFound, detail).into()
}

/// The fallback for methods that a route does not have.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> ApiProblem {
    let (method, path): (String, String) = (
        method.as_str().chars().take(20).collect(),
        uri.path().chars().take(200).collect(),
    );
    Problem::new(
        ProblemCode::MethodNotAllowed,
        format!("`{path}` has no {method}"),
    )
    .into()
}

/// Rounded up: whoever comes back then is in time.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    let begun = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(begun)
}

/// An error and its sources in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
