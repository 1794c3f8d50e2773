//! What an operation of the writer works on, and what others must hear of it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::TaskId;
use protocol::task::TaskState;

use super::super::StoreError;
use super::super::notice::Order;
use super::connection::{Connection, Many};
use super::value::values;

/// What an operation works on.
pub(in super::super) struct WriteScope<'c> {
    pub(in super::super) connection: &'c Connection,
    pub(super) changes: Changes,
}

/// A task's row: its key, its name, and the flow that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct TaskRow {
    pub(in super::super) number: i64,
    pub(in super::super) id: TaskId,
    pub(in super::super) flow: i64,
}

/// What others must hear of once it is on disk.
#[derive(Debug, Default)]
pub(in super::super) struct Changes {
    counts: [i64; TaskState::ALL.len()],
    /// Of each flow, those that wait.
    pub(super) queued: BTreeMap<i64, i64>,
    /// Of each flow, waiting or not.
    tasks: BTreeMap<i64, i64>,
    pub(super) moved: Vec<(TaskId, TaskState)>,
    /// Flows that are no more; another may get the number of one.
    pub(super) ended_flows: Vec<i64>,
    /// For the gateway that holds the session, if it is another one.
    pub(super) orders: Vec<Order>,
}

impl Changes {
    /// So many tasks more wait in each of these flows.
    pub(super) fn queued(flows: Vec<(i64, i64)>) -> Self {
        Self {
            queued: flows.into_iter().collect(),
            ..Self::default()
        }
    }
}

const COUNT_STATES: Many = Many {
    each: "UPDATE task_counts SET tasks = tasks + ?2 WHERE state = ?1",
    all: "UPDATE task_counts SET tasks = tasks + step
          FROM unnest(?1::text[], ?2::bigint[]) AS given (of_state, step) WHERE state = of_state",
};
const COUNT_FLOWS: Many = Many {
    each: "UPDATE flows SET queued = queued + ?2, tasks = tasks + ?3 WHERE number = ?1",
    all: "UPDATE flows SET queued = queued + more_queued, tasks = tasks + more_tasks
          FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[]) AS given (flow, more_queued, more_tasks)
          WHERE number = flow",
};

impl WriteScope<'_> {
    /// Every change of a task's state goes through here: the kept counts and the watchers depend on it.
    pub(in super::super) fn moved(
        &mut self,
        task: TaskRow,
        from: Option<TaskState>,
        to: TaskState,
    ) {
        for (state, step) in from.map(|from| (from, -1)).into_iter().chain([(to, 1)]) {
            self.count(state, step);
            if state == TaskState::Queued {
                let queued = self.changes.queued.entry(task.flow).or_default();
                *queued = queued.saturating_add(step);
            }
        }
        if from.is_none() {
            self.count_task(task.flow, 1);
        }
        self.changes.moved.push((task.id, to));
    }

    /// A finished task is no more.
    pub(in super::super) fn forgotten(&mut self, flow: i64, state: TaskState) {
        self.count(state, -1);
        self.count_task(flow, -1);
    }

    fn count_task(&mut self, flow: i64, step: i64) {
        let tasks = self.changes.tasks.entry(flow).or_default();
        *tasks = tasks.saturating_add(step);
    }

    /// A worker's session is to hear of this, wherever it is.
    pub(in super::super) fn order(&mut self, order: Order) {
        self.changes.orders.push(order);
    }

    fn count(&mut self, state: TaskState, step: i64) {
        let position = TaskState::ALL.iter().position(|known| *known == state);
        if let Some(count) = position.and_then(|at| self.changes.counts.get_mut(at)) {
            *count = count.saturating_add(step);
        }
    }

    /// Every flow knows how many of its tasks wait, and how many there are: one without any is no more.
    pub(super) fn keep_flows(&mut self) -> Result<(), StoreError> {
        let Changes { queued, tasks, .. } = &self.changes;
        let flows: BTreeSet<_> = queued.keys().chain(tasks.keys()).copied().collect();
        let step = |of: &BTreeMap<i64, i64>, flow: i64| of.get(&flow).copied().unwrap_or_default();
        let steps: Vec<_> = flows
            .into_iter()
            .map(|flow| (flow, step(queued, flow), step(tasks, flow)))
            .filter(|(_, queued, tasks)| (*queued, *tasks) != (0, 0))
            .collect();
        let rows: Vec<_> = steps
            .iter()
            .map(|(flow, queued, tasks)| values![*flow, *queued, *tasks])
            .collect();
        self.connection.execute_many(&COUNT_FLOWS, &rows)?;
        for (flow, _, _) in steps.iter().filter(|(_, _, tasks)| *tasks < 0) {
            let sql = "DELETE FROM flows WHERE number = ?1 AND tasks = 0";
            if self.connection.execute(sql, &values![*flow])? > 0 {
                self.changes.ended_flows.push(*flow);
            }
        }
        Ok(())
    }
}

/// Tasks by state, once for the whole group.
pub(super) fn keep_counts(connection: &Connection, changes: &[Changes]) -> Result<(), StoreError> {
    let mut steps = Vec::new();
    for (position, state) in TaskState::ALL.iter().enumerate() {
        let of = |changes: &Changes| changes.counts.get(position).copied().unwrap_or_default();
        let step = changes.iter().map(of).fold(0, i64::saturating_add);
        if step != 0 {
            steps.push(values![*state, step]);
        }
    }
    connection.execute_many(&COUNT_STATES, &steps)
}
