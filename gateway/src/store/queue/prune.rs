//! Forgetting what finished long ago.

use protocol::task::TaskState;

use super::super::database::{Change, WriteScope, values};
use super::super::{Pruned, StoreError};

/// Tasks in one pass, some 10 ms of the writer's time: others wait meanwhile.
const PRUNE_TASKS_MAX: usize = 500;

/// A task with all that belongs to it, by its number.
static PARTS: [Change; 5] = [
    Change::new("DELETE FROM task_outputs WHERE task", 0),
    Change::new("DELETE FROM task_faults WHERE task", 0),
    Change::new("DELETE FROM task_blobs WHERE task", 0),
    Change::new("DELETE FROM task_payloads WHERE task", 0),
    Change::new("DELETE FROM tasks WHERE number", 0),
];

pub(super) const OLD: &str =
    "SELECT number, flow, state FROM tasks WHERE finished_ms < ?1 ORDER BY finished_ms LIMIT ?2";

/// Forgets tasks that finished before then, with their outputs and receipts.
pub(in super::super) fn prune(
    scope: &mut WriteScope<'_>,
    finished_before_ms: u64,
) -> Result<Pruned, StoreError> {
    let bounds = values![finished_before_ms, PRUNE_TASKS_MAX];
    let old: Vec<(i64, i64, TaskState)> = scope.connection.query(OLD, &bounds, |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let numbers: Vec<_> = old.iter().map(|(number, _, _)| *number).collect();
    for part in &PARTS {
        scope.connection.change_many(part, &[], &numbers)?;
    }
    for (_, flow, state) in &old {
        scope.forgotten(*flow, *state);
    }
    let more = old.len() == PRUNE_TASKS_MAX
        || prune_batches(scope, finished_before_ms)? == PRUNE_TASKS_MAX;
    Ok(Pruned {
        tasks: u64::try_from(old.len()).unwrap_or(u64::MAX),
        more,
    })
}

/// A batch was accepted when its tasks finished: once none of those is left, none refers to it.
fn prune_batches(scope: &WriteScope<'_>, before_ms: u64) -> Result<usize, StoreError> {
    let sql = "DELETE FROM receipt_batches WHERE number IN (
                   SELECT number FROM receipt_batches WHERE accepted_ms < ?1 ORDER BY accepted_ms LIMIT ?2)";
    scope
        .connection
        .execute(sql, &values![before_ms, PRUNE_TASKS_MAX])
}
