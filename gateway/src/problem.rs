//! Refusals as HTTP answers: every one is a [`Problem`] in JSON, on both listeners.

use std::error::Error;
use std::fmt::Write;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode, Uri};
use protocol::problem::{MEDIA_TYPE, Problem, ProblemCode};

use crate::blobs::BlobError;
use crate::store::StoreError;

/// A refused request.
#[derive(Debug)]
pub(crate) struct ApiProblem(Box<Problem>);

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
        *self.0
    }
}

impl From<Problem> for ApiProblem {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
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
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // Until some of a long queue has run.
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
            }
            _ => {}
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
