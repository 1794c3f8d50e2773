//! Operations that share a transaction, and whether its flush can wait.

use std::collections::HashSet;

use protocol::TaskId;

use super::super::super::StoreError;
use super::super::connection::Connection;
use super::super::operation::{Caller, Operation};
use super::super::scope::Changes;
use super::inbox::{Inbox, Waiting};

/// Operations in one commit: as many callers share a flush.
const OPERATIONS_MAX: usize = 512;
/// Rows in one commit: bounds how long its execution takes, some 100 ms.
const ROWS_MAX: usize = 4_096;

/// In order.
#[derive(Default)]
pub(super) struct Group {
    pub(super) operations: Vec<Box<dyn Operation>>,
    rows: usize,
    /// Somebody waits for the flush.
    is_urgent: bool,
    /// Leases that their workers have been told of: where they stand, and of which tasks they are.
    told: Vec<(usize, Vec<TaskId>)>,
}

impl Group {
    /// One that came, and everything that waits behind it, up to the limits.
    pub(super) fn gather(&mut self, first: Waiting, inbox: &mut Inbox) {
        self.push(first);
        while self.has_room()
            && let Some(next) = inbox.next_now()
        {
            self.push(next);
        }
    }

    fn push(&mut self, waiting: Waiting) {
        self.rows = self.rows.saturating_add(waiting.rows);
        self.is_urgent |= waiting.caller != Caller::Awaiter;
        self.operations.push(waiting.operation);
    }

    fn has_room(&self) -> bool {
        self.operations.len() < OPERATIONS_MAX && self.rows < ROWS_MAX
    }

    /// Executes the lease of a worker that waits. The worker is told at once where it gets but tasks that this group has `made`: nobody
    /// knows of them yet. Otherwise it waits for the flush.
    pub(super) fn serve(
        &mut self,
        mut lease: Box<dyn Operation>,
        connection: &Connection,
        made: &HashSet<TaskId>,
    ) -> Result<Changes, StoreError> {
        let leased = lease.execute(connection);
        let tasks = leased.as_ref().map(tasks).unwrap_or_default();
        if !tasks.is_empty() && tasks.iter().all(|task| made.contains(task)) {
            lease.answer_early();
            self.told.push((self.operations.len(), tasks));
        } else {
            self.is_urgent = true;
        }
        self.operations.push(lease);
        leased
    }

    /// Whether all that its callers wait for is what workers are about to send.
    pub(super) fn can_linger(&self) -> bool {
        !self.told.is_empty() && !self.is_urgent && self.has_room()
    }

    /// Whether this, of each operation, is what workers have been told.
    pub(super) fn keeps_its_word(&self, changes: &[Changes]) -> bool {
        let is_kept = |(at, told): &(usize, Vec<TaskId>)| {
            changes
                .get(*at)
                .is_some_and(|leased| tasks(leased) == *told)
        };
        self.told.iter().all(is_kept)
    }
}

fn tasks(leased: &Changes) -> Vec<TaskId> {
    leased.moved.iter().map(|step| step.task).collect()
}

#[cfg(test)]
mod tests {
    use protocol::task::TaskState;

    use super::super::super::super::watch::Step;
    use super::super::super::sqlite;
    use super::*;

    /// Leases these.
    struct Leases(Vec<TaskId>, std::sync::mpsc::Sender<()>);

    impl Operation for Leases {
        fn execute(&mut self, _: &Connection) -> Result<Changes, StoreError> {
            let step = |task: &TaskId| Step::to(*task, TaskState::Running);
            let mut changes = Changes::default();
            changes.moved = self.0.iter().map(step).collect();
            Ok(changes)
        }

        fn answer_early(&mut self) {
            self.1.send(()).unwrap();
        }

        fn answer(self: Box<Self>, _: Result<(), StoreError>) {}
    }

    /// One that has brought tasks 1 and 2 into being, and a worker that leases: whether that is told, and the flush can wait.
    fn served(callers: &[Caller], leased: &[u128]) -> (bool, bool) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.sqlite");
        let connection = Connection::Sqlite(sqlite::open(&file, sqlite::Sharing::Beside).unwrap());
        let task = |number: &u128| TaskId::from_parts(1, *number);
        let mut group = Group::default();
        for caller in callers {
            group.push(Waiting::idle(*caller));
        }
        let (told, is_told) = std::sync::mpsc::channel();
        let lease = Box::new(Leases(leased.iter().map(task).collect(), told));
        let made = [1, 2].iter().map(task).collect();
        group.serve(lease, &connection, &made).unwrap();
        (is_told.try_recv().is_ok(), group.can_linger())
    }

    #[test]
    fn a_worker_is_told_early_of_tasks_that_nobody_knows_and_of_no_others() {
        let callers = [Caller::Awaiter];
        assert_eq!(served(&callers, &[1]), (true, true));
        assert_eq!(served(&callers, &[1, 2]), (true, true));
        assert_eq!(served(&callers, &[1, 3]), (false, false));
        assert_eq!(served(&callers, &[3]), (false, false));
        assert_eq!(served(&callers, &[]), (false, false));
    }

    #[test]
    fn a_flush_that_somebody_waits_for_does_not_wait() {
        for caller in [Caller::Submitter, Caller::Pool] {
            let callers = [Caller::Awaiter, caller];
            assert_eq!(served(&callers, &[1]), (true, false), "{caller:?}");
        }
    }
}
