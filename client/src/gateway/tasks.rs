//! The routes of tasks: submit, watch, cancel, and fetch what they leave.

use std::time::Duration;

use protocol::api::{BatchOutcome, Explanation, OperationView, SubmitTask, TaskList, TaskView};
use protocol::limits::LONG_POLL_MS_MAX;
use protocol::receipt::Receipt;
use protocol::task::TaskState;
use protocol::{TaskId, ndjson};
use reqwest::Method;

use super::call::{Call, write_json};
use super::retry::{Repeat, Retries};
use super::{AnswerError, Gateway, GatewayError, answer};

/// Shorter than any answer's own round trip needs to be noticed; keeps a gateway that does not wait from being asked in
/// a tight loop.
const POLL_PAUSE: Duration = Duration::from_millis(200);

/// The longest that a gateway keeps an answer back.
const LONG_POLL_S_MAX: u32 = LONG_POLL_MS_MAX / 1_000;

/// Beside the retries of each call: some 40 seconds in all, enough for a gateway to start again.
const OUTAGE: Retries = Retries { count_max: 12 };

/// Which tasks to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    pub state: Option<TaskState>,
    pub limit: Option<u32>,
    pub cursor: Option<String>,
    /// Everybody's; for operators.
    pub all: bool,
}

/// What a wait sees on its way.
#[derive(Debug)]
pub enum Sight<'a> {
    Task(&'a TaskView),
    /// No answer: it is tried again.
    Lost(&'a GatewayError),
}

impl Gateway {
    /// `POST /v1/tasks`. Repeated after a lost answer only when the task carries an idempotency key.
    pub async fn submit(&self, task: &SubmitTask) -> Result<TaskView, GatewayError> {
        let call = Call::new(
            "queue the task",
            Method::POST,
            "/v1/tasks",
            repeat_of(&[task]),
        );
        self.json(call.with_json(task)).await
    }

    /// `POST /v1/tasks?wait_s=`: queues a task and answers when it has finished, or as it stands after the longest wait there
    /// is. Repeated as [`Self::submit`], each time with the whole wait; without a key, a broken connection leaves a task whose id
    /// nobody knows.
    pub async fn submit_and_wait(&self, task: &SubmitTask) -> Result<TaskView, GatewayError> {
        let call = Call::new(
            "run the task",
            Method::POST,
            "/v1/tasks",
            repeat_of(&[task]),
        )
        .with_wait(LONG_POLL_S_MAX);
        self.json(call.with_json(task)).await
    }

    /// `POST /v1/tasks:batch`: one outcome for each task, in order.
    pub async fn submit_batch(
        &self,
        tasks: &[SubmitTask],
    ) -> Result<Vec<BatchOutcome>, GatewayError> {
        let mut lines = Vec::new();
        for task in tasks {
            write_json(&mut lines, task);
            lines.push(b'\n');
        }
        let repeat = repeat_of(&tasks.iter().collect::<Vec<_>>());
        let call = Call::new("queue the batch", Method::POST, "/v1/tasks:batch", repeat)
            .with_body(ndjson::MEDIA_TYPE, lines);
        let bytes = self.bytes(&call).await?;
        let outcomes = batch_outcomes(&bytes, tasks.len());
        outcomes.map_err(|source| self.bad_answer(&call, source))
    }

    /// `GET /v1/tasks/{id}`.
    pub async fn task(&self, id: TaskId) -> Result<TaskView, GatewayError> {
        self.task_call(Call::get("show the task", task_path(id)), id)
            .await
    }

    /// `GET /v1/tasks/{id}?wait_s=`: answers when the task has finished, or after the longest wait there is.
    pub async fn poll_task(&self, id: TaskId) -> Result<TaskView, GatewayError> {
        self.poll_task_for(id, LONG_POLL_S_MAX).await
    }

    async fn poll_task_for(&self, id: TaskId, wait_s: u32) -> Result<TaskView, GatewayError> {
        let wait_s = wait_s.min(LONG_POLL_S_MAX);
        let call = Call::get("show the task", task_path(id)).with_wait(wait_s);
        self.task_call(call, id).await
    }

    /// Polls until the task has finished, over a restart of the gateway if need be; `seen` is told of every answer.
    pub async fn wait_task(
        &self,
        id: TaskId,
        mut seen: impl FnMut(&TaskView),
    ) -> Result<TaskView, GatewayError> {
        self.watch_task(id, LONG_POLL_S_MAX, |sight| {
            if let Sight::Task(task) = sight {
                seen(task);
            }
        })
        .await
    }

    /// As [`Self::wait_task`], but its state is read at once and then every `interval_s` seconds (1 and more), and
    /// `seen` is also told when the gateway cannot be reached.
    pub async fn watch_task(
        &self,
        id: TaskId,
        interval_s: u32,
        mut seen: impl FnMut(Sight<'_>),
    ) -> Result<TaskView, GatewayError> {
        let fresh = || OUTAGE.of(Repeat::Safe);
        let mut outage = fresh();
        let mut wait_s = 0;
        loop {
            match self.poll_task_for(id, wait_s).await {
                Ok(task) => {
                    seen(Sight::Task(&task));
                    if task.state.is_finished() {
                        return Ok(task);
                    }
                    outage = fresh();
                    if wait_s > 0 {
                        tokio::time::sleep(POLL_PAUSE).await;
                    }
                    wait_s = interval_s.max(1);
                }
                Err(error) => {
                    if error.is_transient() {
                        seen(Sight::Lost(&error));
                    }
                    // What comes after an outage is worth reading at once.
                    wait_s = 0;
                    outage.after(error).await?;
                }
            }
        }
    }

    /// `GET /v1/tasks/{id}/explanation`: why the task is where it is.
    pub async fn explain_task(&self, id: TaskId) -> Result<Explanation, GatewayError> {
        let path = format!("{}/explanation", task_path(id));
        self.json(Call::get("explain the task", path)).await
    }

    /// `GET /v1/tasks`, one page.
    pub async fn tasks(&self, filter: &TaskFilter) -> Result<TaskList, GatewayError> {
        let mut call = Call::get("list tasks", "/v1/tasks");
        if let Some(state) = filter.state {
            call = call.with_query("state", &state);
        }
        if let Some(limit) = filter.limit {
            call = call.with_query("limit", &limit);
        }
        if let Some(cursor) = &filter.cursor {
            call = call.with_query("cursor", cursor);
        }
        if filter.all {
            call = call.with_query("all", &true);
        }
        self.json(call).await
    }

    /// `POST /v1/tasks/{id}/cancel`; cancelling twice is no error.
    pub async fn cancel_task(&self, id: TaskId) -> Result<TaskView, GatewayError> {
        let path = format!("{}/cancel", task_path(id));
        let call = Call::new("cancel the task", Method::POST, path, Repeat::Safe);
        self.task_call(call, id).await
    }

    /// `POST /v1/tasks/{id}/redrive`; for operators.
    pub async fn redrive_task(&self, id: TaskId) -> Result<TaskView, GatewayError> {
        let path = format!("{}/redrive", task_path(id));
        let call = Call::new("redrive the task", Method::POST, path, Repeat::OnlyUnsent);
        self.task_call(call, id).await
    }

    /// `GET /v1/tasks/{id}/receipt`; nothing of it is verified yet.
    pub async fn receipt(&self, id: TaskId) -> Result<Receipt, GatewayError> {
        let path = format!("{}/receipt", task_path(id));
        self.json(Call::get("give the receipt", path)).await
    }

    /// `GET /v1/tasks/{id}/attestation`: the record that the receipt points at, as JSON for `cocoon-attest`.
    pub async fn task_attestation(&self, id: TaskId) -> Result<String, GatewayError> {
        let path = format!("{}/attestation", task_path(id));
        self.record(Call::get("give the attestation record", path))
            .await
    }

    /// `GET /v1/operations`.
    pub async fn operations(&self) -> Result<Vec<OperationView>, GatewayError> {
        self.json(Call::get("list its operations", "/v1/operations"))
            .await
    }

    /// An attestation record is opaque here; that it is a JSON object is all that is required.
    pub(super) async fn record(&self, call: Call) -> Result<String, GatewayError> {
        let bytes = self.bytes(&call).await?;
        answer::json_object(&bytes).map_err(|source| self.bad_answer(&call, source))
    }

    async fn task_call(&self, call: Call, id: TaskId) -> Result<TaskView, GatewayError> {
        let action = call.action;
        let task: TaskView = self.json(call).await?;
        self.expect_subject(action, &task.id, &id)?;
        Ok(task)
    }
}

pub(super) fn task_path(id: TaskId) -> String {
    format!("/v1/tasks/{id}")
}

fn repeat_of(tasks: &[&SubmitTask]) -> Repeat {
    if tasks.iter().all(|task| task.idempotency_key.is_some()) {
        Repeat::Safe
    } else {
        Repeat::OnlyUnsent
    }
}

fn batch_outcomes(bytes: &[u8], wanted: usize) -> Result<Vec<BatchOutcome>, AnswerError> {
    let outcomes = ndjson::lines(bytes).map(answer::json);
    let outcomes: Vec<BatchOutcome> = outcomes.collect::<Result<_, _>>()?;
    if outcomes.len() == wanted {
        Ok(outcomes)
    } else {
        Err(AnswerError::BatchLength {
            seen: outcomes.len(),
            wanted,
        })
    }
}
