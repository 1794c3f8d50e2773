//! Which queued tasks a worker gets: the order of the queue.
//!
//! Each user's tasks of one operation that demand the same of their worker are a *flow*, in order of [`rank`](super::rank). Flows take turns: the next task is
//! that of the flow with the smallest *turn*, a virtual time that grows with each task taken (start-time fair queueing;
//! Goyal, Vin and Cheng, SIGCOMM 1996). A flow that comes to the queue late is not given the turns that it did not want, and
//! one in a slow operation does not get ahead of others by having waited: a turn counts from the latest that anybody took of what
//! waits that the worker may have. Among flows that are brought up to it together, the one that was behind the others goes first.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::ops::Range;

use protocol::FencingToken;
use protocol::lease::OperationId;
use protocol::requirements::Requirements;

use super::super::database::{Connection, Many, Row, TaskRow, Value, WriteScope, values};
use super::super::{LeaseQuery, StoreError};
use super::task_row;

/// Operations that one query reads; the catalogue has far fewer, and each takes a statement.
const LEASE_OPERATIONS_MAX: usize = 256;
/// Tasks that one query passes over in a flow: too late, or kept from the worker on which they failed. A flow with more of
/// them at its head waits until they are gone, and nobody else does.
const PASSED_OVER_MAX: usize = 64;
/// Flows in which one query finds nothing, so that no number of them makes a lease long.
const FRUITLESS_FLOWS_MAX: usize = 256;
/// Tasks that are read of a flow at a time, at least: passing over some costs no statement for each.
const PAGE_TASKS_MIN: usize = 4;

/// The least and the greatest of the demands that an operation's waiting tasks make, in the order of their texts: most often one
/// and the same.
pub(super) const OUTER_DEMANDS: Many = Many {
    each: "SELECT (SELECT min(requirements) FROM flows WHERE operation = ?1 AND version = ?2 AND sign(queued) = 1),
               (SELECT max(requirements) FROM flows WHERE operation = ?1 AND version = ?2 AND sign(queued) = 1)",
    all: "SELECT position,
              (SELECT min(requirements) FROM flows WHERE operation = of_operation AND version = of_version AND sign(queued) = 1),
              (SELECT max(requirements) FROM flows WHERE operation = of_operation AND version = of_version AND sign(queued) = 1)
          FROM unnest(?1::text[], ?2::bigint[]) WITH ORDINALITY AS given (of_operation, of_version, position)",
};

/// All of them, each once: a step in the index for each. None is left out, lest one hide another; a user has a bounded number
/// (`queue::submit`).
pub(super) const DEMANDS: Many = Many {
    each: "WITH RECURSIVE demands (demand) AS (
               SELECT min(requirements) FROM flows WHERE operation = ?1 AND version = ?2 AND sign(queued) = 1
               UNION ALL
               SELECT (SELECT min(requirements) FROM flows
                       WHERE operation = ?1 AND version = ?2 AND sign(queued) = 1 AND requirements > demand)
               FROM demands WHERE demand IS NOT NULL)
           SELECT demand FROM demands WHERE demand IS NOT NULL",
    all: "SELECT position, demand
          FROM unnest(?1::text[], ?2::bigint[]) WITH ORDINALITY AS given (of_operation, of_version, position),
          LATERAL (
              WITH RECURSIVE demands (demand) AS (
                  SELECT min(requirements) FROM flows
                  WHERE operation = of_operation AND version = of_version AND sign(queued) = 1
                  UNION ALL
                  SELECT (SELECT min(requirements) FROM flows
                          WHERE operation = of_operation AND version = of_version AND sign(queued) = 1 AND requirements > demand)
                  FROM demands WHERE demand IS NOT NULL)
              SELECT demand FROM demands WHERE demand IS NOT NULL) AS demanded
          ORDER BY position, demand",
};

/// The flows of a class that have tasks, in the order of their turns, behind a given one.
pub(super) const WAITING: Many = Many {
    each: "SELECT number, turn FROM flows
           WHERE operation = ?1 AND version = ?2 AND requirements = ?3 AND sign(queued) = 1 AND (turn, number) > (?4, ?5)
           ORDER BY turn, number LIMIT ?6",
    all: "SELECT position, number, turn
          FROM unnest(?1::text[], ?2::bigint[], ?3::text[], ?4::bigint[], ?5::bigint[], ?6::bigint[]) WITH ORDINALITY
              AS given (of_operation, of_version, demand, last_turn, last_number, flows_max, position),
          LATERAL (
              SELECT number, turn FROM flows
              WHERE operation = of_operation AND version = of_version AND requirements = demand AND sign(queued) = 1
                  AND (turn, number) > (last_turn, last_number)
              ORDER BY turn, number LIMIT flows_max) AS waiting
          ORDER BY position, turn, number",
};

/// A flow's tasks that wait, in order, behind a given one. PostgreSQL sees that the index has this order when it is named whole.
pub(super) const TASKS: Many = Many {
    each: "SELECT number, id, flow, rank, attempts, fencing_token, payload_bytes,
               CASE WHEN deadline_ms <= ?5 OR (worker = ?4 AND avoid_until_ms > ?5) THEN 1 ELSE 0 END
           FROM tasks
           WHERE finished_ms IS NULL AND lease_expires_ms IS NULL AND flow = ?1 AND (rank, number) > (?2, ?3)
           ORDER BY lease_expires_ms, rank, number LIMIT ?6",
    all: "SELECT position, number, id, flow, rank, attempts, fencing_token, payload_bytes,
              CASE WHEN deadline_ms <= now_ms OR (worker = for_worker AND avoid_until_ms > now_ms) THEN 1 ELSE 0 END
          FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::text[], ?5::bigint[], ?6::bigint[]) WITH ORDINALITY
              AS given (of_flow, last_rank, last_number, for_worker, now_ms, tasks_max, position),
          LATERAL (
              SELECT * FROM tasks
              WHERE finished_ms IS NULL AND lease_expires_ms IS NULL AND flow = of_flow
                  AND (rank, number) > (last_rank, last_number)
              ORDER BY lease_expires_ms, rank, number LIMIT tasks_max) AS task
          ORDER BY position, rank, number",
};

/// The turns furthest ahead in a class: of flows that have tasks, and of those that have none now.
pub(super) const LATEST: Many = Many {
    each: "SELECT (SELECT max(turn) FROM flows
                   WHERE operation = ?1 AND version = ?2 AND sign(queued) = 1 AND requirements = ?3),
               (SELECT max(turn) FROM flows
                WHERE operation = ?1 AND version = ?2 AND sign(queued) = 0 AND requirements = ?3)",
    all: "SELECT position,
              (SELECT max(turn) FROM flows
               WHERE operation = of_operation AND version = of_version AND sign(queued) = 1 AND requirements = demand),
              (SELECT max(turn) FROM flows
               WHERE operation = of_operation AND version = of_version AND sign(queued) = 0 AND requirements = demand)
          FROM unnest(?1::text[], ?2::bigint[], ?3::text[]) WITH ORDINALITY
              AS given (of_operation, of_version, demand, position)",
};

/// A task that may be leased.
pub(super) struct Queued {
    pub(super) row: TaskRow,
    /// Before this lease.
    pub(super) attempts: u32,
    /// Of the lease before.
    pub(super) last_token: FencingToken,
    rank: i64,
    payload_bytes: u64,
    is_passed_over: bool,
}

/// The first tasks within the limits of the query. Their flows' turns are taken.
pub(super) fn pick(
    scope: &mut WriteScope<'_>,
    query: &LeaseQuery,
) -> Result<Vec<Queued>, StoreError> {
    let connection = scope.connection;
    let mut waiting = Waiting::begin(connection, query)?;
    let mut clock = latest_turn(connection, &waiting.classes)?;
    let mut picked = Vec::new();
    let mut payload_bytes = 0_u64;
    while picked.len() < query.tasks_max {
        let wanted = query.tasks_max.saturating_sub(picked.len());
        let page = page(wanted, waiting.flows.len());
        let Some(Reverse(mut flow)) = waiting.flows.pop() else {
            break;
        };
        let Some(queued) = flow.next(connection, query, page)? else {
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
    waiting.take_turns(scope);
    Ok(picked)
}

/// Flows that may have a task for the worker, the one with the next turn on top.
struct Waiting<'q> {
    flows: BinaryHeap<Reverse<Flow>>,
    /// Those that have no more.
    ended: Vec<Flow>,
    classes: Vec<ReadClass<'q>>,
    fruitless: usize,
}

/// How far the flows of a class are read.
struct ReadClass<'q> {
    operation: (&'q str, u32),
    demand: String,
    /// Turn and number of the last flow that was read.
    last: (i64, i64),
}

impl<'q> Waiting<'q> {
    fn begin(connection: &Connection, query: &'q LeaseQuery) -> Result<Self, StoreError> {
        let mut waiting = Self {
            flows: BinaryHeap::new(),
            ended: Vec::new(),
            classes: classes(connection, query)?,
            fruitless: 0,
        };
        let all = 0..waiting.classes.len();
        waiting.read_on(connection, query, all)?;
        Ok(waiting)
    }

    /// As many flows of each of these classes as the query wants tasks: each that has one for the worker takes a turn before
    /// any behind them does. Each comes with its first tasks.
    fn read_on(
        &mut self,
        connection: &Connection,
        query: &LeaseQuery,
        classes: Range<usize>,
    ) -> Result<(), StoreError> {
        let first = classes.start;
        let of = self.classes.get_mut(classes).unwrap_or_default();
        let arguments: Vec<_> = of.iter().map(|of| of.behind(query.tasks_max)).collect();
        let found: Vec<Vec<(i64, i64)>> =
            connection.query_many(&WAITING, &arguments, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut flows = Vec::new();
        for ((position, of), found) in (first..).zip(of).zip(found) {
            let found = found
                .into_iter()
                .map(|(number, turn)| Flow::new(number, turn, position));
            flows.extend(found.inspect(|flow| of.last = (flow.turn, flow.number)));
        }
        let page = page(
            query.tasks_max,
            self.flows.len().saturating_add(flows.len()),
        );
        read_on(connection, query, &mut flows, page)?;
        self.flows.extend(flows.into_iter().map(Reverse));
        Ok(())
    }

    /// A flow that gave nothing leaves its place to those behind it.
    fn ended(
        &mut self,
        connection: &Connection,
        query: &LeaseQuery,
        flow: Flow,
    ) -> Result<(), StoreError> {
        let class = flow.class;
        if flow.is_served() {
            self.ended.push(flow);
            return Ok(());
        }
        self.fruitless = self.fruitless.saturating_add(1);
        let has_others = self
            .flows
            .iter()
            .any(|Reverse(other)| other.class == class && !other.is_served());
        if has_others || self.fruitless >= FRUITLESS_FLOWS_MAX {
            return Ok(());
        }
        self.read_on(connection, query, class..class.saturating_add(1))
    }

    fn take_turns(self, scope: &mut WriteScope<'_>) {
        let flows = self.flows.into_iter().map(|Reverse(flow)| flow);
        for flow in flows.chain(self.ended).filter(Flow::is_served) {
            scope.take_turn(flow.number, flow.turn);
        }
    }
}

impl ReadClass<'_> {
    /// What to ask for of what is behind the last flow that was read.
    fn behind(&self, flows_max: usize) -> [Value<'_>; 6] {
        let ((name, version), (turn, number)) = (self.operation, self.last);
        values![name, version, &self.demand, turn, number, flows_max]
    }
}

/// The latest turn that anybody took of these classes: who wants others competes elsewhere.
fn latest_turn(connection: &Connection, classes: &[ReadClass<'_>]) -> Result<i64, StoreError> {
    let arguments: Vec<_> = classes
        .iter()
        .map(|class| values![class.operation.0, class.operation.1, &class.demand])
        .collect();
    let next = connection.first_many(&LATEST, &arguments, |row| {
        Ok(row.get::<Option<i64>>(0)?.max(row.get(1)?))
    })?;
    let furthest = next.into_iter().flatten().flatten().max();
    Ok(furthest.unwrap_or(1).saturating_sub(1))
}

/// What waits that the worker may have.
fn classes<'q>(
    connection: &Connection,
    query: &'q LeaseQuery,
) -> Result<Vec<ReadClass<'q>>, StoreError> {
    let operations: BTreeSet<_> = query.operations.iter().map(named).collect();
    let operations: Vec<_> = operations.into_iter().take(LEASE_OPERATIONS_MAX).collect();
    let demands = demands(connection, &operations)?;
    let mut classes = Vec::new();
    for (operation, demands) in operations.into_iter().zip(demands) {
        for demand in demands {
            if demand.value.unmet(&query.traits).is_none() {
                classes.push(ReadClass {
                    operation,
                    demand: demand.text,
                    last: (i64::MIN, i64::MIN),
                });
            }
        }
    }
    Ok(classes)
}

/// What waiting tasks demand, as it is stored and as it is read.
struct Demand {
    text: String,
    value: Requirements,
}

/// What waits of each operation.
fn demands(
    connection: &Connection,
    operations: &[(&str, u32)],
) -> Result<Vec<Vec<Demand>>, StoreError> {
    let arguments: Vec<_> = operations
        .iter()
        .map(|(name, version)| values![*name, *version])
        .collect();
    let outer = connection.first_many(&OUTER_DEMANDS, &arguments, |row| {
        Ok((demand(row, 0)?, row.get::<Option<String>>(1)?))
    })?;
    let (mut demands, mut differing) = (Vec::with_capacity(operations.len()), Vec::new());
    for (outer, arguments) in outer.into_iter().zip(arguments) {
        demands.push(match outer {
            Some((Some(least), greatest)) if Some(&least.text) == greatest.as_ref() => vec![least],
            Some((Some(_), _)) => {
                differing.push((demands.len(), arguments));
                Vec::new()
            }
            Some((None, _)) | None => Vec::new(),
        });
    }
    let arguments: Vec<_> = differing.iter().map(|(_, arguments)| *arguments).collect();
    let all = connection.query_many(&DEMANDS, &arguments, |row| demand(row, 0))?;
    for ((position, _), all) in differing.into_iter().zip(all) {
        if let Some(of_it) = demands.get_mut(position) {
            of_it.extend(all.into_iter().flatten());
        }
    }
    Ok(demands)
}

fn demand(row: &Row<'_>, column: usize) -> Result<Option<Demand>, StoreError> {
    let Some(text) = row.get::<Option<String>>(column)? else {
        return Ok(None);
    };
    let value = row.get(column)?;
    Ok(Some(Demand { text, value }))
}

/// Tasks to read at a time of each of so many flows.
fn page(tasks_wanted: usize, flows: usize) -> usize {
    tasks_wanted.div_ceil(flows.max(1)).max(PAGE_TASKS_MIN)
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
    /// Position of its class.
    class: usize,
    read: VecDeque<Queued>,
    /// Rank and number of the last task that was read.
    last: (i64, i64),
    passed_over: usize,
}

impl Flow {
    fn new(number: i64, turn: i64, class: usize) -> Self {
        Self {
            turn,
            turn_before: turn,
            number,
            class,
            read: VecDeque::new(),
            last: (i64::MIN, i64::MIN),
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
                read_on(connection, query, std::slice::from_mut(self), page)?;
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

    /// What to ask for of what is behind the last task that was read.
    fn behind<'q>(&self, query: &'q LeaseQuery, page: usize) -> [Value<'q>; 6] {
        let (rank, number) = self.last;
        values![self.number, rank, number, &query.worker, query.now_ms, page]
    }
}

/// The next tasks of each of these flows.
fn read_on(
    connection: &Connection,
    query: &LeaseQuery,
    flows: &mut [Flow],
    page: usize,
) -> Result<(), StoreError> {
    let arguments: Vec<_> = flows.iter().map(|flow| flow.behind(query, page)).collect();
    let read = connection.query_many(&TASKS, &arguments, queued)?;
    for (flow, read) in flows.iter_mut().zip(read) {
        flow.read = read.into();
        if let Some(last) = flow.read.back() {
            flow.last = (last.rank, last.row.number);
        }
    }
    Ok(())
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

fn queued(row: &Row<'_>) -> Result<Queued, StoreError> {
    Ok(Queued {
        row: task_row(row)?,
        rank: row.get(3)?,
        attempts: row.get(4)?,
        last_token: row.get(5)?,
        payload_bytes: row.get(6)?,
        is_passed_over: row.get(7)?,
    })
}
