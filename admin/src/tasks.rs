//! `task`: everybody's tasks.

use client::Exit;
use client::failure::Failure;
use client::gateway::TaskFilter;
use client::program::World;
use client::view;
use protocol::api::TaskView;
use serde_json::json;

use crate::Session;
use crate::arguments::{Cancel, List, Task};
use crate::confirm::confirm;

pub(crate) async fn list(
    arguments: List,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let filter = TaskFilter {
        state: arguments.state,
        limit: Some(arguments.limit),
        cursor: arguments.cursor,
        all: arguments.all,
    };
    let page = session.gateway.tasks(&filter).await?;
    let now_ms = (world.now_ms)();
    let mut terminal = world.terminal(session.style);
    view::page(
        &page,
        "cocoon-admin task list",
        &filter,
        now_ms,
        &mut terminal,
    )?;
    Ok(Exit::Success)
}

pub(crate) async fn show(
    arguments: &Task,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let task = session.gateway.task(arguments.task).await?;
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&json!({ "task": task }))?;
    } else {
        terminal.table(&view::task(terminal.style, &task))?;
    }
    Ok(Exit::Success)
}

pub(crate) async fn explain(
    arguments: &Task,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let explanation = session.gateway.explain_task(arguments.task).await?;
    let mut terminal = world.terminal(session.style);
    view::explanation(&arguments.task.to_string(), &explanation, &mut terminal)?;
    Ok(Exit::Success)
}

pub(crate) async fn cancel(
    arguments: &Cancel,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let task = session.gateway.task(arguments.task).await;
    let task = task.map_err(|error| error.for_action("cancel the task"))?;
    let question = format!(
        "Cancel the task {} of {} ({}, {})?",
        task.id, task.user, task.operation, task.state
    );
    confirm(&question, arguments.yes, world)?;
    let task = session.gateway.cancel_task(arguments.task).await?;
    tell(&task, session, world)
}

pub(crate) async fn redrive(
    arguments: &Task,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let task = session.gateway.redrive_task(arguments.task).await?;
    tell(&task, session, world)
}

fn tell(task: &TaskView, session: &Session, world: &mut World<'_>) -> Result<Exit, Failure> {
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&json!({ "task": task }))?;
    } else {
        terminal.line(format_args!("{} {}", task.id, task.state))?;
    }
    Ok(Exit::Success)
}
