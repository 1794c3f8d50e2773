//! Which queued tasks a worker gets: the order of the queue.
//!
//! Each user's tasks of one operation are a *flow*, in order of [`rank`](super::rank). Flows take turns: the next task is
//! that of the flow with the smallest *turn*, a virtual time that grows with each task taken (start-time fair queueing;
//! Goyal, Vin and Cheng, SIGCOMM 1996). A flow that comes to the queue late is not given the turns that it did not want, and
//! one in a slow operation does not get ahead of others by having waited: a turn counts from the latest that anybody took.
//! Among flows that are brought up to it together, the one that was behind the others goes first.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use protocol::FencingToken;
use protocol::lease::OperationId;
use rusqlite::{Connection, Row};

use super::super::super::{LeaseQuery, StoreError};
use super::super::values::{TaskRow, integer, integer_from_usize, task_row, unsigned_at};

/// Operations that one query reads; the catalogue has far fewer, and each takes a statement.
const LEASE_OPERATIONS_MAX: usize = 256;
/// Tasks that one query passes over in a flow: too late, or kept from the worker on which they failed. A flow with more of
/// them at its head waits until they are gone, and nobody else does.
const PASSED_OVER_MAX: usize = 64;
/// Flows in which one query finds nothing, so that no number of them makes a lease long.
const FRUITLESS_FLOWS_MAX: usize = 256;
/// Tasks that are read of a flow at a time, at least: passing over some costs no statement for each.
const PAGE_TASKS_MIN: usize = 16;

/// The flows of one operation that have tasks, in the order of their turns, behind a given one.
pub(super) const WAITING: &str = "
    SELECT number, turn FROM flows
    WHERE operation = ?1 AND version = ?2 AND queued > 0 AND (turn, number) > (?3, ?4)
    ORDER BY turn, number LIMIT ?5";

/// A flow's tasks, in order, behind a given one. A partial index holds just this.
pub(super) const TASKS: &str = "
    SELECT number, id, flow, rank, attempts, fencing_token, payload_bytes,
        CASE WHEN deadline_ms <= ?5 OR (worker = ?4 AND avoid_until_ms > ?5) THEN 1 ELSE 0 END AS is_passed_over
    FROM tasks
    WHERE flow = ?1 AND state = 'queued' AND (rank, number) > (?2, ?3)
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
    is_passed_over: bool,
}

/// The first tasks within the limits of the query. Their flows' turns are taken.
pub(super) fn pick(connection: &Connection, query: &LeaseQuery) -> Result<Vec<Queued>, StoreError> {
    let mut clock: i64 = connection
        .prepare_cached(CLOCK)?
        .query_row([], |row| row.get(0))?;
    let mut waiting = Waiting::begin(connection, query)?;
    let mut picked = Vec::new();
    let mut payload_bytes = 0_u64;
    while picked.len() < query.tasks_max {
        let wanted = query.tasks_max.saturating_sub(picked.len());
        let page = wanted.div_ceil(waiting.flows.len().max(1));
        let Some(Reverse(mut flow)) = waiting.flows.pop() else {
            break;
        };
        let Some(queued) = flow.next(connection, query, page.max(PAGE_TASKS_MIN))? else {
            waiting.ended(connection, query, flow)?;
            continue;
        };
        payload_bytes = payload_bytes.saturating_add(queued.payload_bytes);
        if payload_bytes > query.payload_bytes_max && !picked.is_empty() {
            waiting.flows.push(Reverse(flow));
            break;
        }
        clock = clock.max(flow.turn);
        flow.turn = clock.saturating_add(1);
        picked.push(queued);
        waiting.flows.push(Reverse(flow));
    }
    waiting.keep_turns(connection)?;
    Ok(picked)
}

/// Flows that may have a task for the worker, the one with the next turn on top.
struct Waiting<'q> {
    flows: BinaryHeap<Reverse<Flow>>,
    /// Those that have no more.
    ended: Vec<Flow>,
    operations: Vec<Operation<'q>>,
    fruitless: usize,
}

/// How far the flows of an operation are read.
struct Operation<'q> {
    id: (&'q str, u32),
    behind: (i64, i64),
}

impl<'q> Waiting<'q> {
    fn begin(connection: &Connection, query: &'q LeaseQuery) -> Result<Self, StoreError> {
        let operations: BTreeSet<_> = query.operations.iter().map(named).collect();
        let operations = operations.into_iter().take(LEASE_OPERATIONS_MAX);
        let mut waiting = Self {
            flows: BinaryHeap::new(),
            ended: Vec::new(),
            operations: operations.map(Operation::new).collect(),
            fruitless: 0,
        };
        for operation in 0..waiting.operations.len() {
            waiting.read_on(connection, query, operation)?;
        }
        Ok(waiting)
    }

    /// As many flows as the query wants tasks: each that has one for the worker takes a turn before any behind them does.
    fn read_on(
        &mut self,
        connection: &Connection,
        query: &LeaseQuery,
        operation: usize,
    ) -> Result<(), StoreError> {
        let Some(of) = self.operations.get_mut(operation) else {
            return Ok(());
        };
        let ((name, version), (turn, number)) = (of.id, of.behind);
        let flows_max = integer_from_usize(query.tasks_max);
        let mut statement = connection.prepare_cached(WAITING)?;
        let bounds = (name, version, turn, number, flows_max);
        let flows = statement.query_map(bounds, |row| {
            Ok(Flow::new(row.get("number")?, row.get("turn")?, operation))
        })?;
        for flow in flows {
            let flow = flow?;
            of.behind = (flow.turn, flow.number);
            self.flows.push(Reverse(flow));
        }
        Ok(())
    }

    /// A flow that gave nothing leaves its place to those behind it.
    fn ended(
        &mut self,
        connection: &Connection,
        query: &LeaseQuery,
        flow: Flow,
    ) -> Result<(), StoreError> {
        let operation = flow.operation;
        if flow.is_served() {
            self.ended.push(flow);
            return Ok(());
        }
        self.fruitless = self.fruitless.saturating_add(1);
        let has_others = self
            .flows
            .iter()
            .any(|Reverse(other)| other.operation == operation && !other.is_served());
        if has_others || self.fruitless >= FRUITLESS_FLOWS_MAX {
            return Ok(());
        }
        self.read_on(connection, query, operation)
    }

    fn keep_turns(self, connection: &Connection) -> Result<(), StoreError> {
        let mut keep = connection.prepare_cached("UPDATE flows SET turn = ?2 WHERE number = ?1")?;
        let flows = self.flows.into_iter().map(|Reverse(flow)| flow);
        for flow in flows.chain(self.ended).filter(Flow::is_served) {
            keep.execute((flow.number, flow.turn))?;
        }
        Ok(())
    }
}

impl<'q> Operation<'q> {
    fn new(id: (&'q str, u32)) -> Self {
        Self {
            id,
            behind: (i64::MIN, i64::MIN),
        }
    }
}

fn named(operation: &OperationId) -> (&str, u32) {
    (operation.name.as_str(), operation.version)
}

/// A flow, read some tasks ahead.
struct Flow {
    turn: i64,
    /// Before this query.
    turn_before: i64,
    number: i64,
    /// Position of its operation.
    operation: usize,
    read: VecDeque<Queued>,
    /// Rank and number of the last task that was read.
    behind: (i64, i64),
    passed_over: usize,
}

impl Flow {
    fn new(number: i64, turn: i64, operation: usize) -> Self {
        Self {
            turn,
            turn_before: turn,
            number,
            operation,
            read: VecDeque::new(),
            behind: (i64::MIN, i64::MIN),
            passed_over: 0,
        }
    }

    /// A turn that was taken is a later one.
    fn is_served(&self) -> bool {
        self.turn != self.turn_before
    }

    fn order(&self) -> (i64, i64, i64) {
        (self.turn, self.turn_before, self.number)
    }

    /// The next task for the worker of the query; reads up to `page` at a time.
    fn next(
        &mut self,
        connection: &Connection,
        query: &LeaseQuery,
        page: usize,
    ) -> Result<Option<Queued>, StoreError> {
        while self.passed_over <= PASSED_OVER_MAX {
            if self.read.is_empty() {
                self.read_on(connection, query, page)?;
            }
            match self.read.pop_front() {
                Some(queued) if queued.is_passed_over => {
                    self.passed_over = self.passed_over.saturating_add(1);
                }
                next => return Ok(next),
            }
        }
        Ok(None)
    }

    fn read_on(
        &mut self,
        connection: &Connection,
        query: &LeaseQuery,
        page: usize,
    ) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached(TASKS)?;
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
        is_passed_over: row.get("is_passed_over")?,
    })
}
