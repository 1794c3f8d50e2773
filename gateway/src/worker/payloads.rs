//! Inputs that a lease did not carry, and outputs that an ack will not carry.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use protocol::lease::LeaseRef;
use protocol::limits::BLOB_BYTES_MAX;
use protocol::problem::{Problem, ProblemCode};
use protocol::{FencingToken, Sha256Digest, TaskId};

use super::connection::AttestedConnection;
use crate::blobs::Upload;
use crate::body::{body_stream, content_length, payload_response};
use crate::parts::{PathPart, PathParts};
use crate::problem::ApiProblem;
use crate::store::LeaseInputError;

/// The header that names the lease.
const FENCING_TOKEN: &str = "fencing-token";

pub(super) async fn input(
    State(attested): State<AttestedConnection>,
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
    payload_response(&gateway.blobs, payload).await
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
    State(attested): State<AttestedConnection>,
    PathPart(sha256): PathPart<Sha256Digest>,
    request: Request,
) -> Result<StatusCode, ApiProblem> {
    let session = attested.fresh_session()?;
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
    let descriptor = gateway.blobs.write(upload, body_stream(body)).await?;
    gateway
        .store
        .record_worker_blob(&session.worker, descriptor, gateway.now_ms())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
