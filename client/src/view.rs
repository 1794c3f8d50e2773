//! Tasks as both programs show them.

use std::io;

use comfy_table::Table;
use protocol::WorkerId;
use protocol::api::{Explanation, TaskList, TaskView};
use protocol::task::TaskState;

use crate::gateway::TaskFilter;
use crate::table::{bytes, cell, duration, facts, or_dash, state_cell, table, time};
use crate::terminal::{Style, Terminal, within_line};

/// Whose tasks a table lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// The caller's own: the column would say the same in every row.
    Hidden,
    Shown,
}

/// One page of tasks, and the command for the next: `program` as in `cocoon list`, with the filter's flags after it.
pub fn page(
    page: &TaskList,
    program: &str,
    filter: &TaskFilter,
    now_ms: u64,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    if terminal.style.json {
        return terminal.json(page);
    }
    let owners = if filter.all {
        Owners::Shown
    } else {
        Owners::Hidden
    };
    terminal.table(&tasks(terminal.style, &page.tasks, owners, now_ms))?;
    let Some(cursor) = &page.next_cursor else {
        return Ok(());
    };
    // The hint is on the other stream, and belongs after the rows.
    terminal.output.flush()?;
    let next = next_page(program, filter, cursor);
    terminal.note(format_args!("There are more: {next}"))
}

fn next_page(program: &str, filter: &TaskFilter, cursor: &str) -> String {
    let flags = [
        filter.all.then(|| "--all".to_owned()),
        filter.state.map(|state| format!("--state {state}")),
        filter.limit.map(|limit| format!("--limit {limit}")),
        Some(format!("--cursor={}", shell_word(cursor))),
    ];
    let words: Vec<_> = std::iter::once(program.to_owned())
        .chain(flags.into_iter().flatten())
        .collect();
    words.join(" ")
}

/// A peer's text that is safe to paste into a shell.
fn shell_word(text: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-_.=".contains(character);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", within_line(text).replace('\'', "'\\''"))
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
            cell(or_dash(present_worker(task))),
            cell(or_dash(task.output.map(|output| bytes(output.bytes)))),
        ];
        if owners == Owners::Shown {
            row.insert(1, cell(task.user.as_str()));
        }
        table.add_row(row);
    }
    table
}

/// The worker that runs it or ran it last; a queued task's earlier one has nothing to do with it any more.
#[must_use]
pub fn present_worker(task: &TaskView) -> Option<&WorkerId> {
    let worker = task.worker.as_ref();
    worker.filter(|_| task.state != TaskState::Queued)
}

/// What is wrong with it; an earlier attempt's fault is none of the one that runs, nor of the output.
fn present_fault(task: &TaskView) -> Option<&str> {
    let fault = task.fault.as_deref();
    fault.filter(|_| !matches!(task.state, TaskState::Running | TaskState::Succeeded))
}

/// Why a task or a worker is as it is: a sentence a line, most important first. `subject` is its name.
pub fn explanation(
    subject: &str,
    explanation: &Explanation,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    if terminal.style.json {
        return terminal.json(explanation);
    }
    let mut reasons = explanation.reasons.iter();
    if let Some(first) = reasons.next() {
        terminal.line(format_args!("{subject}: {}", within_line(&first.text)))?;
    }
    for reason in reasons {
        terminal.line(format_args!("  {}", within_line(&reason.text)))?;
    }
    Ok(())
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
    if !task.requirements.is_none() {
        rows.push(("demands", task.requirements.to_string()));
    }
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
    if let Some(worker) = present_worker(task) {
        rows.push(("worker", worker.to_string()));
    }
    if let Some(fault) = present_fault(task) {
        rows.push(("fault", fault.to_owned()));
    }
    if let Some(output) = task.output {
        rows.push((
            "output",
            format!("{} ({})", output.sha256, bytes(output.bytes)),
        ));
    }
    facts(style, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_a_command_that_can_be_pasted() {
        let filter = TaskFilter {
            state: Some(TaskState::Queued),
            limit: Some(5),
            cursor: None,
            all: true,
        };
        assert_eq!(
            next_page("cocoon-admin task list", &filter, "01KB"),
            "cocoon-admin task list --all --state queued --limit 5 --cursor=01KB"
        );
        assert_eq!(
            next_page("cocoon list", &TaskFilter::default(), "a'; rm -rf ~\n"),
            "cocoon list --cursor='a'\\''; rm -rf ~ '"
        );
    }
}
