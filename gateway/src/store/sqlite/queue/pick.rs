//! Which queued tasks a worker gets: the order of the queue.

use std::collections::BTreeSet;

use protocol::lease::OperationId;
use protocol::{FencingToken, TaskId};
use rusqlite::{Connection, Row, Rows};

use super::super::super::{LeaseQuery, StoreError};
use super::super::values::{integer, task_at, unsigned_at};

/// Operations that one query reads; the catalogue has far fewer, and each takes a statement.
const LEASE_OPERATIONS_MAX: usize = 256;

/// One operation's line, in order. A partial index holds just this.
pub(super) const LINE: &str = "
    SELECT number, id, rank, attempts, fencing_token, payload_bytes FROM tasks
    WHERE state = 'queued' AND operation = ?1 AND version = ?2 AND (deadline_ms IS NULL OR deadline_ms > ?3)
    ORDER BY rank, number";

/// A task that may be leased.
pub(super) struct Queued {
    pub(super) number: i64,
    pub(super) task: TaskId,
    rank: i64,
    pub(super) attempts: u32,
    pub(super) fencing_token: FencingToken,
    payload_bytes: u64,
}

/// The first tasks over all of the operations, by rank and arrival, within the limits of the query. Each operation has
/// its own line in the index; this merges them and reads no further than it takes.
pub(super) fn pick(connection: &Connection, query: &LeaseQuery) -> Result<Vec<Queued>, StoreError> {
    let operations: BTreeSet<_> = query.operations.iter().map(named).collect();
    let mut statements = Vec::new();
    for _ in operations.iter().take(LEASE_OPERATIONS_MAX) {
        statements.push(connection.prepare_cached(LINE)?);
    }
    let mut lines = Vec::with_capacity(statements.len());
    for (statement, (name, version)) in statements.iter_mut().zip(operations) {
        let rows = statement.query((name, version, integer(query.now_ms)))?;
        lines.push(Line::begin(rows)?);
    }
    let mut picked = Vec::new();
    let mut payload_bytes = 0_u64;
    while picked.len() < query.tasks_max {
        let waiting = lines.iter_mut().filter(|line| line.order().is_some());
        let Some(first) = waiting.min_by_key(|line| line.order()) else {
            break;
        };
        let Some(queued) = first.next()? else { break };
        payload_bytes = payload_bytes.saturating_add(queued.payload_bytes);
        if payload_bytes > query.payload_bytes_max && !picked.is_empty() {
            break;
        }
        picked.push(queued);
    }
    Ok(picked)
}

fn named(operation: &OperationId) -> (&str, u32) {
    (operation.name.as_str(), operation.version)
}

/// The queued tasks of one operation, read one ahead.
struct Line<'s> {
    rows: Rows<'s>,
    head: Option<Queued>,
}

impl<'s> Line<'s> {
    fn begin(rows: Rows<'s>) -> Result<Self, StoreError> {
        let mut line = Self { rows, head: None };
        line.next()?;
        Ok(line)
    }

    /// Where the first of the line stands among the first of all lines.
    fn order(&self) -> Option<(i64, i64)> {
        self.head.as_ref().map(|head| (head.rank, head.number))
    }

    fn next(&mut self) -> Result<Option<Queued>, StoreError> {
        let following = self.rows.next()?.map(queued).transpose()?;
        Ok(std::mem::replace(&mut self.head, following))
    }
}

fn queued(row: &Row<'_>) -> rusqlite::Result<Queued> {
    Ok(Queued {
        number: row.get("number")?,
        task: task_at(row, "id")?,
        rank: row.get("rank")?,
        attempts: row.get("attempts")?,
        fencing_token: FencingToken(unsigned_at(row, "fencing_token")?),
        payload_bytes: unsigned_at(row, "payload_bytes")?,
    })
}
