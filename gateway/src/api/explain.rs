//! Why a task waits, and why a worker gets none: in words, most important first.

use std::collections::BTreeSet;
use std::sync::Arc;

use attestation::ErrorCode;
use axum::Json;
use axum::extract::State;
use protocol::api::{Explanation, Reason, ReasonCode, TaskView, WorkerState, WorkerView};
use protocol::catalogue::Operation;
use protocol::lease::OperationId;
use protocol::problem::Problem;
use protocol::task::TaskState;
use protocol::{TaskId, WorkerId};

use super::access::{Client, Operator};
use super::tasks::unknown_task;
use super::workers;
use crate::gateway::Gateway;
use crate::limits::LEASE_ASKED;
use crate::parts::PathPart;
use crate::problem::ApiProblem;
use crate::store::TaskStanding;
use crate::worker::LiveSession;

/// Why a task is where it is.
///
/// What keeps it waiting: nobody who can compute it, tasks before it, an attempt that failed. Of other users' tasks and
/// of workers that never had it it gives numbers alone.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}/explanation",
    tag = "tasks",
    security(("access_token" = ["client"])),
    params(("id" = TaskId, Path, description = "The task's id")),
    responses(
        (status = 200, description = "Sentences, most important first", body = Explanation),
        (status = 404, description = "There is no such task, or it is another user's", body = Problem),
    ),
)]
pub(super) async fn task(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    PathPart(id): PathPart<TaskId>,
) -> Result<Json<Explanation>, ApiProblem> {
    let standing = gateway.store.standing(client.scope(), id).await?;
    let standing = standing.ok_or_else(|| unknown_task(id))?;
    let now_ms = gateway.now_ms();
    let reasons = match standing.task.state {
        TaskState::Queued => {
            let crowd = crowd(&gateway, &standing, now_ms).await?;
            queued(&standing, &crowd, now_ms)
        }
        TaskState::Running => vec![running(&gateway, &standing, now_ms)],
        _ => vec![finished(&standing.task)],
    };
    Ok(Json(Explanation { reasons }))
}

/// Why a worker gets no tasks, or that it does.
#[utoipa::path(
    get,
    path = "/v1/workers/{id}/explanation",
    tag = "workers",
    security(("access_token" = ["operator"])),
    params(("id" = WorkerId, Path, description = "The worker's name")),
    responses(
        (status = 200, description = "Sentences, most important first", body = Explanation),
        (status = 404, description = "No worker of that name is enrolled", body = Problem),
    ),
)]
pub(super) async fn worker(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
    PathPart(id): PathPart<WorkerId>,
) -> Result<Json<Explanation>, ApiProblem> {
    let view = workers::find(&gateway, &id).await?;
    let session = gateway.sessions.of(&id);
    let offer = session.map(|session| session.offer()).unwrap_or_default();
    let queued = gateway.store.queued(offer.operations.clone()).await?;
    let offers = Offers {
        operations: offer.operations,
        asked_ms: offer.asked_ms,
        queued,
    };
    let reasons = idle(&view, &offers, gateway.now_ms());
    Ok(Json(Explanation { reasons }))
}

fn reason(code: ReasonCode, text: impl Into<String>) -> Reason {
    Reason {
        code,
        text: text.into(),
    }
}

/// `count` of something, as in "1 worker".
fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {many}")
    }
}

fn seconds(ms: u64) -> String {
    format!("{} s", ms.div_ceil(1_000))
}

fn named(operation: &OperationId) -> String {
    format!("{} version {}", operation.name, operation.version)
}

fn operation_of(task: &TaskView) -> OperationId {
    OperationId {
        name: task.operation.clone(),
        version: task.version,
    }
}

/// The workers that are connected to this gateway, by what keeps them from one task.
#[derive(Debug, Default)]
struct Crowd {
    connected: u64,
    offering: u64,
    /// Of those that offer the operation: they do not meet what the task demands …
    unmet: u64,
    /// … or do, and cannot take it.
    stale: u64,
    draining: u64,
    quarantined: u64,
    /// Not even the one from which the task is kept for a while.
    able: u64,
}

async fn crowd(
    gateway: &Gateway,
    standing: &TaskStanding,
    now_ms: u64,
) -> Result<Crowd, ApiProblem> {
    let draining = gateway.store.draining_workers().await?;
    let draining: BTreeSet<_> = draining.into_iter().collect();
    let avoided = standing
        .avoided_until_ms
        .is_some_and(|until_ms| until_ms > now_ms);
    let kept_from = standing.task.worker.as_ref().filter(|_| avoided);
    let mut crowd = Crowd::default();
    for session in gateway.sessions.all() {
        crowd.count(&session, &standing.task, &draining, kept_from);
    }
    Ok(crowd)
}

impl Crowd {
    fn count(
        &mut self,
        session: &LiveSession,
        task: &TaskView,
        draining: &BTreeSet<WorkerId>,
        kept_from: Option<&WorkerId>,
    ) {
        let one_more = |count: &mut u64| *count = count.saturating_add(1);
        one_more(&mut self.connected);
        if !session.offers(&operation_of(task)) {
            return;
        }
        one_more(&mut self.offering);
        one_more(if task.requirements.unmet(&session.traits()).is_some() {
            &mut self.unmet
        } else if session.is_stale() {
            &mut self.stale
        } else if draining.contains(&session.worker) {
            &mut self.draining
        } else if session.is_quarantined() {
            &mut self.quarantined
        } else if kept_from == Some(&session.worker) {
            return;
        } else {
            &mut self.able
        });
    }

    fn reasons(&self, task: &TaskView) -> Vec<Reason> {
        let operation = &operation_of(task);
        let name = named(operation);
        if self.connected == 0 {
            return vec![reason(
                ReasonCode::NoWorkerConnected,
                "no worker is connected",
            )];
        }
        if self.offering == 0 {
            let connected = counted(self.connected, "connected worker", "connected workers");
            let text = format!(
                "of {connected} none offers {name}{}",
                needs_model(operation)
            );
            return vec![reason(ReasonCode::NotOffered, text)];
        }
        let offering = counted(self.offering, "worker offers", "workers offer");
        let mut reasons = Vec::new();
        if self.unmet > 0 {
            let unmet = counted(
                self.unmet,
                "worker that offers the operation does",
                "workers that offer the operation do",
            );
            let text = format!("it demands {}: {unmet} not have that", task.requirements);
            reasons.push(reason(ReasonCode::RequirementsUnmet, text));
        }
        if self.unmet == self.offering {
            return reasons;
        }
        if self.able > 0 {
            let able = counted(self.able, "of them can take it", "of them can take it");
            let text = format!("{offering} {name}, and {able}: it waits for a free place");
            reasons.push(reason(ReasonCode::WorkersBusy, text));
        } else {
            let text = format!("{offering} {name}, and none of them takes tasks now");
            reasons.push(reason(ReasonCode::WorkersUnable, text));
        }
        let apart = [
            (self.stale, ReasonCode::Stale, "to attest again first"),
            (self.draining, ReasonCode::Draining, "draining"),
            (
                self.quarantined,
                ReasonCode::Quarantined,
                "with the executor in quarantine",
            ),
        ];
        let apart = apart.into_iter().filter(|(count, ..)| *count > 0);
        reasons.extend(
            apart.map(|(count, code, what)| reason(code, format!("{count} of them: {what}"))),
        );
        reasons
    }
}

fn needs_model(operation: &OperationId) -> &'static str {
    let found = Operation::find(&operation.name, operation.version).ok();
    match found.and_then(Operation::model) {
        Some(_) => "; a worker does once its configuration names the model's folder, `[model]`",
        None => "",
    }
}

/// Why it waits.
fn queued(standing: &TaskStanding, crowd: &Crowd, now_ms: u64) -> Vec<Reason> {
    let task = &standing.task;
    let mut reasons = crowd.reasons(task);
    if let (Some(worker), Some(until_ms)) = (&task.worker, standing.avoided_until_ms)
        && until_ms > now_ms
    {
        let left = seconds(until_ms.saturating_sub(now_ms));
        let text = format!("it failed on {worker}, which does not get it again for {left}");
        reasons.push(reason(ReasonCode::KeptFromWorker, text));
    }
    if task.attempts > 0 {
        let fault = task.fault.as_deref().unwrap_or("it did not say why");
        let text = format!(
            "attempt {} of {} failed: {fault}",
            task.attempts, task.max_attempts
        );
        reasons.push(reason(ReasonCode::AttemptFailed, text));
    }
    if standing.ahead > 0 {
        let ahead = counted(standing.ahead, "task goes", "tasks go");
        let text =
            format!("{ahead} before it, by priority and age, of the same user and operation");
        reasons.push(reason(ReasonCode::TasksAhead, text));
    }
    if standing.flows > 0 {
        let users = counted(standing.flows, "other user has", "other users have");
        let text = format!("{users} tasks of this operation, and they take turns");
        reasons.push(reason(ReasonCode::TurnsTaken, text));
    }
    if let Some(deadline_ms) = task.deadline_ms {
        let left = seconds(deadline_ms.saturating_sub(now_ms));
        let text = format!("it expires in {left} unless a worker takes it");
        reasons.push(reason(ReasonCode::Deadline, text));
    }
    reasons
}

fn running(gateway: &Gateway, standing: &TaskStanding, now_ms: u64) -> Reason {
    let task = &standing.task;
    let Some(worker) = &task.worker else {
        return reason(ReasonCode::Running, "a worker has it");
    };
    let since = seconds(now_ms.saturating_sub(task.started_ms.unwrap_or(now_ms)));
    if gateway.sessions.of(worker).is_some() {
        let text = format!(
            "{worker} has had it for {since}, attempt {} of {}",
            task.attempts, task.max_attempts
        );
        return reason(ReasonCode::Running, text);
    }
    let expires_ms = standing.lease_expires_ms.unwrap_or(now_ms);
    let left = seconds(expires_ms.saturating_sub(now_ms));
    let text = format!(
        "{worker} has it and is not connected; its lease runs out in {left}, then another worker gets it"
    );
    reason(ReasonCode::WorkerLost, text)
}

fn finished(task: &TaskView) -> Reason {
    let fault = task.fault.as_deref().unwrap_or("it did not say why");
    let text = match task.state {
        TaskState::Succeeded => "it succeeded".to_owned(),
        TaskState::Expired => "no worker took it before its deadline".to_owned(),
        TaskState::Cancelled => "it was cancelled".to_owned(),
        TaskState::DeadLetter if task.attempts < task.max_attempts => {
            format!("no attempt can succeed, so it is a dead letter: {fault}")
        }
        TaskState::DeadLetter => format!(
            "attempt {} of {} failed, so it is a dead letter: {fault}",
            task.attempts, task.max_attempts
        ),
        TaskState::Queued | TaskState::Running => "it is not finished".to_owned(),
    };
    reason(ReasonCode::Finished, text)
}

/// What a worker asked for the last time, and how much of it waits.
struct Offers {
    operations: Vec<OperationId>,
    asked_ms: Option<u64>,
    queued: u64,
}

/// Why it is idle, if it is.
fn idle(worker: &WorkerView, offers: &Offers, now_ms: u64) -> Vec<Reason> {
    let mut reasons = Vec::new();
    match worker.state {
        WorkerState::Offline => reasons.extend(offline(worker)),
        WorkerState::Stale => reasons.push(reason(
            ReasonCode::Stale,
            "it must attest again, or be appraised under the policy in force, before it gets tasks",
        )),
        WorkerState::Live => {}
    }
    if worker.draining {
        let running = counted(u64::from(worker.tasks_running), "task", "tasks");
        let text = format!("it drains, with {running} running; `undrain` ends that");
        reasons.push(reason(ReasonCode::Draining, text));
    }
    let telemetry = worker
        .session
        .as_ref()
        .and_then(|session| session.telemetry.as_ref());
    if telemetry.is_some_and(|telemetry| telemetry.quarantined) {
        let text = "its executor is in quarantine until a canary runs well; the worker's /readyz and log say why";
        reasons.push(reason(ReasonCode::Quarantined, text));
    }
    if reasons.is_empty() {
        reasons.push(at_work(worker, offers, now_ms));
    }
    reasons
}

fn offline(worker: &WorkerView) -> Vec<Reason> {
    let mut reasons = vec![reason(ReasonCode::Offline, "it is not connected")];
    if let Some(refusal) = &worker.refusal {
        let remedy = refusal
            .code
            .parse::<ErrorCode>()
            .map_or("", ErrorCode::remedy);
        let text = format!(
            "it was refused with {}, {}. {remedy}",
            refusal.code, refusal.title
        );
        reasons.push(reason(ReasonCode::Refused, text.trim_end()));
    }
    reasons
}

fn at_work(worker: &WorkerView, offers: &Offers, now_ms: u64) -> Reason {
    let Some(asked_ms) = offers.asked_ms else {
        return reason(
            ReasonCode::NotAsking,
            "it has not asked for tasks since it connected",
        );
    };
    let names: Vec<_> = offers.operations.iter().map(named).collect();
    let names = names.join(", ");
    if worker.tasks_running > 0 {
        let running = counted(u64::from(worker.tasks_running), "task", "tasks");
        return reason(
            ReasonCode::Running,
            format!("it is well: it has {running}, and offers {names}"),
        );
    }
    let silent_ms = now_ms.saturating_sub(asked_ms);
    if u128::from(silent_ms) > LEASE_ASKED.as_millis() {
        let text = format!("it has not asked for tasks for {}", seconds(silent_ms));
        return reason(ReasonCode::NotAsking, text);
    }
    let text = match offers.queued {
        0 => format!("it is well: nothing is queued that it offers, {names}"),
        queued => format!(
            "it is well: {} of what it offers, {names}",
            counted(queued, "task is queued", "tasks are queued")
        ),
    };
    reason(ReasonCode::NothingQueued, text)
}

#[cfg(test)]
mod tests;
