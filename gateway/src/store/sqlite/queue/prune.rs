//! Forgetting what finished long ago.

use protocol::task::TaskState;
use rusqlite::Row;

use super::super::super::{Pruned, StoreError};
use super::super::WriteScope;
use super::super::values::{integer, integer_from_usize, parsed_at};

/// Tasks in one pass, some 10 ms of the writer's time: others wait meanwhile.
const PRUNE_TASKS_MAX: usize = 500;

/// What belongs to a task, by its number.
const PARTS: [&str; 4] = [
    "DELETE FROM task_outputs WHERE task = ?1",
    "DELETE FROM task_faults WHERE task = ?1",
    "DELETE FROM task_inputs WHERE task = ?1",
    "DELETE FROM task_bodies WHERE task = ?1",
];

pub(super) const OLD: &str = "
    SELECT number, state FROM tasks WHERE finished_ms < ?1 ORDER BY finished_ms LIMIT ?2";

/// Forgets tasks that finished before then, with their outputs and receipts.
pub(in super::super::super) fn prune(
    scope: &mut WriteScope<'_>,
    finished_before_ms: u64,
) -> Result<Pruned, StoreError> {
    let old = old(scope, finished_before_ms)?;
    for (number, state) in &old {
        for part in PARTS {
            scope.connection.prepare_cached(part)?.execute([number])?;
        }
        scope
            .connection
            .prepare_cached("DELETE FROM tasks WHERE number = ?1")?
            .execute([number])?;
        scope.forgotten(*state);
    }
    let more = if old.len() == PRUNE_TASKS_MAX {
        true
    } else {
        prune_batches(scope, finished_before_ms)? == PRUNE_TASKS_MAX
    };
    Ok(Pruned {
        tasks: u64::try_from(old.len()).unwrap_or(u64::MAX),
        more,
    })
}

fn old(scope: &WriteScope<'_>, before_ms: u64) -> Result<Vec<(i64, TaskState)>, StoreError> {
    let mut statement = scope.connection.prepare_cached(OLD)?;
    let mut rows = statement.query((integer(before_ms), integer_from_usize(PRUNE_TASKS_MAX)))?;
    let task = |row: &Row<'_>| -> Result<_, StoreError> {
        Ok((row.get("number")?, parsed_at(row, "state", "a task state")?))
    };
    let mut old = Vec::new();
    while let Some(row) = rows.next()? {
        old.push(task(row)?);
    }
    Ok(old)
}

/// A batch was accepted when its tasks finished: once none of those is left, none refers to it.
fn prune_batches(scope: &WriteScope<'_>, before_ms: u64) -> Result<usize, StoreError> {
    let pruned = scope
        .connection
        .prepare_cached(
            "DELETE FROM receipt_batches WHERE number IN (
                 SELECT number FROM receipt_batches WHERE accepted_ms < ?1 ORDER BY accepted_ms LIMIT ?2)",
        )?
        .execute((integer(before_ms), integer_from_usize(PRUNE_TASKS_MAX)))?;
    Ok(pruned)
}
