//! Tasks: submit, see, list, cancel, redrive.
#![expect(
    unused_qualifications,
    reason = "the path macro names the parameter types in full inside this module"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use protocol::TaskId;
use protocol::api::{InputSource, SubmitTask, TaskList, TaskView};
use protocol::limits::LONG_POLL_MS_MAX;
use protocol::problem::{Problem, ProblemCode};
use protocol::task::TaskState;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::{Client, Operator};
use super::json::JsonBody;
use super::submission;
use crate::computing;
use crate::gateway::Gateway;
use crate::limits::{PAGE_TASKS_DEFAULT, PAGE_TASKS_MAX};
use crate::observe::Began;
use crate::parts::{PathPart, QueryParts};
use crate::problem::ApiProblem;
use crate::store::{CancelOutcome, ListQuery, RedriveOutcome, Success, TaskScope, TaskWatch};

/// Submit one task.
///
/// It is on disk when the answer arrives. The same idempotency key with the same task answers the first one's, with 200.
/// With `wait_s` the answer comes when the task has finished, or as it stands when the wait ends: one request for a short task.
/// Give it an idempotency key: if the connection breaks meanwhile, the same request finds the task again.
#[utoipa::path(
    post,
    path = "/v1/tasks",
    tag = "tasks",
    security(("access_token" = ["client"])),
    params(Wait),
    request_body = SubmitTask,
    responses(
        (status = 201, description = "Queued; with `wait_s` as it stands by now", body = TaskView),
        (status = 200, description = "Submitted before under the same idempotency key", body = TaskView),
        (status = 409, description = "The idempotency key was used for another task", body = Problem),
        (status = 413, description = "A limit was exceeded; `limit` names it", body = Problem),
        (status = 422, description = "The task does not fit the catalogue; `field` says where", body = Problem),
    ),
)]
pub(super) async fn submit(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    Extension(began): Extension<Began>,
    QueryParts(wait): QueryParts<Wait>,
    JsonBody(task): JsonBody<SubmitTask>,
) -> Result<Response, ApiProblem> {
    let wait = wait.length()?;
    let id = next_id(&gateway)?;
    let user = client.user().clone();
    let now_ms = gateway.now_ms();
    let bytes = task.inputs.iter().map(inline_bytes).sum();
    let parsed = computing::run(bytes, move || submission::parse(task, id, &user, now_ms))
        .await
        .map_err(|error| ApiProblem::internal(&error))?;
    let task = parsed.inspect_err(|_| gateway.metrics.submitted("refused", 1))?;
    let queued = submission::queued(&task);
    // From before it is queued, so that its end cannot be missed.
    let watch = wait.map(|_| gateway.store.watch_task(id));
    let outcomes = match wait {
        None => {
            gateway
                .timed("submit", gateway.store.submit(vec![task]))
                .await?
        }
        Some(_) => {
            gateway
                .timed("submit-awaited", gateway.store.submit_awaited(vec![task]))
                .await?
        }
    };
    let outcome = outcomes.into_iter().next().ok_or_else(lost)?;
    let submitted = outcome.map_err(|error| {
        gateway.metrics.submitted("refused", 1);
        submission::refuse_submit(&error)
    })?;
    let outcome = if submitted.was_known {
        "repeated"
    } else {
        "accepted"
    };
    gateway.metrics.submitted(outcome, 1);
    let wait = wait.map(|length| length.min(began.left()));
    let view = if submitted.was_known {
        drop(watch);
        seen(&gateway, client.own(), submitted.task, wait).await?
    } else if let (Some(watch), Some(length)) = (watch, wait) {
        match finished(&gateway, watch, length).await {
            Some(success) => submission::succeeded(queued, success),
            // Whatever goes wrong is logged where it does. The task is queued, and only this answer says under which name.
            None => view(&gateway, client.own(), id).await.unwrap_or(queued),
        }
    } else {
        queued
    };
    Ok(created(&view, submitted.was_known))
}

/// What digesting it takes.
fn inline_bytes(input: &InputSource) -> usize {
    match input {
        InputSource::Inline { data } => data.len(),
        InputSource::Blob { .. } => 0,
    }
}

fn next_id(gateway: &Gateway) -> Result<TaskId, ApiProblem> {
    let ids = gateway.new_task_ids();
    ids.ok().and_then(|mut ids| ids.next()).ok_or_else(lost)
}

fn created(view: &TaskView, was_known: bool) -> Response {
    let status = if was_known {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let mut response = (status, Json(view)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/v1/tasks/{}", view.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// What must have an answer has none.
fn lost() -> ApiProblem {
    ApiProblem::internal(&std::io::Error::other("an answer is missing"))
}

pub(super) fn unknown_task(id: TaskId) -> ApiProblem {
    Problem::new(
        ProblemCode::NotFound,
        format!("there is no task {id}, or it is another user's"),
    )
    .into()
}

pub(super) async fn view(
    gateway: &Gateway,
    scope: TaskScope,
    id: TaskId,
) -> Result<TaskView, ApiProblem> {
    let views = gateway.store.tasks(scope, vec![id]).await?;
    views
        .into_iter()
        .next()
        .flatten()
        .ok_or_else(|| unknown_task(id))
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Wait up to so many seconds (30 at most) for the task to finish.
    #[param(maximum = 30)]
    wait_s: Option<u32>,
}

impl Wait {
    /// `None`: not at all.
    fn length(&self) -> Result<Option<Duration>, ApiProblem> {
        let wait_s = self.wait_s.unwrap_or(0);
        if wait_s > LONG_POLL_MS_MAX / 1_000 {
            let detail = format!(
                "a request waits up to {} s, not {wait_s}",
                LONG_POLL_MS_MAX / 1_000
            );
            return Err(Problem::new(ProblemCode::LimitExceeded, detail)
                .with_field("wait_s")
                .with_limit("LONG_POLL_MS_MAX")
                .into());
        }
        Ok((wait_s > 0).then(|| Duration::from_secs(u64::from(wait_s))))
    }
}

/// Until the task finishes, the wait is over, or the gateway stops; how it succeeded, where that is known.
async fn finished(gateway: &Gateway, mut watch: TaskWatch, length: Duration) -> Option<Success> {
    tokio::select! {
        success = watch.finished() => success,
        () = gateway.stopping.cancelled() => None,
        () = tokio::time::sleep(length) => None,
    }
}

/// A task that was submitted before, at once or when the wait ends.
async fn seen(
    gateway: &Gateway,
    scope: TaskScope,
    id: TaskId,
    wait: Option<Duration>,
) -> Result<TaskView, ApiProblem> {
    if let Some(length) = wait {
        // Watched before it is read, so that an end in between is not missed.
        let watch = gateway.store.watch_task(id);
        let state = gateway.store.task_state(scope.clone(), id).await?;
        if !state.ok_or_else(|| unknown_task(id))?.is_finished() {
            let _ = finished(gateway, watch, length).await;
        }
    }
    view(gateway, scope, id).await
}

/// One task.
///
/// With `wait_s` the answer comes when the task has finished, or as it stands when the wait ends.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}",
    tag = "tasks",
    security(("access_token" = ["client"])),
    params(("id" = TaskId, Path, description = "The task's id"), Wait),
    responses(
        (status = 200, description = "The task", body = TaskView),
        (status = 413, description = "A request waits 30 s at most", body = Problem),
        (status = 404, description = "There is no such task, or it is another user's", body = Problem),
    ),
)]
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    PathPart(id): PathPart<TaskId>,
    QueryParts(wait): QueryParts<Wait>,
) -> Result<Json<TaskView>, ApiProblem> {
    let wait = wait.length()?;
    seen(&gateway, client.scope(), id, wait).await.map(Json)
}

/// Which tasks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only those in this state.
    #[param(value_type = Option<TaskState>)]
    state: Option<String>,
    /// At most so many; 100 unless said, 1,000 at most.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[param(value_type = Option<TaskId>)]
    cursor: Option<String>,
    /// Every user's tasks; for operators.
    #[serde(default)]
    all: bool,
}

/// Tasks, newest first.
#[utoipa::path(
    get,
    path = "/v1/tasks",
    tag = "tasks",
    security(("access_token" = ["client"])),
    params(Page),
    responses(
        (status = 200, description = "A page of tasks", body = TaskList),
        (status = 403, description = "`all` is for operators", body = Problem),
        (status = 413, description = "A page has so many tasks", body = Problem),
    ),
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    QueryParts(page): QueryParts<Page>,
) -> Result<Json<TaskList>, ApiProblem> {
    let query = list_query(&client, &page)?;
    Ok(Json(gateway.store.list(query).await?))
}

fn list_query(client: &Client, page: &Page) -> Result<ListQuery, ApiProblem> {
    let malformed = |field: &str, detail: String| {
        ApiProblem::from(Problem::new(ProblemCode::MalformedRequest, detail).with_field(field))
    };
    let state = page
        .state
        .as_deref()
        .map(str::parse::<TaskState>)
        .transpose();
    let state = state.map_err(|error| malformed("state", error.to_string()))?;
    let cursor = page.cursor.as_deref().map(str::parse::<TaskId>).transpose();
    let cursor = cursor.map_err(|error| malformed("cursor", error.to_string()))?;
    let limit = page.limit.unwrap_or(PAGE_TASKS_DEFAULT);
    if !(1..=PAGE_TASKS_MAX).contains(&limit) {
        let detail = format!("a page has 1 to {PAGE_TASKS_MAX} tasks, not {limit}");
        return Err(Problem::new(ProblemCode::LimitExceeded, detail)
            .with_field("limit")
            .with_limit("PAGE_TASKS_MAX")
            .into());
    }
    if page.all && !client.is_operator() {
        let detail = "every user's tasks are for operators; leave `all` out for your own";
        return Err(Problem::new(ProblemCode::RoleInsufficient, detail)
            .with_field("all")
            .into());
    }
    let scope = if page.all {
        TaskScope::All
    } else {
        client.own()
    };
    Ok(ListQuery {
        scope,
        state,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        cursor,
    })
}

/// Cancel a task.
///
/// A queued task is never run; a running one is stopped, and its output dropped. Cancelling twice is no error.
#[utoipa::path(
    post,
    path = "/v1/tasks/{id}/cancel",
    tag = "tasks",
    security(("access_token" = ["client"])),
    params(("id" = TaskId, Path, description = "The task's id")),
    responses(
        (status = 200, description = "Cancelled", body = TaskView),
        (status = 409, description = "It had finished", body = Problem),
        (status = 404, description = "There is no such task, or it is another user's", body = Problem),
    ),
)]
pub(super) async fn cancel(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    PathPart(id): PathPart<TaskId>,
) -> Result<Json<TaskView>, ApiProblem> {
    let outcomes = gateway.cancel(client.scope(), vec![id]).await?;
    match outcomes.into_iter().next().ok_or_else(lost)? {
        CancelOutcome::Cancelled { .. } | CancelOutcome::AlreadyCancelled => {}
        CancelOutcome::Finished(state) => return Err(wrong_state(id, state)),
        CancelOutcome::UnknownTask => return Err(unknown_task(id)),
    }
    view(&gateway, client.scope(), id).await.map(Json)
}

/// Return a dead letter to the queue.
#[utoipa::path(
    post,
    path = "/v1/tasks/{id}/redrive",
    tag = "tasks",
    security(("access_token" = ["operator"])),
    params(("id" = TaskId, Path, description = "The task's id")),
    responses(
        (status = 200, description = "Queued again", body = TaskView),
        (status = 409, description = "It is no dead letter", body = Problem),
        (status = 404, description = "There is no such task, or it is another user's", body = Problem),
    ),
)]
pub(super) async fn redrive(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
    PathPart(id): PathPart<TaskId>,
) -> Result<Json<TaskView>, ApiProblem> {
    let outcomes = gateway.store.redrive(vec![id]).await?;
    match outcomes.into_iter().next().ok_or_else(lost)? {
        RedriveOutcome::Queued => view(&gateway, TaskScope::All, id).await.map(Json),
        RedriveOutcome::WrongState(state) => Err(wrong_state(id, state)),
        RedriveOutcome::UnknownTask => Err(unknown_task(id)),
    }
}

fn wrong_state(id: TaskId, state: TaskState) -> ApiProblem {
    Problem::new(ProblemCode::WrongState, format!("task {id} is {state}")).into()
}
