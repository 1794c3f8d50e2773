//! A gateway of a few lines: it runs each task in the moment it is submitted, and misbehaves on request.

mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, head, post};
use axum::{Json, Router};
use protocol::api::{InputSource, SubmitTask, TaskList, TaskView};
use protocol::problem::{MEDIA_TYPE, Problem, ProblemCode};
use protocol::receipt::Receipt;
use protocol::task::{InputDescriptor, TaskBody, TaskState, task_digest};
use protocol::{Sha256Digest, TaskId};
use serde_json::{Value, json};
use work::finish;

use crate::support::{ACCESS_TOKEN, Server};

/// How the fake departs from an honest gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mischief {
    #[default]
    None,
    /// Every answer is this refusal.
    Refuses(ProblemCode),
    /// Every answer is this text with status 200.
    Says(&'static str),
    /// Every answer has this status and no problem details.
    Status(u16),
    /// Submits another body than it was given.
    SwapsTask,
    /// Gives a new task the id of the first one.
    ReusesId,
    /// Answers about another task.
    OtherTask,
    /// Serves other bytes than the digest announces.
    WrongOutput,
    /// Serves more bytes than it announces.
    LongOutput,
    /// Serves fewer.
    ShortOutput,
    /// Receipts are for other inputs, signed by a key that the gateway made.
    ForgesReceipt,
    /// Receipts whose leaf was changed after it was signed.
    ChangesLeaf,
    /// Announces, serves and signs digests of something else.
    WrongArithmetic,
    /// Announces, serves and signs one byte more than the operation gives.
    WrongSize,
    /// Tasks end as dead letters.
    TasksFail,
    /// Tasks are shown in this state, with the fault of an earlier attempt.
    Shows(TaskState),
    /// The first answers are refusals for overload.
    Overloaded { times: u32 },
    /// The first answer is that the user asked too much, for a second.
    Limited,
}

#[derive(Default)]
pub(crate) struct Pool {
    mischief: Mischief,
    blobs: HashMap<Sha256Digest, Bytes>,
    tasks: HashMap<TaskId, Finished>,
    keys: HashMap<String, TaskId>,
    /// Method and path of every request, in order.
    pub(crate) requests: Vec<String>,
}

struct Finished {
    view: TaskView,
    output: Vec<u8>,
    receipt: Receipt,
}

type Shared = Arc<Mutex<Pool>>;

/// A fake gateway and what it saw.
pub(crate) struct Fake {
    pub(crate) server: Server,
    pub(crate) pool: Shared,
}

impl Fake {
    pub(crate) fn honest() -> Self {
        Self::with(Mischief::None)
    }

    pub(crate) fn with(mischief: Mischief) -> Self {
        let pool = Shared::default();
        pool.lock().unwrap().mischief = mischief;
        let server = Server::start(router(pool.clone()));
        Self { server, pool }
    }

    pub(crate) fn turns(&self, mischief: Mischief) {
        self.pool.lock().unwrap().mischief = mischief;
    }

    pub(crate) fn cocoon(&self, arguments: &[&str]) -> crate::support::Ran {
        crate::support::run(self.command().args(arguments))
    }

    pub(crate) fn command(&self) -> std::process::Command {
        self.server.command(env!("CARGO_BIN_EXE_cocoon"))
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.server.home.path().join(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.server.home.path().join(name)).unwrap()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.server.home.path().join(name).exists()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.pool.lock().unwrap().requests.clone()
    }
}

fn router(pool: Shared) -> Router {
    Router::new()
        .route("/v1/tasks", post(submit).get(list))
        .route("/v1/tasks:batch", post(submit_batch))
        .route("/v1/tasks/{id}", get(show))
        .route("/v1/tasks/{id}/explanation", get(explanation))
        .route("/v1/tasks/{id}/cancel", post(cancel))
        .route("/v1/tasks/{id}/output", get(output))
        .route("/v1/tasks/{id}/receipt", get(receipt))
        .route("/v1/tasks/{id}/attestation", get(attestation))
        .route("/v1/blobs/{sha256}", head(has_blob).put(put_blob))
        .route("/v1/operations", get(operations))
        .layer(middleware::from_fn_with_state(pool.clone(), door))
        .with_state(pool)
}

async fn door(
    State(pool): State<Shared>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let mischief = {
        let mut pool = pool.lock().unwrap();
        pool.requests
            .push(format!("{} {}", request.method(), request.uri().path()));
        if let Mischief::Overloaded { times } = pool.mischief {
            pool.mischief = match times {
                1 => Mischief::None,
                times => Mischief::Overloaded { times: times - 1 },
            };
            return Refusal(ProblemCode::Overloaded).into_response();
        }
        if pool.mischief == Mischief::Limited {
            pool.mischief = Mischief::None;
            let mut refusal = Refusal(ProblemCode::TooManyRequests).into_response();
            refusal.headers_mut().insert("retry-after", 1.into());
            return refusal;
        }
        pool.mischief
    };
    let authorization = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    match mischief {
        _ if authorization != Some(&format!("Bearer {ACCESS_TOKEN}")) => {
            Refusal(ProblemCode::AccessTokenInvalid).into_response()
        }
        Mischief::Refuses(code) => Refusal(code).into_response(),
        Mischief::Says(text) => text.into_response(),
        Mischief::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        _ => next.run(request).await,
    }
}

/// Problem details with this code.
struct Refusal(ProblemCode);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem::new(self.0, "the fake's reason").with_field("the.field");
        let status = StatusCode::from_u16(problem.status).unwrap();
        let body = serde_json::to_string(&problem).unwrap();
        (status, [("content-type", MEDIA_TYPE)], body).into_response()
    }
}

async fn submit(State(pool): State<Shared>, Json(task): Json<SubmitTask>) -> Response {
    match accept(&mut pool.lock().unwrap(), task) {
        Ok(view) => (StatusCode::CREATED, Json(view)).into_response(),
        Err(code) => Refusal(code).into_response(),
    }
}

async fn submit_batch(State(pool): State<Shared>, lines: String) -> String {
    let mut pool = pool.lock().unwrap();
    let mut answer = String::new();
    for line in lines.lines() {
        let outcome = match accept(&mut pool, serde_json::from_str(line).unwrap()) {
            Ok(view) => protocol::api::BatchOutcome::Task(view),
            Err(code) => protocol::api::BatchOutcome::Problem(Problem::new(code, "no")),
        };
        answer.push_str(&serde_json::to_string(&outcome).unwrap());
        answer.push('\n');
    }
    answer
}

fn accept(pool: &mut Pool, task: SubmitTask) -> Result<TaskView, ProblemCode> {
    let mut inputs = Vec::new();
    for input in &task.inputs {
        inputs.push(match input {
            InputSource::Inline { data } => data.clone(),
            InputSource::Blob { sha256, .. } => pool
                .blobs
                .get(sha256)
                .ok_or(ProblemCode::MissingBlob)?
                .to_vec(),
        });
    }
    let mut body = TaskBody {
        operation: task.operation,
        version: task.version.unwrap_or(1),
        parameters: task.parameters,
        inputs: inputs
            .iter()
            .map(|input| InputDescriptor::of(input))
            .collect(),
    };
    if pool.mischief == Mischief::SwapsTask {
        body.inputs = vec![InputDescriptor::of(b"something else")];
    }
    body.call().map_err(|_| ProblemCode::InvalidTask)?;
    let digest = task_digest(&body.canonical().unwrap());
    let key = task.idempotency_key;
    let key = key.map_or_else(String::new, |key| key.as_str().to_owned());
    if let Some(id) = pool.keys.get(&key) {
        let known = &pool.tasks[id].view;
        return if known.digest == digest {
            Ok(known.clone())
        } else {
            Err(ProblemCode::IdempotencyConflict)
        };
    }
    let before = match pool.mischief {
        Mischief::ReusesId => 0,
        _ => u128::try_from(pool.tasks.len()).unwrap(),
    };
    let id = TaskId::from_parts(1_795_000_000_000, before + 1);
    let finished = finish(
        pool.mischief,
        id,
        &body,
        digest,
        &inputs,
        task.priority.unwrap_or(4),
    );
    let mut view = finished.view.clone();
    pool.tasks.insert(id, finished);
    pool.keys.insert(key, id);
    // It is only confirmed here; whoever asks later finds it finished.
    (
        view.state,
        view.output,
        view.finished_ms,
        view.worker,
        view.fault,
    ) = (TaskState::Queued, None, None, None, None);
    Ok(view)
}

/// The task, or a refusal; misbehaving where it was asked to.
fn find<T>(
    pool: &Shared,
    id: &str,
    give: impl FnOnce(Mischief, &mut Finished) -> T,
) -> Result<T, Refusal> {
    let mut pool = pool.lock().unwrap();
    let mischief = pool.mischief;
    let id: TaskId = id
        .parse()
        .map_err(|_| Refusal(ProblemCode::MalformedRequest))?;
    let task = pool
        .tasks
        .get_mut(&id)
        .ok_or(Refusal(ProblemCode::NotFound))?;
    Ok(give(mischief, task))
}

async fn show(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, Refusal> {
    find(&pool, &id, |mischief, task| {
        let mut view = task.view.clone();
        if mischief == Mischief::OtherTask {
            view.id = TaskId::from_parts(1, 1);
        }
        if let Mischief::Shows(state) = mischief {
            view.state = state;
            view.fault = Some("an earlier attempt's fault".to_owned());
        }
        Json(view)
    })
}

async fn list(
    State(pool): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
) -> Json<TaskList> {
    let pool = pool.lock().unwrap();
    let wanted = |task: &&Finished| {
        query
            .get("state")
            .is_none_or(|state| task.view.state.as_str() == state)
    };
    let mut tasks: Vec<_> = pool
        .tasks
        .values()
        .filter(wanted)
        .map(|task| task.view.clone())
        .collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
    let limit = query
        .get("limit")
        .map_or(usize::MAX, |limit| limit.parse().unwrap());
    let next_cursor = (tasks.len() > limit).then(|| "next-page".to_owned());
    tasks.truncate(limit);
    Json(TaskList { tasks, next_cursor })
}

/// Two sentences; the second is no line of its own for a terminal.
async fn explanation(State(pool): State<Shared>) -> Json<Value> {
    if pool.lock().unwrap().mischief == Mischief::TasksFail {
        return Json(json!({ "reasons": [{ "code": "finished", "text": "it is a dead letter" }] }));
    }
    Json(json!({ "reasons": [
        { "code": "workers-busy", "text": "it waits for a free place" },
        { "code": "said-by-a-later-gateway", "text": "and\u{1b}[2J more" },
    ] }))
}

async fn cancel(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, Refusal> {
    let cancelled = |task: &mut Finished| {
        task.view.state = TaskState::Cancelled;
        Json(task.view.clone())
    };
    find(&pool, &id, |_, task| unless_failed(task, cancelled))?
}

/// A dead letter has neither output nor receipt, and cannot be cancelled.
fn unless_failed<T>(
    task: &mut Finished,
    give: impl FnOnce(&mut Finished) -> T,
) -> Result<T, Refusal> {
    if task.view.state == TaskState::DeadLetter {
        return Err(Refusal(ProblemCode::WrongState));
    }
    Ok(give(task))
}

async fn output(State(pool): State<Shared>, Path(id): Path<String>) -> Result<Vec<u8>, Refusal> {
    find(&pool, &id, |mischief, task| {
        let mut output = task.output.clone();
        match mischief {
            Mischief::WrongOutput => output[0] ^= 1,
            Mischief::LongOutput => output.push(0),
            Mischief::ShortOutput => drop(output.pop()),
            _ => {}
        }
        output
    })
}

async fn receipt(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Receipt>, Refusal> {
    let receipt = |task: &mut Finished| Json(task.receipt.clone());
    find(&pool, &id, |_, task| unless_failed(task, receipt))?
}

async fn attestation(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<&'static str, Refusal> {
    let record = |_: &mut Finished| r#"{"schema": "a record", "suite": 4865}"#;
    find(&pool, &id, |_, task| unless_failed(task, record))?
}

async fn has_blob(State(pool): State<Shared>, Path(sha256): Path<String>) -> StatusCode {
    let known = pool
        .lock()
        .unwrap()
        .blobs
        .contains_key(&sha256.parse().unwrap());
    if known {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn put_blob(State(pool): State<Shared>, Path(sha256): Path<String>, body: Bytes) -> Response {
    let sha256: Sha256Digest = sha256.parse().unwrap();
    if Sha256Digest::of(&body) != sha256 {
        return Refusal(ProblemCode::DigestMismatch).into_response();
    }
    pool.lock().unwrap().blobs.insert(sha256, body);
    StatusCode::CREATED.into_response()
}

async fn operations() -> &'static str {
    r#"[{"name": "sha256_batch", "version": 1, "summary": "digests", "parameters": [], "inputs": "messages", "output": "digests"}]"#
}
