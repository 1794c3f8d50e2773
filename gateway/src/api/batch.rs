//! `POST /v1/tasks:batch`: a task a line in, an outcome a line out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use protocol::api::{BatchOutcome, SubmitTask, TaskView};
use protocol::limits::BATCH_TASKS_MAX;
use protocol::problem::{Problem, ProblemCode};
use protocol::{TaskId, UserName, ndjson};

use super::access::Client;
use super::json::{parse, take_body};
use super::submission;
use crate::computing;
use crate::gateway::Gateway;
use crate::problem::ApiProblem;
use crate::store::{NewTask, SubmitError, Submitted};

/// Submit up to 1,000 tasks.
///
/// One task a line; the answer has one outcome a line, in order. A task that is refused does not hold the others up.
#[utoipa::path(
    post,
    path = "/v1/tasks:batch",
    tag = "tasks",
    security(("access_token" = ["client"])),
    request_body(content = SubmitTask, content_type = "application/x-ndjson", description = "One a line"),
    responses(
        (status = 200, description = "One outcome a line, in order", body = BatchOutcome, content_type = "application/x-ndjson"),
        (status = 413, description = "Too many lines or bytes", body = Problem),
    ),
)]
pub(super) async fn submit_batch(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    request: Request,
) -> Result<Response, ApiProblem> {
    let (body, _memory) = take_body(request, ndjson::MEDIA_TYPE).await?;
    let ids = gateway
        .new_task_ids()
        .map_err(|_| ApiProblem::internal(&std::io::Error::other("no randomness")))?;
    let user = client.user().clone();
    let now_ms = gateway.now_ms();
    let lines = computing::run(body.len(), move || parse_lines(&body, ids, &user, now_ms))
        .await
        .map_err(|error| ApiProblem::internal(&error))??;
    let outcomes = submit_lines(&gateway, &client, lines).await?;
    Ok(answer(&outcomes))
}

/// As long as an outcome is, about.
const OUTCOME_BYTES: usize = 384;

/// One line: a task to queue, or why not.
type Line = Result<NewTask, ApiProblem>;

fn parse_lines(
    body: &[u8],
    ids: impl Iterator<Item = TaskId>,
    user: &UserName,
    now_ms: u64,
) -> Result<Vec<Line>, ApiProblem> {
    let most = BATCH_TASKS_MAX.saturating_add(1);
    let lines: Vec<_> = ndjson::lines(body).take(most).collect();
    if lines.len() > BATCH_TASKS_MAX {
        let detail = format!("a batch has up to {BATCH_TASKS_MAX} tasks");
        return Err(Problem::new(ProblemCode::LimitExceeded, detail)
            .with_limit("BATCH_TASKS_MAX")
            .into());
    }
    let read = |(line, id): (&[u8], TaskId)| {
        let task: SubmitTask = parse(line)?;
        submission::parse(task, id, user, now_ms)
    };
    Ok(lines.into_iter().zip(ids).map(read).collect())
}

async fn submit_lines(
    gateway: &Gateway,
    client: &Client,
    lines: Vec<Line>,
) -> Result<Vec<BatchOutcome>, ApiProblem> {
    let mut problems = Vec::with_capacity(lines.len());
    let mut tasks = Vec::with_capacity(lines.len());
    for line in lines {
        match line {
            Ok(task) => {
                tasks.push(task);
                problems.push(None);
            }
            Err(problem) => problems.push(Some(problem.into_problem())),
        }
    }
    let mut accepted = submit_tasks(gateway, client, tasks).await?.into_iter();
    let outcomes = problems.into_iter().map(|problem| match problem {
        Some(problem) => {
            gateway.metrics.submitted("refused", 1);
            BatchOutcome::Problem(problem)
        }
        None => accepted.next().unwrap_or_else(missing),
    });
    Ok(outcomes.collect())
}

async fn submit_tasks(
    gateway: &Gateway,
    client: &Client,
    tasks: Vec<NewTask>,
) -> Result<Vec<BatchOutcome>, ApiProblem> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let queued: Vec<_> = tasks.iter().map(submission::queued).collect();
    let submitted = gateway.timed("submit", gateway.store.submit(tasks)).await?;
    let mut repeated = repeated(gateway, client, &submitted).await?;
    let (mut accepted, mut known, mut refused) = (0_u64, 0_u64, 0_u64);
    let outcome = |(outcome, view): (Result<Submitted, SubmitError>, TaskView)| match outcome {
        Ok(submitted) if submitted.was_known => {
            known = known.saturating_add(1);
            repeated.next().flatten().map_or_else(missing, task)
        }
        Ok(_) => {
            accepted = accepted.saturating_add(1);
            task(view)
        }
        Err(error) => {
            refused = refused.saturating_add(1);
            BatchOutcome::Problem(submission::refuse_submit(&error))
        }
    };
    let outcomes = submitted.into_iter().zip(queued).map(outcome).collect();
    gateway.metrics.submitted("accepted", accepted);
    gateway.metrics.submitted("repeated", known);
    gateway.metrics.submitted("refused", refused);
    Ok(outcomes)
}

/// Those that were submitted before, as they are now.
async fn repeated(
    gateway: &Gateway,
    client: &Client,
    submitted: &[Result<Submitted, SubmitError>],
) -> Result<impl Iterator<Item = Option<TaskView>> + use<>, ApiProblem> {
    let known = submitted.iter().flatten().filter(|task| task.was_known);
    let known: Vec<_> = known.map(|submitted| submitted.task).collect();
    let views = if known.is_empty() {
        Vec::new()
    } else {
        gateway.store.tasks(client.own(), known).await?
    };
    Ok(views.into_iter())
}

fn task(view: TaskView) -> BatchOutcome {
    BatchOutcome::Task(view)
}

/// What was submitted must be there.
fn missing() -> BatchOutcome {
    BatchOutcome::Problem(Problem::new(
        ProblemCode::Internal,
        "the outcome of this line is missing",
    ))
}

fn answer(outcomes: &[BatchOutcome]) -> Response {
    let mut body = Vec::with_capacity(outcomes.len().saturating_mul(OUTCOME_BYTES));
    for outcome in outcomes {
        // Writing JSON of these types into memory cannot fail.
        let _ = serde_json::to_writer(&mut body, outcome);
        body.push(b'\n');
    }
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(ndjson::MEDIA_TYPE));
    response
}
