//! What an operation of the writer works on, and what others must hear of it.

use protocol::TaskId;
use protocol::task::TaskState;

use super::super::notice::Order;
use super::super::watch::Step;
use super::super::{StoreError, Success};
use super::connection::Connection;
use super::flows::FlowChanges;

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
    flows: FlowChanges,
    pub(super) moved: Vec<Step>,
    /// Tasks that there were not before.
    pub(super) made: Vec<TaskId>,
    /// Flows that are no more; another may get the number of one.
    pub(super) ended_flows: Vec<i64>,
    /// For the gateway that holds the session, if it is another one.
    pub(super) orders: Vec<Order>,
}

impl Changes {
    /// So many tasks more wait in each of these flows.
    pub(super) fn of_queued(flows: Vec<(i64, i64)>) -> Self {
        let mut changes = Self::default();
        for (flow, step) in flows {
            changes.flows.count(flow, TaskState::Queued, step);
        }
        changes
    }

    /// Of each flow, those more that wait.
    pub(super) fn queued(&self) -> impl Iterator<Item = (i64, i64)> {
        self.flows.queued()
    }
}

impl WriteScope<'_> {
    pub(in super::super) fn moved(
        &mut self,
        task: TaskRow,
        from: Option<TaskState>,
        to: TaskState,
    ) {
        self.step(task, from, Step::to(task.id, to));
    }

    pub(in super::super) fn succeeded(&mut self, task: TaskRow, from: TaskState, how: Success) {
        self.step(task, Some(from), Step::succeeded(task.id, how));
    }

    /// Every change of a task's state goes through here: the kept counts and the watchers depend on it.
    fn step(&mut self, task: TaskRow, from: Option<TaskState>, step: Step) {
        match from {
            Some(from) => self.changes.flows.count(task.flow, from, -1),
            None => self.changes.made.push(task.id),
        }
        self.changes.flows.count(task.flow, step.state, 1);
        self.changes.moved.push(step);
    }

    /// A finished task is no more.
    pub(in super::super) fn forgotten(&mut self, flow: i64, state: TaskState) {
        self.changes.flows.count(flow, state, -1);
    }

    /// A flow was served.
    pub(in super::super) fn take_turn(&mut self, flow: i64, next_turn: i64) {
        self.changes.flows.take_turn(flow, next_turn);
    }

    /// A worker's session is to hear of this, wherever it is.
    pub(in super::super) fn order(&mut self, order: Order) {
        self.changes.orders.push(order);
    }

    /// The operation is done.
    pub(super) fn keep_flows(&mut self) -> Result<(), StoreError> {
        self.changes.ended_flows = self.changes.flows.keep(self.connection)?;
        Ok(())
    }
}
