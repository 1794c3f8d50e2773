//! The operator's routes of a gateway with one worker and one dead letter.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::api::{
    AppraisalPolicyView, CreateWorker, CreatedWorker, PoolStatus, RefusalView, SessionView,
    TaskCounts, TaskList, TaskView, WorkerCounts, WorkerList, WorkerState, WorkerView,
};
use protocol::problem::{MEDIA_TYPE, Problem, ProblemCode};
use protocol::task::TaskState;
use protocol::telemetry::{GpuTelemetry, Telemetry};
use protocol::{SessionId, Sha256Digest, TaskId};
use serde_json::{Value, json};

use crate::support::{ACCESS_TOKEN, Ran, Server, run};

pub(crate) const NOW_MS: u64 = 1_795_000_000_000;
pub(crate) const SECRET: &str = "5ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4";

pub(crate) struct Pool {
    pub(crate) simulated: bool,
    pub(crate) collateral_next_update_ms: Option<u64>,
    pub(crate) worker: WorkerView,
    pub(crate) task: TaskView,
    /// Method and path of every request but `GET /v1/status`.
    pub(crate) requests: Vec<String>,
}

type Shared = Arc<Mutex<Pool>>;

pub(crate) struct Fake {
    pub(crate) server: Server,
    pub(crate) pool: Shared,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let pool = Arc::new(Mutex::new(Pool {
            simulated: false,
            collateral_next_update_ms: Some(NOW_MS + 86_400_000),
            worker: worker(),
            task: task(),
            requests: Vec::new(),
        }));
        let server = Server::start(router(pool.clone()));
        Self { server, pool }
    }

    pub(crate) fn command(&self) -> std::process::Command {
        self.server.command(env!("CARGO_BIN_EXE_cocoon-admin"))
    }

    pub(crate) fn admin(&self, arguments: &[&str]) -> Ran {
        run(self.command().args(arguments))
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.pool.lock().unwrap().requests.clone()
    }
}

fn worker() -> WorkerView {
    WorkerView {
        id: "gpu-7".parse().unwrap(),
        created_ms: NOW_MS - 86_400_000,
        state: WorkerState::Live,
        draining: false,
        tasks_running: 2,
        tasks_succeeded: 41,
        session: Some(SessionView {
            id: SessionId::from_parts(NOW_MS, 7),
            peer: "192.0.2.7:4711".to_owned(),
            admitted_ms: NOW_MS - 7_200_000,
            attested_ms: NOW_MS - 60_000,
            attestation: "ce".repeat(64),
            appraised_ms: NOW_MS - 30_000,
            appraisal_policy_sha256: Sha256Digest::from_bytes([0xab; 32]),
            reappraisals: 3,
            reattest_by_ms: NOW_MS + 3_540_000,
            heartbeat_ms: Some(NOW_MS - 2_000),
            tcb_status: "UpToDate".to_owned(),
            tcb_grace_ends_ms: None,
            gpus_attested: Vec::new(),
            advisory_ids: vec![],
            trust_anchor: "Intel SGX Root CA".to_owned(),
            executor: "cuda".to_owned(),
            telemetry: Some(Telemetry {
                gpus: vec![GpuTelemetry {
                    uuid: "GPU-1".to_owned(),
                    name: "H100".to_owned(),
                    utilisation_percent: Some(93),
                    memory_used_bytes: Some(1 << 30),
                    memory_total_bytes: Some(80 << 30),
                    power_milliwatts: Some(300_400),
                    ..GpuTelemetry::default()
                }],
                ..Telemetry::default()
            }),
        }),
        refusal: Some(RefusalView {
            code: "E401".to_owned(),
            title: "The TD is a \u{1b}[2Jdebug TD".to_owned(),
            at_ms: NOW_MS - 86_000_000,
        }),
    }
}

fn task() -> TaskView {
    TaskView {
        id: TaskId::from_parts(NOW_MS, 1),
        user: "alice".parse().unwrap(),
        operation: "gemm".to_owned(),
        version: 1,
        digest: Sha256Digest::of(b"task"),
        state: TaskState::DeadLetter,
        requirements: protocol::requirements::Requirements::default(),
        priority: 4,
        attempts: 3,
        max_attempts: 3,
        submitted_ms: NOW_MS - 5_000,
        started_ms: None,
        finished_ms: Some(NOW_MS),
        deadline_ms: None,
        worker: Some("gpu-7".parse().unwrap()),
        fault: Some("out of memory".to_owned()),
        output: None,
    }
}

fn router(pool: Shared) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/appraisal-policy:reload", post(reload_policy))
        .route("/v1/workers", get(workers).post(create))
        .route("/v1/workers/{id}", get(show_worker).delete(delete))
        .route("/v1/workers/{id}/explanation", get(explanation))
        .route("/v1/workers/{id}/drain", post(drain))
        .route("/v1/workers/{id}/undrain", post(undrain))
        .route("/v1/workers/{id}/attestation", get(attestation))
        .route("/v1/tasks", get(tasks))
        .route("/v1/tasks/{id}", get(show_task))
        .route("/v1/tasks/{id}/explanation", get(explanation))
        .route("/v1/tasks/{id}/cancel", post(cancel))
        .route("/v1/tasks/{id}/redrive", post(redrive))
        .layer(middleware::from_fn_with_state(pool.clone(), door))
        .with_state(pool)
}

async fn door(
    State(pool): State<Shared>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    if line != "GET /v1/status" {
        pool.lock().unwrap().requests.push(line);
    }
    let authorization = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if authorization == Some(&format!("Bearer {ACCESS_TOKEN}")) {
        next.run(request).await
    } else {
        Refusal(ProblemCode::RoleInsufficient).into_response()
    }
}

/// Problem details with this code.
struct Refusal(ProblemCode);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem::new(self.0, "the fake's reason");
        let status = StatusCode::from_u16(problem.status).unwrap();
        let body = serde_json::to_string(&problem).unwrap();
        (status, [("content-type", MEDIA_TYPE)], body).into_response()
    }
}

async fn status(State(pool): State<Shared>) -> Json<PoolStatus> {
    let pool = pool.lock().unwrap();
    let trust_anchor = if pool.simulated {
        "NOT INTEL: SIMULATED Root CA"
    } else {
        "Intel SGX Root CA"
    };
    Json(PoolStatus {
        version: "0.1.0".to_owned(),
        started_ms: NOW_MS - 7_500_000,
        now_ms: NOW_MS,
        trust_anchor: trust_anchor.to_owned(),
        simulated: pool.simulated,
        appraisal_policy_sha256: "ab".repeat(32),
        collateral_next_update_ms: pool.collateral_next_update_ms,
        tasks: TaskCounts {
            queued: 3,
            running: 2,
            succeeded: 40,
            dead_letter: 1,
            ..TaskCounts::default()
        },
        workers: WorkerCounts {
            enrolled: 2,
            live: 1,
            ..WorkerCounts::default()
        },
    })
}

async fn reload_policy() -> Json<AppraisalPolicyView> {
    Json(AppraisalPolicyView {
        sha256: Sha256Digest::from_bytes([0xcd; 32]),
    })
}

async fn workers(State(pool): State<Shared>) -> Json<WorkerList> {
    let mut offline = worker();
    offline.id = "gpu-8".parse().unwrap();
    (offline.state, offline.session, offline.refusal) = (WorkerState::Offline, None, None);
    Json(WorkerList {
        workers: vec![pool.lock().unwrap().worker.clone(), offline],
    })
}

async fn create(Json(worker): Json<CreateWorker>) -> Response {
    if worker.id.as_str() == "gpu-7" {
        return Refusal(ProblemCode::AlreadyExists).into_response();
    }
    let created = CreatedWorker {
        id: worker.id,
        enrolment_secret: SECRET.to_owned(),
    };
    (StatusCode::CREATED, Json(created)).into_response()
}

/// The worker, or a refusal.
fn find(
    pool: &Shared,
    id: &str,
    change: impl FnOnce(&mut WorkerView),
) -> Result<Json<WorkerView>, Refusal> {
    let mut pool = pool.lock().unwrap();
    if pool.worker.id.as_str() != id {
        return Err(Refusal(ProblemCode::NotFound));
    }
    change(&mut pool.worker);
    Ok(Json(pool.worker.clone()))
}

/// One running task ends with each look at it.
async fn show_worker(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<WorkerView>, Refusal> {
    find(&pool, &id, |worker| {
        if worker.draining {
            worker.tasks_running = worker.tasks_running.saturating_sub(1);
        }
    })
}

async fn drain(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<WorkerView>, Refusal> {
    find(&pool, &id, |worker| worker.draining = true)
}

async fn undrain(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<WorkerView>, Refusal> {
    find(&pool, &id, |worker| worker.draining = false)
}

async fn delete(State(pool): State<Shared>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    find(&pool, &id, |_| ()).map(|_| StatusCode::NO_CONTENT)
}

async fn attestation(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<&'static str, Refusal> {
    find(&pool, &id, |_| ()).map(|_| r#"{"schema": "a record"}"#)
}

async fn tasks(
    State(pool): State<Shared>,
    Query(_): Query<std::collections::HashMap<String, String>>,
) -> Json<TaskList> {
    Json(TaskList {
        tasks: vec![pool.lock().unwrap().task.clone()],
        next_cursor: None,
    })
}

fn change_task(
    pool: &Shared,
    id: &str,
    state: Option<TaskState>,
) -> Result<Json<TaskView>, Refusal> {
    let mut pool = pool.lock().unwrap();
    if pool.task.id.to_string() != id {
        return Err(Refusal(ProblemCode::NotFound));
    }
    pool.task.state = state.unwrap_or(pool.task.state);
    Ok(Json(pool.task.clone()))
}

async fn show_task(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, Refusal> {
    change_task(&pool, &id, None)
}

/// Two sentences; the second is no line of its own for a terminal.
async fn explanation() -> Json<Value> {
    Json(json!({ "reasons": [
        { "code": "workers-busy", "text": "it waits for a free place" },
        { "code": "said-by-a-later-gateway", "text": "and\u{1b}[2J more" },
    ] }))
}

async fn cancel(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, Refusal> {
    change_task(&pool, &id, Some(TaskState::Cancelled))
}

async fn redrive(
    State(pool): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, Refusal> {
    change_task(&pool, &id, Some(TaskState::Queued))
}
