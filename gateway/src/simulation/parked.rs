//! Requests for tasks that wait for some: what `worker::leases` does with a connection, this does without one. Each parks its
//! lease with the store, so that the commit that queues something leases it. The gateway may die of that very commit, or when it has
//! told a worker of a new task and before the flush. A session that becomes stale between such a commit and its answer is not part
//! of it: here both are one moment.

use std::sync::Arc;

use agent::machine::Event;
use protocol::TaskId;
use protocol::frames::Frames;
use protocol::lease::{Lease, LeaseRequest, LeaseResponse, OperationId};
use protocol::limits::{LONG_POLL_MS_MAX, WORKER_BODY_BYTES_MAX};

use super::Simulation;
use super::ledger::Checked;
use super::network::Post;
use super::worker::{Connection, Letter, read_leases};
use crate::store::{LeaseError, ParkEnd, ParkedLease};

/// A request that waits.
pub(super) struct Parked {
    post: Post,
    until_ms: u64,
    lease: ParkedLease,
}

/// What this simulation's workers compute.
fn operations() -> Vec<OperationId> {
    ["sha256_batch", "transpose"]
        .map(|name| OperationId {
            name: name.to_owned(),
            version: 1,
        })
        .to_vec()
}

impl Simulation {
    /// A request for tasks: it has some at once, or waits.
    pub(super) async fn leases(&mut self, post: &Post) -> Checked<Option<Event>> {
        let until_ms = self.now_ms + u64::from(LONG_POLL_MS_MAX);
        match self.looks(post).await? {
            Some(leases) if leases.is_empty() => {
                self.parks(post.clone(), until_ms);
                Ok(None)
            }
            leases => Ok(Some(self.hears(post, until_ms, leases))),
        }
    }

    /// Takes what there is; `None`: it was refused.
    async fn looks(&mut self, post: &Post) -> Checked<Option<Vec<Lease>>> {
        let Letter::Lease { tasks_max } = post.letter else {
            return Ok(None);
        };
        let message = LeaseRequest {
            tasks_max,
            // The simulation itself waits: its time is not the runtime's.
            wait_ms: 0,
            operations: operations(),
        };
        let answer = self.posts(post, "/v1/leases", &message).await;
        if !answer.status.is_success() {
            return Ok(None);
        }
        let mut frames = Frames::default();
        frames.push(&answer.body);
        let granted: Option<LeaseResponse> = frames.next(WORKER_BODY_BYTES_MAX).unwrap();
        let leases = granted.map(|granted| granted.leases).unwrap_or_default();
        self.are_leased(post, &leases)?;
        Ok(Some(leases))
    }

    fn are_leased(&mut self, post: &Post, leases: &[Lease]) -> Checked {
        let worker = self.workers[post.connection.worker].id.clone();
        self.tally.leases += u64::try_from(leases.len()).unwrap();
        self.ledger.leased(&worker, leases, self.clock.wall_ms())
    }

    fn parks(&mut self, post: Post, until_ms: u64) {
        let (Letter::Lease { tasks_max }, Some(served)) =
            (&post.letter, self.served.get(&post.connection))
        else {
            return;
        };
        let (session, tasks_max) = (Arc::clone(&served.session), usize::from(*tasks_max));
        let (gateway, clock) = (self.pool.gateway(), Arc::clone(&self.clock));
        let watch = gateway.store.watch_work(&operations(), &session.traits());
        // What the store keeps holds no part of the gateway: it would outlive a crash.
        let lease_duration_ms = gateway.lease_duration_ms;
        let lease = gateway.store.park(watch, move |operations| {
            let times = (lease_duration_ms, clock.wall_ms());
            (!session.is_stale()).then(|| session.lease_query(operations, tasks_max, times))
        });
        self.parked.push(Parked {
            post,
            until_ms,
            lease,
        });
    }

    /// What commits have leased to those that wait, and what those find whose turn it is to look. Nobody hears of it yet.
    pub(super) async fn settles(&mut self) -> Checked {
        while let Some(at) = self
            .parked
            .iter()
            .position(|parked| !parked.lease.is_in_line())
        {
            let mut parked = self.parked.remove(at);
            let leases = match parked.lease.ended().await {
                ParkEnd::Look(_its_turn) => self.looks(&parked.post).await?,
                ParkEnd::Leased(Ok(leases)) => {
                    self.are_leased(&parked.post, &leases)?;
                    self.tally.leased_by_commit += u64::try_from(leases.len()).unwrap();
                    Some(leases)
                }
                // To a draining worker the queue is empty.
                ParkEnd::Leased(Err(LeaseError::Draining)) => Some(Vec::new()),
                ParkEnd::Leased(Err(LeaseError::UnknownWorker)) => None,
                ParkEnd::Leased(Err(LeaseError::Store(error))) => panic!("{error}"),
            };
            self.goes_on(parked.post, parked.until_ms, leases);
        }
        Ok(())
    }

    /// Those who wait and have got this task alone have heard of it before the flush.
    pub(super) async fn is_told_of(&mut self, task: TaskId) {
        let parked = std::mem::take(&mut self.parked).into_iter();
        for mut served in parked.filter(|parked| !parked.lease.is_in_line()) {
            let ParkEnd::Leased(Ok(leases)) = served.lease.ended().await else {
                continue;
            };
            if !leases.is_empty() && leases.iter().all(|lease| lease.task == task) {
                self.tally.told_in_vain += 1;
                self.answer(&served.post, read_leases(leases, false));
            }
        }
    }

    /// Requests whose time is over, and all of them while there is something that nobody took, look again.
    pub(super) async fn look_again(&mut self) -> Checked {
        self.settles().await?;
        for parked in std::mem::take(&mut self.parked) {
            if self.now_ms < parked.until_ms && !parked.lease.has_queued() {
                self.parked.push(parked);
                continue;
            }
            // Out of the line before it looks.
            drop(parked.lease);
            let leases = self.looks(&parked.post).await?;
            self.goes_on(parked.post, parked.until_ms, leases);
        }
        Ok(())
    }

    /// Waits on where there is nothing and time left.
    fn goes_on(&mut self, post: Post, until_ms: u64, leases: Option<Vec<Lease>>) {
        let served = self.served.get(&post.connection);
        let is_stale = served.is_none_or(|served| served.session.is_stale());
        let is_empty = leases.as_ref().is_some_and(Vec::is_empty);
        if is_empty && is_stale {
            self.granted.push((post, Event::LeaseFailed));
        } else if is_empty && self.now_ms < until_ms {
            self.parks(post, until_ms);
        } else {
            let event = self.hears(&post, until_ms, leases);
            self.granted.push((post, event));
        }
    }

    /// What the worker hears. Where it asked for more, the answer is left open and waits on.
    fn hears(&mut self, post: &Post, until_ms: u64, leases: Option<Vec<Lease>>) -> Event {
        let (Some(leases), Letter::Lease { tasks_max }) = (leases, &post.letter) else {
            return Event::LeaseFailed;
        };
        let tasks_left = usize::from(*tasks_max) - leases.len();
        let more = !leases.is_empty() && tasks_left > 0 && self.now_ms < until_ms;
        if more {
            self.tally.left_open += 1;
            let letter = Letter::Lease {
                tasks_max: u16::try_from(tasks_left).unwrap(),
            };
            self.parks(
                Post {
                    letter,
                    ..post.clone()
                },
                until_ms,
            );
        }
        read_leases(leases, more)
    }

    /// A worker waits for a request no more.
    pub(super) fn gives_up(&mut self, connection: Connection, request: u64) {
        self.parked.retain(|Parked { post, .. }| {
            post.connection != connection || post.request != Some(request)
        });
    }

    /// Those that waited hear of what they have got.
    pub(super) fn hands_out(&mut self) {
        for (post, event) in std::mem::take(&mut self.granted) {
            self.answer(&post, event);
        }
    }

    /// The connection is gone, and what waits on it does no more.
    pub(super) fn leaves(&mut self, connection: Connection) {
        self.parked
            .retain(|parked| parked.post.connection != connection);
    }
}
