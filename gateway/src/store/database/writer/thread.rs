//! The thread that writes: one group after the other, each in a transaction.
//!
//! Workers that wait for what a group queues are given it in the same transaction, and told at once where nobody knows of those tasks
//! yet: should the commit fail, there never were any. Whoever waits for the end of such tasks waits for their acks, so the flush
//! waits for them too, for a moment: one for both.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::TaskId;
use protocol::lease::OperationId;

use super::super::super::notice::{Notice, Notices};
use super::super::super::{Class, StoreError};
use super::super::connection::{Access, Chain, Connection};
use super::super::operation::Operation;
use super::super::scope::Changes;
use super::super::value::values;
use super::Statistics;
use super::group::Group;
use super::inbox::Inbox;

/// Workers that a group serves beside each time that it grows; those behind them look for what is left.
const SERVED_MAX: usize = 64;
/// How long a flush waits for the end of what is under way, each time that somebody joins. A small task comes back within it; one that
/// comes back a little later waits for the flush, and a long one does not notice.
const LINGER: Duration = Duration::from_millis(1);
/// So often a flush waits for others that will wait too.
const LINGERS_MAX: usize = 8;
/// Flows whose class is kept at hand, some megabytes.
const CLASSES_KEPT_MAX: usize = 16_384;

pub(super) struct WriterThread {
    connection: Connection,
    /// Of flows, as they were met.
    classes: HashMap<i64, Class>,
    inbox: Inbox,
    notices: Arc<Notices>,
    statistics: Arc<Statistics>,
}

impl WriterThread {
    pub(super) fn new(
        connection: Connection,
        inbox: Inbox,
        notices: Arc<Notices>,
        statistics: Arc<Statistics>,
    ) -> Self {
        Self {
            connection,
            classes: HashMap::new(),
            inbox,
            notices,
            statistics,
        }
    }

    pub(super) fn run(mut self) {
        // A server's listener reads what waits, and again whenever it may have missed something.
        if let Connection::Sqlite(_) = &self.connection
            && let Err(error) = self.publish_queued()
        {
            tracing::error!(error = %Chain(&error), "what is queued cannot be counted; workers find it at the end of a long poll");
        }
        while let Some(first) = self.inbox.next() {
            let mut group = Group::default();
            group.gather(first, &mut self.inbox);
            self.write(group);
        }
        if let Connection::Sqlite(sqlite) = &self.connection {
            sqlite.optimize();
        }
    }

    fn write(&mut self, mut group: Group) {
        let changes_before = self.connection.total_changes();
        let committed = self.transact(&mut group);
        let was_changed = self.connection.total_changes() != changes_before;
        if let Err(error) = &committed {
            // A flow that was not made leaves its number to another.
            self.classes.clear();
            tracing::error!(error = %Chain(error), operations = group.operations.len(), "a commit failed");
        }
        let operations = u64::try_from(group.operations.len()).unwrap_or(u64::MAX);
        self.statistics
            .operations
            .fetch_add(operations, Ordering::Relaxed);
        let answer = committed.as_ref().map(|_| ()).map_err(Clone::clone);
        if let Ok(committed) = committed {
            let flushes = u64::from(was_changed);
            self.statistics
                .commits
                .fetch_add(flushes, Ordering::Relaxed);
            // Before the callers hear of it, so that what they see next agrees with it.
            self.publish(&committed);
        }
        for operation in group.operations {
            operation.answer(answer.clone());
        }
        // None of them waits for it.
        self.connection.keep_log_short();
    }

    /// One transaction over a group and those that join it; on failure nothing of it remains.
    fn transact(&mut self, group: &mut Group) -> Result<Committed, StoreError> {
        let changes = self.execute(group);
        let committed = changes.and_then(|changes| self.commit(changes));
        committed.inspect_err(|_| self.connection.roll_back())
    }

    /// What each operation did. One that fails takes those beside it along, so they all run again, each apart: none has to be apart
    /// in the run of things. What workers have been told must come of it once more, which it does, as they run in the same order, unless a
    /// session became stale or a deadline passed in between.
    fn execute(&mut self, group: &mut Group) -> Result<Vec<Changes>, StoreError> {
        self.connection.begin(Access::Write)?;
        let error = match self.execute_together(group) {
            Ok(changes) => return Ok(changes),
            Err(error) => error,
        };
        self.connection.roll_back();
        // A flow that it made leaves its number to another.
        self.classes.clear();
        tracing::debug!(error = %Chain(&error), "an operation failed: its group runs apart");
        self.connection.begin(Access::Write)?;
        let changes = execute_apart(&self.connection, &mut group.operations)?;
        if group.keeps_its_word(&changes) {
            Ok(changes)
        } else {
            Err(StoreError::Undone)
        }
    }

    fn execute_together(&mut self, group: &mut Group) -> Result<Vec<Changes>, StoreError> {
        let mut changes = Vec::new();
        self.execute_new(group, &mut changes)?;
        if let Connection::Postgres(_) = self.connection {
            // A server's transaction would hold up the gateways beside this one.
            return Ok(changes);
        }
        for _ in 0..LINGERS_MAX {
            if !group.can_linger() {
                break;
            }
            let Some(next) = self.inbox.next_within(LINGER) else {
                break;
            };
            group.gather(next, &mut self.inbox);
            self.execute_new(group, &mut changes)?;
        }
        Ok(changes)
    }

    /// Operations that have not been executed yet, and workers that wait for what they queue.
    fn execute_new(
        &mut self,
        group: &mut Group,
        changes: &mut Vec<Changes>,
    ) -> Result<(), StoreError> {
        let known = changes.len();
        for operation in group.operations.iter_mut().skip(known) {
            changes.push(operation.execute(&self.connection)?);
        }
        self.serve_waiting(group, changes, known)
    }

    fn commit(&mut self, changes: Vec<Changes>) -> Result<Committed, StoreError> {
        let notice = self.notice(&changes);
        let commit = self.connection.tell(&notice)?;
        if let Some(commit) = commit {
            self.notices.doubt(commit, &notice);
        }
        self.connection.commit()?;
        Ok(Committed {
            changes,
            notice,
            commit,
        })
    }

    /// What a group queues, from these changes on, goes to the workers that wait for it, first come, first served, as part of the
    /// group.
    fn serve_waiting(
        &mut self,
        group: &mut Group,
        changes: &mut Vec<Changes>,
        from: usize,
    ) -> Result<(), StoreError> {
        let notices = Arc::clone(&self.notices);
        let new = changes.get(from..).unwrap_or_default();
        for flow in new.iter().flat_map(|changes| &changes.ended_flows) {
            self.classes.remove(flow);
        }
        let mut queued = self.queued(new);
        let mut made = None;
        for _ in 0..SERVED_MAX {
            let left = queued.iter().find(|(_, left)| **left > 0);
            let Some(class) = left.map(|(class, _)| class.clone()) else {
                break;
            };
            let Some(parked) = notices.watchers().board().draw(&class) else {
                // Whoever parks meanwhile is woken.
                queued.remove(&class);
                continue;
            };
            let made = made.get_or_insert_with(|| tasks_made(changes));
            let leased = group.serve(parked, &self.connection, made)?;
            for (class, step) in self.queued(std::slice::from_ref(&leased)) {
                if let Some(left) = queued.get_mut(&class) {
                    *left = left.saturating_add(step);
                }
            }
            changes.push(leased);
        }
        Ok(())
    }

    /// So many tasks more of each class wait.
    fn queued(&mut self, changes: &[Changes]) -> HashMap<Class, i64> {
        let mut queued: HashMap<Class, i64> = HashMap::new();
        for (flow, step) in changes.iter().flat_map(Changes::queued) {
            if let Some(class) = self.class(flow) {
                match queued.get_mut(class) {
                    Some(of_it) => *of_it = of_it.saturating_add(step),
                    None => {
                        queued.insert(class.clone(), step);
                    }
                }
            }
        }
        queued
    }

    fn notice(&mut self, changes: &[Changes]) -> Notice {
        let queued = self.queued(changes);
        let orders = changes.iter().flat_map(|changes| &changes.orders);
        Notice {
            origin: self.notices.origin,
            queued: queued.into_iter().filter(|(_, step)| *step != 0).collect(),
            moved: changes.iter().any(|changes| !changes.moved.is_empty()),
            orders: orders.cloned().collect(),
        }
    }

    fn publish(&self, committed: &Committed) {
        self.notices.own(committed.commit, &committed.notice);
        for changes in &committed.changes {
            self.notices.watchers().moved(&changes.moved);
        }
    }

    /// What the database held when it was opened.
    fn publish_queued(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT number, queued FROM flows WHERE queued > 0";
        let flows = self
            .connection
            .query(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let changes = Changes::of_queued(flows);
        let notice = self.notice(&[changes]);
        self.notices.own(None, &notice);
        Ok(())
    }

    /// The class of a flow, which it keeps as long as there is one.
    fn class(&mut self, flow: i64) -> Option<&Class> {
        if self.classes.len() > CLASSES_KEPT_MAX {
            self.classes.clear();
        }
        match self.classes.entry(flow) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(new) => match class_of(&self.connection, flow) {
                Ok(class) => Some(new.insert(class)),
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "a flow cannot be read; workers find its tasks at the end of a long poll");
                    None
                }
            },
        }
    }
}

/// What a transaction did, now that it is on disk.
struct Committed {
    changes: Vec<Changes>,
    notice: Notice,
    /// Its number, where several gateways count.
    commit: Option<u64>,
}

fn class_of(connection: &Connection, flow: i64) -> Result<Class, StoreError> {
    let sql = "SELECT operation, version, requirements FROM flows WHERE number = ?1";
    let found = connection.first(sql, &values![flow], |row| {
        Ok(Class {
            operation: OperationId {
                name: row.get(0)?,
                version: row.get(1)?,
            },
            requirements: row.get(2)?,
        })
    })?;
    found.ok_or(StoreError::Unreadable { what: "a flow" })
}

/// What these changes have brought into being.
fn tasks_made(changes: &[Changes]) -> HashSet<TaskId> {
    let made = changes.iter().flat_map(|changes| &changes.made);
    made.copied().collect()
}

/// An operation that fails is undone alone.
fn execute_apart(
    connection: &Connection,
    group: &mut [Box<dyn Operation>],
) -> Result<Vec<Changes>, StoreError> {
    let apart = |operation: &mut Box<dyn Operation>| {
        let changes = connection.apart(|| operation.execute(connection))?;
        Ok(changes.unwrap_or_default())
    };
    group.iter_mut().map(apart).collect()
}
