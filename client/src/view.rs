//! Tasks as both programs show them.

use std::io;

use comfy_table::Table;
use protocol::api::{TaskList, TaskView};

use crate::table::{bytes, cell, duration, facts, or_dash, state_cell, table, time};
use crate::terminal::{Style, Terminal};

/// Whose tasks a table lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// The caller's own: the column would say the same in every row.
    Hidden,
    Shown,
}

/// One page of tasks, and how to ask for the next.
pub fn page(
    page: &TaskList,
    owners: Owners,
    now_ms: u64,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    if terminal.style.json {
        return terminal.json(page);
    }
    terminal.table(&tasks(terminal.style, &page.tasks, owners, now_ms))?;
    match &page.next_cursor {
        Some(cursor) => terminal.note(format_args!("There are more: --cursor {cursor}")),
        None => Ok(()),
    }
}

/// One row for each task.
#[must_use]
pub fn tasks(style: Style, tasks: &[TaskView], owners: Owners, now_ms: u64) -> Table {
    let mut heads = vec![
        "TASK",
        "OPERATION",
        "STATE",
        "AGE",
        "ATTEMPTS",
        "WORKER",
        "OUTPUT",
    ];
    if owners == Owners::Shown {
        heads.insert(1, "USER");
    }
    let mut table = table(style, &heads);
    for task in tasks {
        let mut row = vec![
            cell(task.id.to_string()),
            cell(&task.operation),
            state_cell(task.state),
            cell(duration(now_ms.saturating_sub(task.submitted_ms))),
            cell(format!("{}/{}", task.attempts, task.max_attempts)),
            cell(or_dash(task.worker.as_ref())),
            cell(or_dash(task.output.map(|output| bytes(output.bytes)))),
        ];
        if owners == Owners::Shown {
            row.insert(1, cell(task.user.as_str()));
        }
        table.add_row(row);
    }
    table
}

/// Everything about one task.
#[must_use]
pub fn task(style: Style, task: &TaskView) -> Table {
    let mut rows = vec![
        ("task", task.id.to_string()),
        ("user", task.user.to_string()),
        (
            "operation",
            format!("{} version {}", task.operation, task.version),
        ),
        ("digest", task.digest.to_string()),
        ("state", task.state.to_string()),
        ("priority", task.priority.to_string()),
        (
            "attempts",
            format!("{} of {}", task.attempts, task.max_attempts),
        ),
        ("submitted", time(task.submitted_ms)),
    ];
    let times = [
        ("started", task.started_ms),
        ("finished", task.finished_ms),
        ("deadline", task.deadline_ms),
    ];
    rows.extend(
        times
            .into_iter()
            .filter_map(|(name, ms)| Some((name, time(ms?)))),
    );
    if let Some(worker) = &task.worker {
        rows.push(("worker", worker.to_string()));
    }
    if let Some(fault) = &task.fault {
        rows.push(("fault", fault.clone()));
    }
    if let Some(output) = task.output {
        rows.push((
            "output",
            format!("{} ({})", output.sha256, bytes(output.bytes)),
        ));
    }
    facts(style, &rows)
}
