//! `status`, `explain`, `list`, `cancel`.

use protocol::api::{OutputView, ReasonCode, TaskView};
use protocol::problem::ProblemCode;
use protocol::task::TaskState;
use protocol::{Sha256Digest, TaskId};
use serde_json::json;

use super::Session;
use super::arguments::{Cancel, Explain, List, Status};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::gateway::{GatewayError, Sight, TaskFilter};
use crate::program::World;
use crate::progress;
use crate::terminal::within_line;
use crate::view::{self, Owners};

/// What to do about an answer that does not fit what was submitted.
pub(super) const KEEP_EVIDENCE: &str = "do not use the output; tell the operator, and keep what `cocoon receipt` and `cocoon attestation` give";

/// How often the state is read while somebody looks at it: a few small requests, and never a stale line for long.
const SHOWN_INTERVAL_S: u32 = 2;

pub(super) async fn status(
    arguments: &Status,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let mut tasks = Vec::new();
    for &id in &arguments.tasks {
        let task = if arguments.wait {
            until_interrupted(id, wait(id, session, world)).await?
        } else {
            session.gateway.task(id).await?
        };
        expect_ours(&task, session)?;
        tasks.push(task);
    }
    let now_ms = (world.now_ms)();
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&json!({ "tasks": tasks }))?;
    } else if let [task] = tasks.as_slice() {
        terminal.table(&view::task(terminal.style, task))?;
    } else {
        terminal.table(&view::tasks(terminal.style, &tasks, Owners::Hidden, now_ms))?;
    }
    if let Some(hint) = tasks.iter().find_map(hint).filter(|_| !terminal.style.json) {
        // It is on the other stream, and belongs after the rows.
        terminal.output.flush()?;
        terminal.note(hint)?;
    }
    Ok(exit_of(&tasks))
}

/// Where to read on about a task that is not where one would like it.
fn hint(task: &TaskView) -> Option<String> {
    match task.state {
        TaskState::Queued => Some(format!("{} says what it waits for", explain_of(task.id))),
        TaskState::DeadLetter | TaskState::Expired => Some(how_it_ended(task.id)),
        TaskState::Running | TaskState::Succeeded | TaskState::Cancelled => None,
    }
}

fn explain_of(id: TaskId) -> String {
    format!("`cocoon explain {id}`")
}

/// What to try where a task failed.
pub(super) fn how_it_ended(id: TaskId) -> String {
    format!("{} says how it ended", explain_of(id))
}

pub(super) async fn list(
    arguments: List,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let filter = TaskFilter {
        state: arguments.state,
        limit: Some(arguments.limit),
        cursor: arguments.cursor,
        all: false,
    };
    let page = session.gateway.tasks(&filter).await?;
    let now_ms = (world.now_ms)();
    view::page(
        &page,
        "cocoon list",
        &filter,
        now_ms,
        &mut world.terminal(session.style),
    )?;
    Ok(Exit::Success)
}

pub(super) async fn explain(
    arguments: &Explain,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let explanation = session.gateway.explain_task(arguments.task).await?;
    let mut terminal = world.terminal(session.style);
    view::explanation(&arguments.task.to_string(), &explanation, &mut terminal)?;
    let mut reasons = explanation.reasons.iter();
    if !reasons.any(|reason| reason.code == ReasonCode::Finished) {
        return Ok(Exit::Success);
    }
    let task = session.gateway.task(arguments.task).await?;
    Ok(exit_of(&[task]))
}

pub(super) async fn cancel(
    arguments: &Cancel,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let task = match session.gateway.cancel_task(arguments.task).await {
        Ok(task) => task,
        Err(error) => return Err(refused(arguments.task, error, session).await),
    };
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&json!({ "task": task }))?;
    } else {
        terminal.line(format_args!("{} {}", task.id, task.state))?;
    }
    Ok(Exit::Success)
}

/// Why a task does not give, or take, what was asked: a task that failed is a finding to every command that names it.
pub(super) async fn refused(id: TaskId, error: GatewayError, session: &Session) -> Failure {
    let problem = error.problem().map(|problem| problem.code);
    let failure = Failure::from(error);
    if problem != Some(ProblemCode::WrongState) {
        return failure;
    }
    match session.gateway.task(id).await {
        Ok(task) if exit_of(std::slice::from_ref(&task)) == Exit::Findings => failure
            .with_exit(Exit::Findings)
            .with_remedy(how_it_ended(id)),
        // The refusal is what was found out; that no more could be is not worth telling.
        _ => failure,
    }
}

/// What is wrong with a task, as the end of a sentence about it.
pub(super) fn because(task: &TaskView) -> String {
    let fault = task.fault.as_deref();
    fault.map_or_else(String::new, |fault| format!(": {}", within_line(fault)))
}

/// Waits for a task, with a line that says where it is.
pub(super) async fn wait(
    id: TaskId,
    session: &Session,
    world: &mut World<'_>,
) -> Result<TaskView, Failure> {
    let style = world.terminal(session.style).style;
    let interval_s = if progress::is_shown(style) {
        SHOWN_INTERVAL_S
    } else {
        u32::MAX
    };
    let bar = progress::of_waiting(style, &id.to_string());
    let outcome = session
        .gateway
        .watch_task(id, interval_s, |sight| {
            bar.set_message(format!("{id} {}", where_it_is(&sight)));
        })
        .await;
    bar.finish_and_clear();
    outcome.map_err(|error| {
        let lost = error.is_transient();
        let failure = Failure::from(error);
        if lost {
            failure.with_remedy(goes_on(id))
        } else {
            failure
        }
    })
}

/// For the line that is drawn over and over.
fn where_it_is(sight: &Sight<'_>) -> String {
    match sight {
        Sight::Lost(_) => "connection lost, trying again".to_owned(),
        Sight::Task(task) => {
            let at = view::present_worker(task).map(|worker| format!(" at {worker}"));
            format!("{}{}", task.state, at.unwrap_or_default())
        }
    }
}

/// Waiting ends at Ctrl-C; the task does not.
pub(super) async fn until_interrupted<T>(
    id: TaskId,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        outcome = work => outcome,
        Ok(()) = tokio::signal::ctrl_c() => {
            Err(Failure::sentence(Exit::Interrupted, "interrupted").with_remedy(goes_on(id)))
        }
    }
}

/// What is left to do about a task that nobody waits for any more.
fn goes_on(id: TaskId) -> String {
    format!("the task goes on: `cocoon status --wait {id}` or `cocoon cancel {id}`")
}

/// A task that this machine submitted must still be the one that it submitted.
pub(super) fn expect_ours(task: &TaskView, session: &Session) -> Result<(), Failure> {
    let Some(submission) = session.ledger.find(task.id)? else {
        return Ok(());
    };
    expect_digest(task, submission.digest)?;
    match (task.output, submission.body.call()) {
        (Some(content), Ok(call)) => expect_size(content, call.output_bytes()),
        // An operation that this build does not know has no size to compare with.
        _ => Ok(()),
    }
}

/// The catalogue says how large the output is; anything else is none.
pub(super) fn expect_size(content: OutputView, wanted: u64) -> Result<(), Failure> {
    let seen = content.bytes;
    if seen == wanted {
        return Ok(());
    }
    let text = format!("the output has {seen} bytes, and the operation gives {wanted}");
    Err(Failure::sentence(Exit::Findings, text).with_remedy(KEEP_EVIDENCE))
}

pub(super) fn expect_digest(task: &TaskView, submitted: Sha256Digest) -> Result<(), Failure> {
    if task.digest == submitted {
        return Ok(());
    }
    let text = format!(
        "the gateway shows another task: {} has the digest {}, submitted was {submitted}",
        task.id, task.digest
    );
    Err(Failure::sentence(Exit::Findings, text)
        .with_remedy("do not use its output, and tell the operator"))
}

/// A task that failed is a finding; a cancelled one did what was asked.
pub(super) fn exit_of(tasks: &[TaskView]) -> Exit {
    let failed = |task: &TaskView| matches!(task.state, TaskState::DeadLetter | TaskState::Expired);
    if tasks.iter().any(failed) {
        Exit::Findings
    } else {
        Exit::Success
    }
}
