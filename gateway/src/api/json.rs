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
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::body::{content_length, read_body, require_media_type};
use crate::gateway::Gateway;
use crate::limits::API_BODIES_BYTES_MAX;
use crate::problem::ApiProblem;

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

/// Memory for a body of so many bytes, if there is any left.
pub(super) fn reserve(bytes: usize) -> Result<SemaphorePermit<'static>, ApiProblem> {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    MEMORY_KIB.try_acquire_many(kib).map_err(|_| {
        let detail = "too many requests are being read or answered; come back";
        Problem::new(ProblemCode::Overloaded, detail).into()
    })
}

/// A body whose memory is accounted for until it is sent.
pub(super) fn held(bytes: Vec<u8>, memory: SemaphorePermit<'static>) -> Body {
    let pieces = stream::unfold((Some(bytes), memory), |(bytes, memory)| async move {
        bytes.map(|bytes| (Ok::<_, Infallible>(bytes), (None, memory)))
    });
    Body::from_stream(pieces)
}

/// KiB of bodies in memory, of all gateways of the process.
static MEMORY_KIB: Semaphore = Semaphore::const_new(API_BODIES_BYTES_MAX / 1024);

/// Reads the body of a request, and keeps its memory accounted for as long as the second value lives.
pub(super) async fn take_body(
    request: Request,
    media_type: &str,
) -> Result<(Bytes, SemaphorePermit<'static>), ApiProblem> {
    let (parts, body) = request.into_parts();
    require_media_type(&parts.headers, media_type)?;
    let bytes_max = u64::try_from(API_BODY_BYTES_MAX).unwrap_or(u64::MAX);
    let expected = content_length(&parts.headers)?
        .unwrap_or(bytes_max)
        .min(bytes_max);
    let memory = reserve(usize::try_from(expected).unwrap_or(usize::MAX))?;
    let limit = (API_BODY_BYTES_MAX, "API_BODY_BYTES_MAX");
    let bytes = read_body(&parts.headers, body, limit).await?;
    Ok((bytes, memory))
}
