//! Forgetting what ended long ago: tasks with all that belongs to them, then the batches of their receipts.
//!
//! Both have numbers in the order in which they were made, and a pass goes through them in it, some at a time, up to where all are too
//! young to have ended long ago. So nothing is written while a task lives for it to be found when it is old.

use protocol::task::TaskState;

use super::super::database::{Change, Connection, Row, WriteScope, values};
use super::super::{Age, PrunePlace, Pruned, StoreError};

/// What one step looks at, some 10 ms of the writer's time if all of it is to go: others wait meanwhile.
const LOOKED_AT_MAX: usize = 500;
/// A batch ends in the moment in which its tasks do. It stays a day longer, lest it go first where clocks disagreed about them.
const BATCHES_STAY_MS: u64 = 24 * 3_600_000;

/// A task with all that belongs to it, by its number.
static PARTS: [Change; 5] = [
    Change::new("DELETE FROM task_outputs WHERE task", 0),
    Change::new("DELETE FROM task_faults WHERE task", 0),
    Change::new("DELETE FROM task_blobs WHERE task", 0),
    Change::new("DELETE FROM task_payloads WHERE task", 0),
    Change::new("DELETE FROM tasks WHERE number", 0),
];
const UNMARK: &str =
    "UPDATE batches_counted SET last = (SELECT coalesce(max(number), 0) FROM receipt_batches)
     WHERE last > (SELECT coalesce(max(number), 0) FROM receipt_batches)";
static BATCH: Change = Change::new("DELETE FROM receipt_batches WHERE number", 0);

pub(super) const TASKS: &str = "SELECT number, submitted_ms, finished_ms, flow, state FROM tasks
     WHERE number > ?1 ORDER BY number LIMIT ?2";
pub(super) const BATCHES: &str = "SELECT number, accepted_ms FROM receipt_batches
     WHERE number > ?1 ORDER BY number LIMIT ?2";

/// One step of a pass: forgets what it finds from there on.
pub(in super::super) fn prune(
    scope: &mut WriteScope<'_>,
    from: PrunePlace,
    age: Age,
) -> Result<Pruned, StoreError> {
    match from {
        PrunePlace::Tasks { behind } => prune_tasks(scope, behind, age),
        PrunePlace::Batches { behind } => prune_batches(scope, behind, age),
    }
}

fn prune_tasks(scope: &mut WriteScope<'_>, behind: i64, age: Age) -> Result<Pruned, StoreError> {
    let page = Page::read(scope.connection, TASKS, behind, age, |row| {
        Ok(Task {
            finished_ms: row.get(2)?,
            flow: row.get(3)?,
            state: row.get(4)?,
        })
    })?;
    let has_ended = |entry: &&Entry<Task>| {
        let finished_ms = entry.what.finished_ms;
        finished_ms.is_some_and(|finished_ms| finished_ms < age.before_ms)
    };
    let ended: Vec<_> = page.entries.iter().filter(has_ended).collect();
    let numbers: Vec<_> = ended.iter().map(|task| task.number).collect();
    for part in &PARTS {
        scope.connection.change_many(part, &[], &numbers)?;
    }
    for task in &ended {
        scope.forgotten(task.what.flow, task.what.state);
    }
    let next = match page.behind {
        Some(behind) => PrunePlace::Tasks { behind },
        None => PrunePlace::Batches { behind: 0 },
    };
    Ok(Pruned {
        tasks: u64::try_from(ended.len()).unwrap_or(u64::MAX),
        next: Some(next),
    })
}

fn prune_batches(scope: &WriteScope<'_>, behind: i64, age: Age) -> Result<Pruned, StoreError> {
    let age = Age {
        before_ms: age.before_ms.saturating_sub(BATCHES_STAY_MS),
        ..age
    };
    let page = Page::read(scope.connection, BATCHES, behind, age, |_| Ok(()))?;
    let ended = page
        .entries
        .iter()
        .filter(|batch| batch.made_ms < age.before_ms);
    let numbers: Vec<_> = ended.map(|batch| batch.number).collect();
    scope.connection.change_many(&BATCH, &[], &numbers)?;
    if !numbers.is_empty() {
        // SQLite gives the numbers behind the greatest that is left, to batches that are not counted yet.
        scope.connection.execute(UNMARK, &[])?;
    }
    Ok(Pruned {
        tasks: 0,
        next: page.behind.map(|behind| PrunePlace::Batches { behind }),
    })
}

struct Task {
    finished_ms: Option<u64>,
    flow: i64,
    state: TaskState,
}

/// What one step looks at.
struct Page<T> {
    /// In order.
    entries: Vec<Entry<T>>,
    /// Number of the last one, if some of what is behind it may be old.
    behind: Option<i64>,
}

struct Entry<T> {
    number: i64,
    made_ms: u64,
    what: T,
}

impl<T> Page<T> {
    /// The statement's first columns are the number and the time.
    fn read(
        connection: &Connection,
        sql: &str,
        behind: i64,
        age: Age,
        what: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Self, StoreError> {
        let entries = connection.query(sql, &values![behind, LOOKED_AT_MAX], |row| {
            Ok(Entry {
                number: row.get(0)?,
                made_ms: row.get(1)?,
                what: what(row)?,
            })
        })?;
        // One alone says little: a clock may have been wrong when it was made.
        let are_young = entries.iter().all(|entry| age.is_too_young(entry.made_ms));
        let is_last = are_young || entries.len() < LOOKED_AT_MAX;
        Ok(Self {
            behind: entries
                .last()
                .filter(|_| !is_last)
                .map(|entry| entry.number),
            entries,
        })
    }
}
