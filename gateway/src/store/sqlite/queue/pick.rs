//! Which queued tasks a worker gets: the order of the queue.
//!
//! Each user's tasks of one operation are a *flow*, in order of [`rank`](super::rank). Flows take turns: the next task is
//! that of the flow with the smallest *turn*, a virtual time that grows with each task taken (start-time fair queueing;
//! Goyal, Vin and Cheng, SIGCOMM 1996). A flow that comes to the queue late is not given the turns that it did not want, and
//! one in a slow operation does not get ahead of others by having waited: a turn counts from the latest that anybody took.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use protocol::FencingToken;
use protocol::lease::OperationId;
use rusqlite::{Connection, Row};

use super::super::super::{LeaseQuery, StoreError};
use super::super::values::{TaskRow, integer, integer_from_usize, task_row, unsigned_at};

/// Operations that one query reads; the catalogue has far fewer, and each takes a statement.
const LEASE_OPERATIONS_MAX: usize = 256;
/// Tasks in a row that are kept from the worker on which they failed. Those behind would hide the rest of their flow.
const AVOIDED_MAX: usize = 64;

/// The flows of one operation that have tasks, in the order of their turns.
pub(super) const WAITING: &str = "
    SELECT number, turn FROM flows
    WHERE operation = ?1 AND version = ?2 AND queued > 0
    ORDER BY turn, number LIMIT ?3";

/// A flow's tasks, in order, behind a given one. A partial index holds just this.
pub(super) const LINE: &str = "
    SELECT number, id, flow, rank, attempts, fencing_token, payload_bytes,
        CASE WHEN worker = ?4 AND avoid_until_ms > ?5 THEN 1 ELSE 0 END AS is_avoided
    FROM tasks
    WHERE flow = ?1 AND state = 'queued' AND (rank, number) > (?2, ?3)
        AND (deadline_ms IS NULL OR deadline_ms > ?5)
    ORDER BY rank, number LIMIT ?6";

/// The latest turn that anybody took.
pub(super) const CLOCK: &str = "SELECT coalesce(max(turn), 1) - 1 FROM flows";

/// A task that may be leased.
pub(super) struct Queued {
    pub(super) row: TaskRow,
    pub(super) attempts: u32,
    pub(super) fencing_token: FencingToken,
    rank: i64,
    payload_bytes: u64,
    is_avoided: bool,
}

/// The first tasks within the limits of the query. Their flows' turns are taken.
pub(super) fn pick(connection: &Connection, query: &LeaseQuery) -> Result<Vec<Queued>, StoreError> {
    let mut clock: i64 = connection
        .prepare_cached(CLOCK)?
        .query_row([], |row| row.get(0))?;
    let mut flows = waiting(connection, query)?;
    let mut served = Vec::new();
    let mut picked = Vec::new();
    let mut payload_bytes = 0_u64;
    while picked.len() < query.tasks_max {
        let wanted = query.tasks_max.saturating_sub(picked.len());
        let page = wanted.div_ceil(flows.len().max(1));
        let Some(Reverse(mut flow)) = flows.pop() else {
            break;
        };
        let Some(queued) = flow.next(connection, query, page)? else {
            served.push(flow);
            continue;
        };
        payload_bytes = payload_bytes.saturating_add(queued.payload_bytes);
        if payload_bytes > query.payload_bytes_max && !picked.is_empty() {
            served.push(flow);
            break;
        }
        clock = clock.max(flow.turn);
        flow.turn = clock.saturating_add(1);
        flow.is_served = true;
        picked.push(queued);
        flows.push(Reverse(flow));
    }
    served.extend(flows.into_iter().map(|Reverse(flow)| flow));
    keep_turns(connection, &served)?;
    Ok(picked)
}

/// Those of every operation, the one with the next turn on top.
fn waiting(
    connection: &Connection,
    query: &LeaseQuery,
) -> Result<BinaryHeap<Reverse<Flow>>, StoreError> {
    let operations: BTreeSet<_> = query.operations.iter().map(named).collect();
    let mut statement = connection.prepare_cached(WAITING)?;
    let mut flows = BinaryHeap::new();
    for (name, version) in operations.into_iter().take(LEASE_OPERATIONS_MAX) {
        let flows_max = integer_from_usize(query.tasks_max);
        let waiting = statement.query_map((name, version, flows_max), |row| {
            Ok(Flow::new(row.get("number")?, row.get("turn")?))
        })?;
        for flow in waiting {
            flows.push(Reverse(flow?));
        }
    }
    Ok(flows)
}

fn named(operation: &OperationId) -> (&str, u32) {
    (operation.name.as_str(), operation.version)
}

fn keep_turns(connection: &Connection, flows: &[Flow]) -> Result<(), StoreError> {
    let mut keep = connection.prepare_cached("UPDATE flows SET turn = ?2 WHERE number = ?1")?;
    for flow in flows.iter().filter(|flow| flow.is_served) {
        keep.execute((flow.number, flow.turn))?;
    }
    Ok(())
}

/// A flow, read some tasks ahead.
struct Flow {
    turn: i64,
    number: i64,
    is_served: bool,
    read: VecDeque<Queued>,
    /// Rank and number of the last task that was read.
    behind: (i64, i64),
    avoided: usize,
}

impl Flow {
    fn new(number: i64, turn: i64) -> Self {
        Self {
            turn,
            number,
            is_served: false,
            read: VecDeque::new(),
            behind: (i64::MIN, i64::MIN),
            avoided: 0,
        }
    }

    /// The next task for the worker of the query; reads up to `page` at a time.
    fn next(
        &mut self,
        connection: &Connection,
        query: &LeaseQuery,
        page: usize,
    ) -> Result<Option<Queued>, StoreError> {
        loop {
            if self.read.is_empty() {
                self.read_on(connection, query, page)?;
            }
            let Some(queued) = self.read.pop_front() else {
                return Ok(None);
            };
            if !queued.is_avoided || self.avoided == AVOIDED_MAX {
                return Ok(Some(queued));
            }
            self.avoided = self.avoided.saturating_add(1);
        }
    }

    fn read_on(
        &mut self,
        connection: &Connection,
        query: &LeaseQuery,
        page: usize,
    ) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached(LINE)?;
        let (rank, number) = self.behind;
        let bounds = (
            self.number,
            rank,
            number,
            query.worker.as_str(),
            integer(query.now_ms),
            integer_from_usize(page),
        );
        let read = statement.query_map(bounds, queued)?;
        self.read = read.collect::<Result<_, _>>()?;
        if let Some(last) = self.read.back() {
            self.behind = (last.rank, last.row.number);
        }
        Ok(())
    }
}

impl Flow {
    fn order(&self) -> (i64, i64) {
        (self.turn, self.number)
    }
}

impl PartialEq for Flow {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Flow {}

impl PartialOrd for Flow {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flow {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

fn queued(row: &Row<'_>) -> rusqlite::Result<Queued> {
    Ok(Queued {
        row: task_row(row)?,
        rank: row.get("rank")?,
        attempts: row.get("attempts")?,
        fencing_token: FencingToken(unsigned_at(row, "fencing_token")?),
        payload_bytes: unsigned_at(row, "payload_bytes")?,
        is_avoided: row.get("is_avoided")?,
    })
}
