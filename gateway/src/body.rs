//! Request bodies, bounded in size and in how long they may stall, and payloads as responses.

use std::error::Error;
use std::io;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use protocol::problem::{Problem, ProblemCode};

use crate::blobs::Blobs;
use crate::limits::BODY_STALL;
use crate::problem::{ApiProblem, chain};
use crate::store::Payload;

/// Room for a body before any of it has come; with so much of it there is room for what was announced.
const FIRST_BYTES: usize = 64 * 1024;

/// The announced length of a body, if it is announced.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, ApiProblem> {
    let Some(value) = headers.get(CONTENT_LENGTH) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        Problem::new(ProblemCode::MalformedRequest, "the length is not a number")
            .with_field("content-length")
            .into()
    })
}

/// Refuses a body of another media type; parameters such as `charset` are ignored.
pub(crate) fn require_media_type(headers: &HeaderMap, wanted: &str) -> Result<(), ApiProblem> {
    let seen = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = seen.and_then(|text| text.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    let seen: String = seen.unwrap_or("nothing").chars().take(80).collect();
    let detail = format!("the body must be {wanted}, not {seen}");
    Err(Problem::new(ProblemCode::UnsupportedMediaType, detail)
        .with_field("content-type")
        .into())
}

/// Reads a whole body of at most `limit` bytes; the limit's name goes into the refusal.
pub(crate) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    (bytes_max, name): (usize, &str),
) -> Result<Bytes, ApiProblem> {
    let too_large = || {
        let detail = format!("a body has up to {bytes_max} bytes");
        ApiProblem::from(Problem::new(ProblemCode::LimitExceeded, detail).with_limit(name))
    };
    let announced = content_length(headers)?.map(usize::try_from);
    let announced = match announced {
        None => 0,
        Some(Ok(length)) if length <= bytes_max => length,
        Some(_) => return Err(too_large()),
    };
    let mut bytes = BytesMut::with_capacity(announced.min(FIRST_BYTES));
    let mut pieces = std::pin::pin!(body_stream(body));
    while let Some(piece) = pieces.next().await {
        let piece =
            piece.map_err(|error| Problem::new(ProblemCode::MalformedRequest, chain(&error)))?;
        if piece.len() > bytes_max.saturating_sub(bytes.len()) {
            return Err(too_large());
        }
        if bytes.len() >= FIRST_BYTES {
            bytes.reserve(announced.saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("nothing of the body arrived for {} s", BODY_STALL.as_secs())]
    Stalled,
    #[error("the body broke off")]
    Broken(#[source] axum::Error),
}

/// The pieces of a body; one that stalls ends with an error.
pub(crate) fn body_stream(body: Body) -> impl Stream<Item = Result<Bytes, BodyError>> + Send {
    stream::unfold(Some(body.into_data_stream()), |pieces| async {
        let mut pieces = pieces?;
        match tokio::time::timeout(BODY_STALL, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(BodyError::Broken(error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(BodyError::Stalled), None)),
        }
    })
}

/// Bytes from the store or from a blob, as they are.
pub(crate) async fn payload_response(
    blobs: &Blobs,
    payload: Payload,
) -> Result<Response, ApiProblem> {
    let (length, body) = match payload {
        Payload::Inline(bytes) => {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            (length, Body::from(bytes))
        }
        Payload::Blob(descriptor) => {
            let reader = blobs.read(descriptor.sha256).await.map_err(lost_blob)?;
            (reader.bytes(), Body::from_stream(reader.into_stream()))
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// What the store points at must be there: its absence is no refusal but a fault.
fn lost_blob(error: crate::blobs::BlobError) -> ApiProblem {
    let error: Box<dyn Error + Send + Sync> = Box::new(error);
    ApiProblem::internal(&io::Error::other(error))
}
