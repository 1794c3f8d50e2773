//! Inputs that a lease did not carry, and outputs that an ack will not carry.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, StatusCode};
use protocol::lease::LeaseRef;
use protocol::limits::BLOB_BYTES_MAX;
use protocol::problem::{Problem, ProblemCode};
use protocol::{FencingToken, Sha256Digest, TaskId};

use super::LiveSession;
use super::connection::AttestedConnection;
use crate::blobs::Upload;
use crate::body::{body_stream, content_length, payload_response};
use crate::parts::{PathPart, PathParts};
use crate::problem::ApiProblem;
use crate::store::LeaseInputError;

/// The header that names the lease.
const FENCING_TOKEN: &str = "fencing-token";

pub(super) async fn input(
    attested: AttestedConnection,
    PathParts(task, index): PathParts<TaskId, usize>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    let session = attested.fresh_session()?;
    let lease = LeaseRef {
        task,
        fencing_token: fencing_token(&headers)?,
    };
    let gateway = attested.gateway();
    let payload = gateway
        .store
        .lease_input(&session.worker, lease, index)
        .await
        .map_err(refuse_input)?;
    let session = Arc::clone(session);
    let response = payload_response(&gateway.blobs, payload).await?;
    Ok(response.map(|body| Body::from_stream(while_fresh(session, body.into_data_stream()))))
}

/// Why a payload in flight ends before its last byte.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the session became stale or ended")]
    Stale,
    #[error("the payload broke off")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

/// The pieces of a payload for as long as its session may have them. A blob is up to a gigabyte: whoever is cut in the midst of
/// it gets no other piece.
fn while_fresh<E: Into<Box<dyn Error + Send + Sync>>>(
    session: Arc<LiveSession>,
    pieces: impl Stream<Item = Result<Bytes, E>> + Send,
) -> impl Stream<Item = Result<Bytes, Cut>> + Send {
    pieces.map(move |piece| match piece {
        _ if session.is_stale() => Err(Cut::Stale),
        Ok(piece) => Ok(piece),
        Err(error) => Err(Cut::Broken(error.into())),
    })
}

fn fencing_token(headers: &HeaderMap) -> Result<FencingToken, ApiProblem> {
    let value = headers
        .get(FENCING_TOKEN)
        .and_then(|value| value.to_str().ok());
    let number = value.and_then(|text| text.parse().ok());
    number.map(FencingToken).ok_or_else(|| {
        Problem::new(
            ProblemCode::MalformedRequest,
            "the lease's fencing token, a number, is needed",
        )
        .with_field(FENCING_TOKEN)
        .into()
    })
}

fn refuse_input(error: LeaseInputError) -> ApiProblem {
    let code = match error {
        LeaseInputError::Store(error) => return error.into(),
        LeaseInputError::UnknownTask | LeaseInputError::NoSuchInput => ProblemCode::NotFound,
        LeaseInputError::Superseded => ProblemCode::WrongState,
    };
    Problem::new(code, error.to_string()).into()
}

pub(super) async fn output(
    attested: AttestedConnection,
    PathPart(sha256): PathPart<Sha256Digest>,
    request: Request,
) -> Result<StatusCode, ApiProblem> {
    let session = Arc::clone(attested.fresh_session()?);
    let bytes = content_length(request.headers())?.ok_or_else(|| {
        Problem::new(
            ProblemCode::MalformedRequest,
            "an output is announced with its length",
        )
        .with_field("content-length")
    })?;
    let gateway = attested.gateway();
    let upload = Upload {
        sha256,
        bytes: Some(bytes),
        bytes_max: BLOB_BYTES_MAX,
    };
    let body: Body = request.into_body();
    let pieces = while_fresh(Arc::clone(&session), body_stream(body));
    let descriptor = gateway.blobs.write(upload, pieces).await?;
    // The last piece may have come long before the file was on disk.
    attested.fresh_session()?;
    gateway
        .store
        .record_worker_blob(&session.worker, descriptor, gateway.now_ms())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;
    use crate::store::tests::harness::Worker;
    use crate::worker::sessions::tests::session;

    #[tokio::test]
    async fn a_payload_in_flight_ends_with_its_session() {
        let endings: [fn(&LiveSession); 2] =
            [LiveSession::mark_stale, |session| session.ended.cancel()];
        for end in endings {
            let session = session(&Worker::new("worker-1"));
            let pieces = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(b"piece")));
            let mut pieces = std::pin::pin!(while_fresh(Arc::clone(&session), pieces));
            assert!(matches!(pieces.next().await, Some(Ok(_))));
            end(&session);
            assert!(matches!(pieces.next().await, Some(Err(Cut::Stale))));
        }
    }

    #[tokio::test]
    async fn a_payload_that_breaks_off_is_not_taken_for_a_whole_one() {
        let session = session(&Worker::new("worker-1"));
        let pieces = stream::iter([Ok(Bytes::from_static(b"piece")), Err("the disk is gone")]);
        let pieces: Vec<_> = while_fresh(session, pieces).collect().await;
        assert!(matches!(pieces[..], [Ok(_), Err(Cut::Broken(_))]));
    }
}
