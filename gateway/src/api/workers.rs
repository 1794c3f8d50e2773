//! Workers: enrol, see, drain, take out.

use std::sync::Arc;

use attestation::ErrorCode;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use protocol::WorkerId;
use protocol::api::{
    CreateWorker, CreatedWorker, RefusalView, WorkerList, WorkerState, WorkerView,
};
use protocol::problem::{Problem, ProblemCode};

use super::access::Operator;
use super::json::JsonBody;
use super::outputs::record;
use crate::gateway::Gateway;
use crate::parts::PathPart;
use crate::problem::ApiProblem;
use crate::store::{CreateWorkerError, EnrolmentSecret, Order, RefusalRecord, WorkerRecord};

/// Enrol a worker.
///
/// The answer is the only time its enrolment secret is shown.
#[utoipa::path(
    post,
    path = "/v1/workers",
    tag = "workers",
    security(("access_token" = ["operator"])),
    request_body = CreateWorker,
    responses(
        (status = 201, description = "Enrolled", body = CreatedWorker),
        (status = 409, description = "There is one of that name", body = Problem),
    ),
)]
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
    JsonBody(worker): JsonBody<CreateWorker>,
) -> Result<(StatusCode, Json<CreatedWorker>), ApiProblem> {
    let mut bytes = [0; EnrolmentSecret::BYTES];
    getrandom::fill(&mut bytes).map_err(|error| ApiProblem::internal(&error))?;
    let secret = EnrolmentSecret::from_bytes(bytes);
    let enrolment_secret = hex::encode(bytes);
    gateway
        .store
        .create_worker(worker.id.clone(), secret, gateway.now_ms())
        .await
        .map_err(|error| match error {
            CreateWorkerError::Store(error) => error.into(),
            CreateWorkerError::Exists => {
                let detail = format!("a worker `{}` is enrolled already", worker.id);
                let problem = Problem::new(ProblemCode::AlreadyExists, detail);
                ApiProblem::from(problem.with_field("id"))
            }
        })?;
    tracing::info!(worker = %worker.id, "worker enrolled");
    let created = CreatedWorker {
        id: worker.id,
        enrolment_secret,
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Every enrolled worker.
#[utoipa::path(
    get,
    path = "/v1/workers",
    tag = "workers",
    security(("access_token" = ["operator"])),
    responses(
        (status = 200, description = "Workers with their sessions", body = WorkerList),
    ),
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
) -> Result<Json<WorkerList>, ApiProblem> {
    let records = gateway.store.workers().await?;
    let workers = records
        .into_iter()
        .map(|record| view(&gateway, record))
        .collect();
    Ok(Json(WorkerList { workers }))
}

/// One worker.
#[utoipa::path(
    get,
    path = "/v1/workers/{id}",
    tag = "workers",
    security(("access_token" = ["operator"])),
    params(("id" = WorkerId, Path, description = "The worker's name")),
    responses(
        (status = 200, description = "The worker with its session", body = WorkerView),
        (status = 404, description = "No worker of that name is enrolled", body = Problem),
    ),
)]
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
    PathPart(id): PathPart<WorkerId>,
) -> Result<Json<WorkerView>, ApiProblem> {
    find(&gateway, &id).await.map(Json)
}

/// Take a worker out of the pool.
///
/// Its session ends, its tasks return to the queue, its enrolment secret admits nobody any more.
#[utoipa::path(
    delete,
    path = "/v1/workers/{id}",
    tag = "workers",
    security(("access_token" = ["operator"])),
    params(("id" = WorkerId, Path, description = "The worker's name")),
    responses(
        (status = 204, description = "Taken out"),
        (status = 404, description = "No worker of that name is enrolled", body = Problem),
    ),
)]
pub(super) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
    PathPart(id): PathPart<WorkerId>,
) -> Result<StatusCode, ApiProblem> {
    let now_ms = gateway.now_ms();
    if !gateway.store.delete_worker(&id, now_ms).await? {
        return Err(unknown(&id));
    }
    gateway.obey(Order::Remove(id.clone()));
    tracing::info!(worker = %id, "worker taken out of the pool");
    Ok(StatusCode::NO_CONTENT)
}

/// Give a worker no new tasks.
///
/// What it runs it finishes; it is drained when `draining` is true and `tasks_running` is 0.
#[utoipa::path(
    post,
    path = "/v1/workers/{id}/drain",
    tag = "workers",
    security(("access_token" = ["operator"])),
    params(("id" = WorkerId, Path, description = "The worker's name")),
    responses(
        (status = 200, description = "Draining", body = WorkerView),
        (status = 404, description = "No worker of that name is enrolled", body = Problem),
    ),
)]
pub(super) async fn drain(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
    PathPart(id): PathPart<WorkerId>,
) -> Result<Json<WorkerView>, ApiProblem> {
    set_draining(&gateway, &id, true).await?;
    gateway.obey(Order::Drain(id.clone()));
    find(&gateway, &id).await.map(Json)
}

/// Give a worker tasks again.
#[utoipa::path(
    post,
    path = "/v1/workers/{id}/undrain",
    tag = "workers",
    security(("access_token" = ["operator"])),
    params(("id" = WorkerId, Path, description = "The worker's name")),
    responses(
        (status = 200, description = "No longer draining", body = WorkerView),
        (status = 404, description = "No worker of that name is enrolled", body = Problem),
    ),
)]
pub(super) async fn undrain(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
    PathPart(id): PathPart<WorkerId>,
) -> Result<Json<WorkerView>, ApiProblem> {
    set_draining(&gateway, &id, false).await?;
    find(&gateway, &id).await.map(Json)
}

/// A worker's latest attestation record.
#[utoipa::path(
    get,
    path = "/v1/workers/{id}/attestation",
    tag = "workers",
    security(("access_token" = ["operator"])),
    params(("id" = WorkerId, Path, description = "The worker's name")),
    responses(
        (status = 200, description = "The record, for `cocoon-attest`", content_type = "application/json"),
        (status = 404, description = "It has never been admitted", body = Problem),
    ),
)]
pub(super) async fn attestation(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
    PathPart(id): PathPart<WorkerId>,
) -> Result<Response, ApiProblem> {
    let stored = gateway.store.worker_attestation(&id).await?;
    stored.map(record).ok_or_else(|| {
        Problem::new(
            ProblemCode::NotFound,
            format!("worker `{id}` has no attestation on record"),
        )
        .into()
    })
}

async fn set_draining(gateway: &Gateway, id: &WorkerId, draining: bool) -> Result<(), ApiProblem> {
    if gateway.store.set_draining(id, draining).await? {
        Ok(())
    } else {
        Err(unknown(id))
    }
}

pub(super) async fn find(gateway: &Gateway, id: &WorkerId) -> Result<WorkerView, ApiProblem> {
    let record = gateway.store.worker(id).await?.ok_or_else(|| unknown(id))?;
    Ok(view(gateway, record))
}

fn unknown(id: &WorkerId) -> ApiProblem {
    Problem::new(
        ProblemCode::NotFound,
        format!("no worker `{id}` is enrolled"),
    )
    .into()
}

fn view(gateway: &Gateway, record: WorkerRecord) -> WorkerView {
    let session = gateway.sessions.of(&record.id);
    WorkerView {
        state: session
            .as_ref()
            .map_or(WorkerState::Offline, |session| session.state()),
        session: session.map(|session| session.view()),
        id: record.id,
        created_ms: record.created_ms,
        draining: record.draining,
        tasks_running: record.tasks_running,
        tasks_succeeded: record.tasks_succeeded,
        refusal: record.refusal.map(refusal),
    }
}

fn refusal(record: RefusalRecord) -> RefusalView {
    let title = record
        .code
        .parse::<ErrorCode>()
        .map_or("unknown", ErrorCode::title);
    RefusalView {
        title: title.to_owned(),
        code: record.code,
        at_ms: record.at_ms,
    }
}
