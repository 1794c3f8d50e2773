//! What one gateway tells the others that share its database, and what becomes of it there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::{TaskId, WorkerId};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::watch::Watchers;
use super::{Class, RunningLease};

/// What one commit means to those who wait. Without orders it has a few hundred bytes, since operations are few.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Notice {
    /// Names the gateway, until it stops.
    pub(super) origin: u64,
    /// So many tasks more wait than before.
    pub(super) queued: Vec<(Class, i64)>,
    /// Tasks went from one state to another.
    pub(super) moved: bool,
    pub(super) orders: Vec<Order>,
}

/// What the gateway that holds a worker's session is to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Nobody wants this lease's output any more.
    Cancel(RunningLease),
    /// The worker gets no new tasks.
    Drain(WorkerId),
    /// The worker was taken out of the pool.
    Remove(WorkerId),
}

/// Orders that wait for their gateway; more are dropped, which costs time alone: a lease that is cancelled is not renewed.
const ORDERS_WAITING_MAX: usize = 1_024;

/// Applies every commit's notice once, whichever way it comes.
#[derive(Debug)]
pub(super) struct Notices {
    watchers: std::sync::Arc<Watchers>,
    counted: Mutex<Counted>,
    orders: mpsc::Sender<Order>,
    pub(super) origin: u64,
}

/// What the board counts.
#[derive(Debug, Default)]
struct Counted {
    /// The commit at which it was last read whole: it counts everything until then.
    read_at: u64,
    /// This gateway's commits that nobody knows to be done yet: the database answers, or its notification comes, if they were.
    /// Whichever comes first counts.
    in_doubt: HashMap<u64, Notice>,
    /// While everything is read again, this gateway's commits that are counted meanwhile: what is read may be from before them.
    meanwhile: Option<Vec<(u64, Notice)>>,
}

impl Notices {
    pub(super) fn new(
        watchers: std::sync::Arc<Watchers>,
        origin: u64,
    ) -> (Self, mpsc::Receiver<Order>) {
        let (orders, received) = mpsc::channel(ORDERS_WAITING_MAX);
        let notices = Self {
            watchers,
            counted: Mutex::default(),
            orders,
            origin,
        };
        (notices, received)
    }

    /// This gateway is about to commit.
    pub(super) fn doubt(&self, commit: u64, notice: &Notice) {
        self.lock().in_doubt.insert(commit, notice.clone());
    }

    /// This gateway's own, which is done; `None` where nobody else counts commits.
    pub(super) fn own(&self, commit: Option<u64>, notice: &Notice) {
        let Some(commit) = commit else {
            return self.count(notice);
        };
        let mut counted = self.lock();
        if counted.in_doubt.remove(&commit).is_some() && commit > counted.read_at {
            self.count(notice);
            if let Some(meanwhile) = &mut counted.meanwhile {
                meanwhile.push((commit, notice.clone()));
            }
        }
    }

    /// A notification; whether tasks moved of which nobody here has heard.
    pub(super) fn heard(&self, commit: u64, notice: Notice) -> bool {
        let mut counted = self.lock();
        if notice.origin == self.origin {
            let Some(notice) = counted.in_doubt.remove(&commit) else {
                return false;
            };
            if commit > counted.read_at {
                self.count(&notice);
            }
            return notice.moved;
        }
        if commit > counted.read_at {
            self.count(&notice);
        }
        drop(counted);
        for order in notice.orders {
            if self.orders.try_send(order).is_err() {
                tracing::warn!("an order of another gateway is dropped: too many wait");
            }
        }
        notice.moved
    }

    /// Everything that waits is about to be read, by the one who hears the others.
    pub(super) fn read(&self) -> Reading<'_> {
        self.lock().meanwhile = Some(Vec::new());
        Reading(self)
    }

    fn count(&self, notice: &Notice) {
        for (class, step) in &notice.queued {
            self.watchers.board().changed(class, *step);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        // Each change is one step.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Tasks that somebody here waits for.
    pub(super) fn watched(&self) -> Vec<TaskId> {
        self.watchers.watched()
    }
}

/// Under way until it is dropped.
#[derive(Debug)]
pub(super) struct Reading<'n>(&'n Notices);

impl Reading<'_> {
    /// Everything that waits, as it was at a commit.
    pub(super) fn done(self, commit: u64, queued: &[(Class, i64)]) {
        let mut counted = self.0.lock();
        counted.read_at = commit;
        counted.in_doubt.retain(|in_doubt, _| *in_doubt > commit);
        self.0.watchers.board().set(queued);
        for (later, notice) in counted.meanwhile.take().into_iter().flatten() {
            if later > commit {
                self.0.count(&notice);
            }
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.lock().meanwhile = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Class, Notice, Notices, Order};
    use crate::store::watch::Watchers;
    use protocol::lease::OperationId;
    use protocol::requirements::{Requirements, WorkerTraits};

    fn class() -> Class {
        Class {
            operation: OperationId {
                name: "embed".to_owned(),
                version: 1,
            },
            requirements: Requirements::default(),
        }
    }

    fn has_queued(watchers: &Watchers) -> bool {
        let traits = WorkerTraits::default();
        watchers
            .board()
            .wait(&[class().operation], &traits)
            .has_queued()
    }

    fn step(origin: u64, step: i64) -> Notice {
        Notice {
            origin,
            queued: vec![(class(), step)],
            ..Notice::default()
        }
    }

    /// A commit of its own that the database answers.
    fn commit(notices: &Notices, commit: u64, notice: &Notice) {
        notices.doubt(commit, notice);
        notices.own(Some(commit), notice);
    }

    #[test]
    fn a_commit_whose_answer_was_lost_is_heard_of() {
        let watchers = Watchers::new();
        let (notices, _orders) = Notices::new(Arc::clone(&watchers), 1);
        let has_queued = || has_queued(&watchers);
        let mut lost = step(1, 1);
        lost.moved = true;
        notices.doubt(1, &lost);
        assert!(!has_queued());
        assert!(notices.heard(1, lost.clone()) && has_queued());
        // Its second part, and an answer that comes late.
        assert!(!notices.heard(1, lost.clone()));
        notices.own(Some(1), &lost);
        commit(&notices, 2, &step(1, -1));
        assert!(!has_queued());
    }

    #[test]
    fn each_commit_counts_once_whatever_comes_first() {
        let watchers = Watchers::new();
        let (notices, _orders) = Notices::new(Arc::clone(&watchers), 1);
        let has_queued = || has_queued(&watchers);
        // Its own third commit took the task of another's second, of which it hears later.
        commit(&notices, 3, &step(1, -1));
        notices.heard(2, step(2, 1));
        assert!(!has_queued());
        commit(&notices, 4, &step(1, 1));
        // What comes back of its own is known.
        notices.heard(4, step(1, 1));
        commit(&notices, 5, &step(1, -1));
        assert!(!has_queued());
    }

    #[test]
    fn what_was_read_whole_has_every_commit_until_then() {
        let watchers = Watchers::new();
        let (notices, _orders) = Notices::new(Arc::clone(&watchers), 1);
        let has_queued = || has_queued(&watchers);
        notices.read().done(10, &[(class(), 1)]);
        commit(&notices, 9, &step(1, 5));
        notices.heard(10, step(2, 5));
        notices.heard(11, step(2, -1));
        assert!(!has_queued());
        notices.heard(12, step(2, 1));
        assert!(has_queued());
        notices.read().done(13, &[]);
        assert!(!has_queued());
    }

    /// The database was read before it, its answer comes after it.
    #[test]
    fn a_commit_that_a_reading_overtakes_is_not_forgotten() {
        let watchers = Watchers::new();
        let (notices, _orders) = Notices::new(Arc::clone(&watchers), 1);
        let has_queued = || has_queued(&watchers);
        let reading = notices.read();
        commit(&notices, 1, &step(1, 1));
        commit(&notices, 2, &step(1, 1));
        reading.done(1, &[(class(), 1)]);
        notices.heard(2, step(1, 1));
        commit(&notices, 3, &step(1, -1));
        assert!(has_queued());
        commit(&notices, 4, &step(1, -1));
        assert!(!has_queued());
        // One that comes to nothing leaves nothing.
        drop(notices.read());
        commit(&notices, 5, &step(1, 1));
        notices.read().done(5, &[]);
        assert!(!has_queued());
    }

    #[test]
    fn orders_of_others_arrive_and_its_own_do_not_come_back() {
        let (notices, mut orders) = Notices::new(Watchers::new(), 1);
        let order = Order::Remove("worker-1".parse().unwrap());
        let notice = |origin| Notice {
            origin,
            orders: vec![order.clone()],
            moved: true,
            ..Notice::default()
        };
        assert!(notices.heard(1, notice(2)));
        assert!(!notices.heard(2, notice(1)));
        assert_eq!(orders.try_recv().unwrap(), order);
        assert!(orders.try_recv().is_err());
    }
}
