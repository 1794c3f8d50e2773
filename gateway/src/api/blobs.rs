//! Inputs too large to travel inside a task.

mod quota;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, StatusCode};
use protocol::Sha256Digest;
use protocol::api::OutputView;
use protocol::problem::{Problem, ProblemCode};

use super::access::Client;
use crate::blobs::Upload;
use crate::body::{body_stream, content_length};
use crate::gateway::Gateway;
use crate::parts::PathPart;
use crate::problem::ApiProblem;
use quota::Room;

/// Upload a blob.
///
/// It is on disk when the answer arrives. Repeating an upload is no error.
///
/// A user's blobs have a limit in bytes, all together (`blob_bytes_per_user_max`): each counts once, until the pool's retention
/// has passed since the user last sent it. To repeat an upload costs nothing; outputs do not count. An upload that would be
/// more is refused with 429 `quota-exceeded`, before it is sent where its length is announced. Of one that announces none, the
/// largest blob's size counts while it is in progress.
#[utoipa::path(
    put,
    path = "/v1/blobs/{sha256}",
    tag = "blobs",
    security(("access_token" = ["client"])),
    params(("sha256" = Sha256Digest, Path, description = "SHA-256 of the bytes")),
    request_body(content_type = "application/octet-stream", description = "Up to 1 GiB"),
    responses(
        (status = 201, description = "Stored", body = OutputView),
        (status = 400, description = "The bytes have another digest or length", body = Problem),
        (status = 413, description = "Too large", body = Problem),
    ),
)]
pub(super) async fn upload(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    PathPart(sha256): PathPart<Sha256Digest>,
    request: Request,
) -> Result<(StatusCode, Json<OutputView>), ApiProblem> {
    let bytes = content_length(request.headers())?;
    // Kept until the blob is its user's: the next upload finds it in one sum or in the other.
    let room = Room::find(&gateway, &client, sha256, bytes).await?;
    let upload = Upload {
        sha256,
        bytes,
        bytes_max: room.bytes_max(),
    };
    let body = body_stream(request.into_body());
    let written = gateway.blobs.write(upload, body).await;
    let descriptor = written.map_err(|error| room.refuse(error))?;
    let now_ms = gateway.now_ms();
    let recorded = gateway
        .store
        .record_user_blob(client.user(), descriptor, now_ms)
        .await;
    recorded.map_err(|error| room.refuse_record(error))?;
    let view = OutputView {
        sha256: descriptor.sha256,
        bytes: descriptor.bytes,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Whether this user has uploaded a blob.
#[utoipa::path(
    head,
    path = "/v1/blobs/{sha256}",
    tag = "blobs",
    security(("access_token" = ["client"])),
    params(("sha256" = Sha256Digest, Path, description = "SHA-256 of the bytes")),
    responses(
        (status = 200, description = "It is there; `content-length` is its size"),
        (status = 404, description = "It is not, or is another user's"),
    ),
)]
pub(super) async fn head(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    PathPart(sha256): PathPart<Sha256Digest>,
) -> Result<Response, ApiProblem> {
    let found = gateway.store.user_blob(client.user(), sha256).await?;
    let descriptor = found
        .ok_or_else(|| Problem::new(ProblemCode::NotFound, format!("there is no blob {sha256}")))?;
    let mut response = Response::default();
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(descriptor.bytes));
    Ok(response)
}
