//! `POST /v1/embeddings`: texts in, vectors out, as clients of OpenAI's API say it. Behind it are ordinary tasks of `embed`,
//! with receipts; the answer names them. They are cancelled if the request comes to nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use protocol::TaskId;
use protocol::api::{InputSource, SubmitTask, TaskView};
use protocol::catalogue::models::{ALL_MINILM_L6_V2, EMBEDDING_DIMENSIONS};
use protocol::lease::OperationId;
use protocol::limits::INLINE_BYTES_MAX;
use protocol::problem::{Problem, ProblemCode};
use protocol::requirements::Requirements;
use protocol::task::TaskState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::access::Client;
use super::json::{JsonBody, held};
use super::submission;
use crate::abandoned::Wanted;
use crate::gateway::Gateway;
use crate::limits::{EMBEDDINGS_NOBODY_WAIT, EMBEDDINGS_TEXTS_MAX, EMBEDDINGS_WAIT};
use crate::problem::ApiProblem;
use crate::shares::Memory;
use crate::store::{NewTask, Payload};

const OPERATION: &str = "embed";
/// Names the tasks that computed, for their receipts.
const TASKS_HEADER: HeaderName = HeaderName::from_static("cocoon-tasks");

const DIMENSIONS: usize = 384;
const _: () = assert!(EMBEDDING_DIMENSIONS == 384);
/// Of one text in a task's output: the vector in binary32, and the count of its tokens.
const NUMBER_BYTES: usize = 4;
const VECTOR_BYTES: usize = DIMENSIONS * NUMBER_BYTES;
const TEXT_BYTES: usize = VECTOR_BYTES + NUMBER_BYTES;
/// Of one text in an answer: 384 numbers of some twelve digits, and what is around them.
const ANSWER_TEXT_BYTES: usize = 6 * 1024;
/// Texts of one task: as many as have an output that travels inline.
const TASK_TEXTS_MAX: usize = 42;
const _: () = assert!(INLINE_BYTES_MAX == 64 * 1024 && TASK_TEXTS_MAX * TEXT_BYTES <= 64 * 1024);

/// What OpenAI's API takes, but for texts given as token numbers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbeddingsRequest {
    /// `all-MiniLM-L6-v2`.
    model: String,
    /// One text or up to 2,048.
    #[schema(value_type = Texts)]
    input: Value,
    #[serde(default)]
    encoding_format: EncodingFormat,
    /// 384, where it is given: the model gives no other.
    #[serde(default)]
    dimensions: Option<u64>,
    /// Not looked at: the access token says whose request it is.
    #[serde(default)]
    #[expect(dead_code, reason = "taken and not looked at")]
    user: Option<String>,
}

/// For the description alone: what does not fit is refused with its place.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "its schema is what it is for")]
pub(super) enum Texts {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum EncodingFormat {
    #[default]
    Float,
    /// Of the binary32 numbers, least significant byte first.
    Base64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Embeddings {
    /// `list`.
    object: &'static str,
    data: Vec<Embedding>,
    model: &'static str,
    usage: Usage,
}

#[derive(Debug, Serialize, ToSchema)]
struct Embedding {
    /// `embedding`.
    object: &'static str,
    index: usize,
    #[serde(rename = "embedding")]
    vector: Vector,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

/// Tokens of all texts; those beyond a text's first 256 are cut and not counted.
#[derive(Debug, Serialize, ToSchema)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Embed texts.
///
/// As OpenAI's API; the header `cocoon-tasks` names the tasks whose receipts prove who computed.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    tag = "embeddings",
    security(("access_token" = ["client"])),
    request_body = EmbeddingsRequest,
    responses(
        (status = 200, description = "One vector of length 1 for each text, in order", body = Embeddings),
        (status = 413, description = "A limit was exceeded; `limit` names it", body = Problem),
        (status = 422, description = "A field cannot be served; `field` names it", body = Problem),
        (status = 504, description = "No worker finished it in time", body = Problem),
    ),
)]
pub(super) async fn embed(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    JsonBody(request): JsonBody<EmbeddingsRequest>,
) -> Result<Response, ApiProblem> {
    let encoding = request.encoding_format;
    let texts = texts(request)?;
    let count = texts.len();
    let memory = client.reserve(count.saturating_mul(ANSWER_TEXT_BYTES))?;
    let wanted = submit(&gateway, &client, texts).await?;
    settle(&gateway, &client, wanted.tasks()).await?;
    let (mut vectors, mut tokens) = (Vec::with_capacity(count), 0_u64);
    for task in wanted.tasks() {
        let output = output(&gateway, &client, *task).await?;
        let (of_task, tokens_of_task) = read(&output, encoding).ok_or_else(unreadable)?;
        vectors.extend(of_task);
        tokens = tokens.saturating_add(tokens_of_task);
    }
    if vectors.len() != count {
        return Err(unreadable());
    }
    let answer = serde_json::to_vec(&answer(vectors, tokens));
    let answer = answer.map_err(|error| ApiProblem::internal(&error))?;
    Ok(respond(answer, memory, &wanted.fetched()))
}

fn respond(answer: Vec<u8>, memory: Memory, tasks: &[TaskId]) -> Response {
    let length = HeaderValue::from(answer.len());
    let mut response = Response::new(held(answer, memory));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, length);
    if let Ok(names) = HeaderValue::try_from(names(tasks)) {
        headers.insert(TASKS_HEADER, names);
    }
    response
}

fn names(tasks: &[TaskId]) -> String {
    let names: Vec<_> = tasks.iter().map(TaskId::to_string).collect();
    names.join(", ")
}

fn unreadable() -> ApiProblem {
    ApiProblem::internal(&std::io::Error::other("an output of `embed` has no layout"))
}

/// The texts, once everything else about the request was found in order.
fn texts(request: EmbeddingsRequest) -> Result<Vec<String>, ApiProblem> {
    if request.model != ALL_MINILM_L6_V2.name {
        let model: String = request.model.chars().take(80).collect();
        let known = ALL_MINILM_L6_V2.name;
        let detail = format!("there is no model `{model}`; there is `{known}`");
        return Err(invalid("model", detail));
    }
    if let Some(dimensions) = request.dimensions
        && dimensions != EMBEDDING_DIMENSIONS
    {
        let detail = format!("the model gives {EMBEDDING_DIMENSIONS} numbers, not {dimensions}");
        return Err(invalid("dimensions", detail));
    }
    let texts = match request.input {
        Value::String(text) => vec![text],
        Value::Array(values) => strings(values)?,
        _ => return Err(invalid("input", "expected a text, or an array of texts")),
    };
    match texts.len() {
        0 => Err(invalid("input", "expected at least one text")),
        count if count > EMBEDDINGS_TEXTS_MAX => {
            let detail = format!("a request has up to {EMBEDDINGS_TEXTS_MAX} texts, not {count}");
            Err(Problem::new(ProblemCode::LimitExceeded, detail)
                .with_field("input")
                .with_limit("EMBEDDINGS_TEXTS_MAX")
                .into())
        }
        _ => Ok(texts),
    }
}

fn strings(values: Vec<Value>) -> Result<Vec<String>, ApiProblem> {
    let text = |(index, value)| match value {
        Value::String(text) => Ok(text),
        _ => Err(invalid(
            &format!("input[{index}]"),
            "expected a text; token numbers are not taken",
        )),
    };
    values.into_iter().enumerate().map(text).collect()
}

fn invalid(field: &str, detail: impl Into<String>) -> ApiProblem {
    Problem::new(ProblemCode::InvalidTask, detail)
        .with_field(field)
        .into()
}

/// Queues the texts as tasks, in order. Either all of them or none.
async fn submit(
    gateway: &Arc<Gateway>,
    client: &Client,
    texts: Vec<String>,
) -> Result<Wanted, ApiProblem> {
    let ids = gateway
        .new_task_ids()
        .map_err(|_| ApiProblem::internal(&std::io::Error::other("no randomness")))?;
    let (user, now_ms) = (client.user().clone(), gateway.now_ms());
    let prepare = move || {
        let chunks = texts.chunks(TASK_TEXTS_MAX).zip(ids).enumerate();
        let task = |(number, (texts, id)): (usize, (&[String], TaskId))| {
            let first = number.saturating_mul(TASK_TEXTS_MAX);
            submission::parse(task(texts), id, &user, now_ms)
                .map_err(|problem| of_the_request(problem, first))
        };
        chunks.map(task).collect::<Result<Vec<NewTask>, _>>()
    };
    let tasks = tokio::task::spawn_blocking(prepare).await;
    let tasks = tasks.map_err(|error| ApiProblem::internal(&error))??;
    // From here on they may be queued, whether or not this request hears of it.
    let ids = tasks.iter().map(|task| task.id).collect();
    let wanted = Wanted::new(gateway, client.own(), ids);
    let submitted = gateway.store.submit_awaited(tasks);
    let submitted = gateway.timed("submit-awaited", submitted).await?;
    if let Some(error) = submitted.iter().find_map(|outcome| outcome.as_ref().err()) {
        gateway.metrics.submitted("refused", 1);
        return Err(submission::refuse_submit(error).into());
    }
    let count = u64::try_from(submitted.len()).unwrap_or(u64::MAX);
    gateway.metrics.submitted("accepted", count);
    Ok(wanted)
}

fn task(texts: &[String]) -> SubmitTask {
    let inputs = texts.iter().map(|text| InputSource::Inline {
        data: text.as_bytes().to_vec(),
    });
    let model = ("model".to_owned(), ALL_MINILM_L6_V2.name.into());
    SubmitTask {
        operation: OPERATION.to_owned(),
        version: Some(1),
        parameters: Map::from_iter([model]),
        inputs: inputs.collect(),
        priority: None,
        // Nobody waits for it any longer than that.
        deadline_s: u32::try_from(EMBEDDINGS_WAIT.as_secs()).ok(),
        max_attempts: None,
        idempotency_key: None,
        requirements: Requirements::default(),
    }
}

/// A problem with an input of a task is one with a text of the request.
fn of_the_request(problem: ApiProblem, first: usize) -> ApiProblem {
    let mut problem = problem.into_problem();
    let index = problem.field.as_deref().and_then(|field| {
        let (_, behind) = field.split_once('[')?;
        let (index, _) = behind.split_once(']')?;
        index.parse::<usize>().ok()
    });
    if let Some(index) = index {
        problem.field = Some(format!("input[{}]", first.saturating_add(index)));
    }
    problem.into()
}

/// Waits until every task has succeeded, or one has not.
async fn settle(gateway: &Gateway, client: &Client, tasks: &[TaskId]) -> Result<(), ApiProblem> {
    tokio::select! {
        settled = all_succeed(gateway, client, tasks) => settled,
        () = gateway.stopping.cancelled() => {
            let detail = "the gateway is stopping; come back";
            Err(Problem::new(ProblemCode::Overloaded, detail).into())
        }
        () = nobody_computes(gateway) => {
            let detail = "no connected worker offers `embed`: one does once its configuration names the model's folder, `[model]`";
            Err(Problem::new(ProblemCode::NotInTime, detail).into())
        }
        () = tokio::time::sleep(EMBEDDINGS_WAIT) => Err(not_in_time()),
    }
}

/// Ends when no worker offers it; one may be about to connect again, so not at once.
async fn nobody_computes(gateway: &Gateway) {
    let embed = OperationId {
        name: OPERATION.to_owned(),
        version: 1,
    };
    loop {
        tokio::time::sleep(EMBEDDINGS_NOBODY_WAIT).await;
        let sessions = gateway.sessions.all();
        if !sessions.iter().any(|session| session.offers(&embed)) {
            return;
        }
    }
}

fn not_in_time() -> ApiProblem {
    let waited = EMBEDDINGS_WAIT.as_secs();
    let detail = format!(
        "no worker finished it within {waited} s; submit tasks of `embed` instead where the pool is busy"
    );
    Problem::new(ProblemCode::NotInTime, detail).into()
}

async fn all_succeed(
    gateway: &Gateway,
    client: &Client,
    tasks: &[TaskId],
) -> Result<(), ApiProblem> {
    // Watched before they are read, so that an end in between is not missed.
    let watches = tasks.iter().map(|task| {
        let (task, mut watch) = (*task, gateway.store.watch_task(*task));
        async move {
            let _ = watch.finished().await;
            task
        }
    });
    let mut ends: FuturesUnordered<_> = watches.collect();
    let mut unfinished: BTreeSet<_> = tasks.iter().copied().collect();
    let mut ended = tasks.to_vec();
    loop {
        for view in gateway.store.tasks(client.own(), ended).await? {
            let view = view.ok_or_else(unreadable)?;
            if let Some(problem) = failure(&view) {
                return Err(problem);
            }
            if view.state.is_finished() {
                unfinished.remove(&view.id);
            }
        }
        if unfinished.is_empty() {
            return Ok(());
        }
        ended = vec![ends.next().await.ok_or_else(unreadable)?];
    }
}

/// Why one task makes the whole request fail.
fn failure(task: &TaskView) -> Option<ApiProblem> {
    let fault = task.fault.as_deref().unwrap_or("it did not say why");
    let detail = match task.state {
        TaskState::Queued | TaskState::Running | TaskState::Succeeded => return None,
        TaskState::DeadLetter => format!("task {}: {fault}", task.id),
        TaskState::Expired => return Some(not_in_time()),
        TaskState::Cancelled => format!("task {} was cancelled", task.id),
    };
    Some(Problem::new(ProblemCode::TaskFailed, detail).into())
}

async fn output(gateway: &Gateway, client: &Client, task: TaskId) -> Result<Bytes, ApiProblem> {
    let output = gateway.store.output(client.own(), task).await;
    match output
        .map_err(|error| ApiProblem::internal(&error))?
        .payload
    {
        Payload::Inline(bytes) => Ok(bytes),
        Payload::Blob(_) => Err(unreadable()),
    }
}

/// The vectors of a task's output and the sum of its tokens, out of the layout that the catalogue gives `embed`.
fn read(output: &[u8], encoding: EncodingFormat) -> Option<(Vec<Vector>, u64)> {
    let count = output.len().div_euclid(TEXT_BYTES);
    let (vectors, tokens) = output.split_at_checked(count.saturating_mul(VECTOR_BYTES))?;
    let (tokens, rest) = tokens.as_chunks::<NUMBER_BYTES>();
    if tokens.len() != count || !rest.is_empty() {
        return None;
    }
    let tokens = tokens.iter().copied().map(u32::from_le_bytes);
    let vectors = vectors.chunks_exact(VECTOR_BYTES);
    Some((
        vectors.map(|bytes| vector(bytes, encoding)).collect(),
        tokens.map(u64::from).sum(),
    ))
}

fn answer(vectors: Vec<Vector>, tokens: u64) -> Embeddings {
    let embedding = |(index, vector)| Embedding {
        object: "embedding",
        index,
        vector,
    };
    Embeddings {
        object: "list",
        data: vectors.into_iter().enumerate().map(embedding).collect(),
        model: ALL_MINILM_L6_V2.name,
        usage: Usage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    }
}

fn vector(bytes: &[u8], encoding: EncodingFormat) -> Vector {
    match encoding {
        EncodingFormat::Base64 => Vector::Base64(STANDARD.encode(bytes)),
        EncodingFormat::Float => {
            let (numbers, _) = bytes.as_chunks::<NUMBER_BYTES>();
            Vector::Numbers(numbers.iter().copied().map(f32::from_le_bytes).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_read_by_its_layout_alone() {
        let mut output = Vec::new();
        for number in 0..DIMENSIONS * 2 {
            let number = f32::from(u16::try_from(number).unwrap());
            output.extend_from_slice(&number.to_le_bytes());
        }
        output.extend_from_slice(&[3, 0, 0, 0, 4, 0, 0, 0]);
        let (floats, tokens) = read(&output, EncodingFormat::Float).unwrap();
        assert_eq!((floats.len(), tokens), (2, 7));
        let Vector::Numbers(numbers) = &floats[1] else {
            panic!("numbers")
        };
        assert_eq!((numbers.len(), numbers[0]), (384, 384.0));
        let (encoded, _) = read(&output, EncodingFormat::Base64).unwrap();
        let Vector::Base64(text) = &encoded[1] else {
            panic!("base64")
        };
        assert_eq!(STANDARD.decode(text).unwrap(), output[1536..3072]);
        for cut in [1, 4, 1540] {
            let cut = read(&output[cut..], EncodingFormat::Float);
            assert!(cut.is_none_or(|(vectors, _)| vectors.len() == 1));
        }
        assert!(read(&output[1..], EncodingFormat::Float).is_none());
    }

    #[test]
    fn a_problem_with_an_input_names_the_text() {
        let of = |field: &str| {
            let problem = Problem::new(ProblemCode::LimitExceeded, "large").with_field(field);
            of_the_request(problem.into(), 84).into_problem().field
        };
        assert_eq!(of("inputs[3]").as_deref(), Some("input[87]"));
        assert_eq!(of("inputs[3].data").as_deref(), Some("input[87]"));
        assert_eq!(of("parameters.model").as_deref(), Some("parameters.model"));
    }
}
