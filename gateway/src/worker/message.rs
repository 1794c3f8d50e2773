//! Worker messages as request and response bodies: CBOR, bounded.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use protocol::limits::WORKER_BODY_BYTES_MAX;
use protocol::problem::{Problem, ProblemCode};
use protocol::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::{read_body, require_media_type};
use crate::problem::ApiProblem;

/// A CBOR body.
pub(super) struct Cbor<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Cbor<T> {
    type Rejection = ApiProblem;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiProblem> {
        let (parts, body) = request.into_parts();
        require_media_type(&parts.headers, wire::MEDIA_TYPE)?;
        let limit = (WORKER_BODY_BYTES_MAX, "WORKER_BODY_BYTES_MAX");
        let bytes = read_body(&parts.headers, body, limit).await?;
        let message = wire::decode(&bytes, WORKER_BODY_BYTES_MAX).map_err(|error| {
            Problem::new(ProblemCode::MalformedRequest, crate::problem::chain(&error))
        })?;
        Ok(Self(message))
    }
}

impl<T: Serialize> IntoResponse for Cbor<T> {
    fn into_response(self) -> Response {
        match wire::encode(&self.0) {
            Ok(bytes) => {
                let mut response = Response::new(Body::from(bytes));
                let media_type = HeaderValue::from_static(wire::MEDIA_TYPE);
                response.headers_mut().insert(CONTENT_TYPE, media_type);
                response
            }
            Err(error) => ApiProblem::internal(&error).into_response(),
        }
    }
}
