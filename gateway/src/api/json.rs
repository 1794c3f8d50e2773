//! JSON bodies in and out.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use futures_util::stream;
use protocol::limits::API_BODY_BYTES_MAX;
use protocol::problem::{Problem, ProblemCode};
use serde::de::DeserializeOwned;

use super::access::reserve_for;
use crate::body::{content_length, read_body, require_media_type};
use crate::gateway::Gateway;
use crate::problem::ApiProblem;
use crate::shares::Memory;

/// A JSON body.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Gateway>> for JsonBody<T> {
    type Rejection = ApiProblem;

    async fn from_request(request: Request, _: &Arc<Gateway>) -> Result<Self, ApiProblem> {
        let (bytes, _memory) = take_body(request, "application/json").await?;
        parse(&bytes).map(Self)
    }
}

/// Reads one JSON value.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiProblem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let detail = format!("the JSON cannot be read: {error}");
        Problem::new(ProblemCode::MalformedRequest, detail).into()
    })
}

/// A body whose memory is accounted for until it is sent.
pub(super) fn held(bytes: Vec<u8>, memory: Memory) -> Body {
    let pieces = stream::unfold((Some(bytes), memory), |(bytes, memory)| async move {
        bytes.map(|bytes| (Ok::<_, Infallible>(bytes), (None, memory)))
    });
    Body::from_stream(pieces)
}

/// Reads the body of a request, and keeps its memory accounted for as long as the second value lives.
pub(super) async fn take_body(
    request: Request,
    media_type: &str,
) -> Result<(Bytes, Memory), ApiProblem> {
    require_media_type(request.headers(), media_type)?;
    let bytes_max = u64::try_from(API_BODY_BYTES_MAX).unwrap_or(u64::MAX);
    let expected = content_length(request.headers())?
        .unwrap_or(bytes_max)
        .min(bytes_max);
    let memory = reserve_for(&request, usize::try_from(expected).unwrap_or(usize::MAX))?;
    let (parts, body) = request.into_parts();
    let limit = (API_BODY_BYTES_MAX, "API_BODY_BYTES_MAX");
    let bytes = read_body(&parts.headers, body, limit).await?;
    Ok((bytes, memory))
}
