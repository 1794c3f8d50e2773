//! What a finished task leaves: its output, its receipt, and the attestation that the receipt points at.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, ETAG};
use protocol::TaskId;
use protocol::problem::{Problem, ProblemCode};
use protocol::receipt::Receipt;

use super::access::Client;
use super::tasks::unknown_task;
use crate::body::payload_response;
use crate::gateway::Gateway;
use crate::parts::PathPart;
use crate::problem::ApiProblem;
use crate::store::{LookupError, StoredAttestation};

/// The output's bytes.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}/output",
    tag = "tasks",
    security(("access_token" = ["client"])),
    params(("id" = TaskId, Path, description = "The task's id")),
    responses(
        (status = 200, description = "The bytes; `etag` is their SHA-256", content_type = "application/octet-stream"),
        (status = 409, description = "The task has no output (yet)", body = Problem),
        (status = 404, description = "There is no such task, or it is another user's", body = Problem),
    ),
)]
pub(super) async fn output(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    PathPart(id): PathPart<TaskId>,
) -> Result<Response, ApiProblem> {
    let output = gateway.store.output(client.scope(), id).await;
    let output = output.map_err(|error| refuse(id, error))?;
    let mut response = payload_response(&gateway.blobs, output.payload).await?;
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", output.descriptor.sha256)) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// The receipt: what the worker signed of the task.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}/receipt",
    tag = "tasks",
    security(("access_token" = ["client"])),
    params(("id" = TaskId, Path, description = "The task's id")),
    responses(
        (status = 200, description = "The receipt, to be verified offline", body = Receipt),
        (status = 409, description = "The task has no receipt (yet)", body = Problem),
        (status = 404, description = "There is no such task, or it is another user's", body = Problem),
    ),
)]
pub(super) async fn receipt(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    PathPart(id): PathPart<TaskId>,
) -> Result<Json<Receipt>, ApiProblem> {
    let receipt = gateway.store.receipt(client.scope(), id).await;
    receipt.map(Json).map_err(|error| refuse(id, error))
}

/// The attestation record that the receipt points at.
///
/// Everything that the gateway's verdict was reached from, for `cocoon-attest` to reach it again.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}/attestation",
    tag = "tasks",
    security(("access_token" = ["client"])),
    params(("id" = TaskId, Path, description = "The task's id")),
    responses(
        (status = 200, description = "The record", content_type = "application/json"),
        (status = 409, description = "The task has no receipt (yet)", body = Problem),
        (status = 404, description = "There is no such task, or it is another user's", body = Problem),
    ),
)]
pub(super) async fn attestation(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    PathPart(id): PathPart<TaskId>,
) -> Result<Response, ApiProblem> {
    let stored = gateway.store.task_attestation(client.scope(), id).await;
    stored.map(record).map_err(|error| refuse(id, error))
}

/// A stored record is JSON already, and goes out byte for byte.
pub(super) fn record(stored: StoredAttestation) -> Response {
    let mut response = Response::new(Body::from(stored.record));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refuse(id: TaskId, error: LookupError) -> ApiProblem {
    match error {
        LookupError::Store(error) => error.into(),
        LookupError::UnknownTask => unknown_task(id),
        LookupError::NotSucceeded(state) if state.is_finished() => Problem::new(
            ProblemCode::WrongState,
            format!("task {id} is {state}: it has no output"),
        )
        .into(),
        LookupError::NotSucceeded(state) => {
            Problem::new(ProblemCode::NotFinished, format!("task {id} is {state}")).into()
        }
    }
}
