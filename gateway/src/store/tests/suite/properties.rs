//! Random sequences of operations against a model of a task's life. A failure prints its seed and shrinks.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use protocol::lease::{AckOutcome, FaultKind, Lease, LeaseRef, NackOutcome};
use protocol::task::TaskState;
use protocol::{FencingToken, Sha256Digest, TaskId};
use tokio::runtime::Builder;

use super::harness::{LEASE_MS, NOW_MS, Pool, Worker, output, reference};
use super::pool;
use crate::store::{RedriveOutcome, TaskScope};

#[derive(Debug, Clone)]
enum Step {
    Submit {
        user: usize,
        priority: u8,
        deadline: bool,
    },
    Lease {
        worker: usize,
        tasks_max: usize,
    },
    /// Any lease that was ever given, old ones included.
    Ack {
        lease: usize,
    },
    Nack {
        lease: usize,
        kind: FaultKind,
    },
    Cancel {
        task: usize,
    },
    Redrive {
        task: usize,
    },
    Wait {
        ms: u64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        Just(FaultKind::Released),
        Just(FaultKind::Failed),
        Just(FaultKind::Invalid)
    ];
    prop_oneof![
        4 => (0..3_usize, 0..=9_u8, any::<bool>()).prop_map(|(user, priority, deadline)| Step::Submit { user, priority, deadline }),
        6 => (0..2_usize, 1..4_usize).prop_map(|(worker, tasks_max)| Step::Lease { worker, tasks_max }),
        6 => (0..64_usize).prop_map(|lease| Step::Ack { lease }),
        3 => (0..64_usize, kind).prop_map(|(lease, kind)| Step::Nack { lease, kind }),
        1 => (0..32_usize).prop_map(|task| Step::Cancel { task }),
        1 => (0..32_usize).prop_map(|task| Step::Redrive { task }),
        3 => (1..2 * LEASE_MS).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Restart),
    ]
}

/// What must hold whatever happens.
struct Model {
    pool: Pool,
    workers: Vec<Worker>,
    now_ms: u64,
    tasks: Vec<TaskId>,
    leases: Vec<(usize, Lease)>,
    newest: HashMap<TaskId, FencingToken>,
    given_back: HashSet<LeaseRef>,
    /// From which worker, and until when.
    kept_from: HashMap<TaskId, (usize, u64)>,
    outputs: HashMap<TaskId, Sha256Digest>,
    finished: HashMap<TaskId, TaskState>,
}

impl Model {
    async fn new() -> Self {
        let pool = pool().await;
        let workers = vec![pool.worker("worker-1").await, pool.worker("worker-2").await];
        Self {
            pool,
            workers,
            now_ms: NOW_MS,
            tasks: Vec::new(),
            leases: Vec::new(),
            newest: HashMap::new(),
            given_back: HashSet::new(),
            kept_from: HashMap::new(),
            outputs: HashMap::new(),
            finished: HashMap::new(),
        }
    }

    async fn run(mut self, steps: Vec<Step>) {
        for step in steps {
            self = self.step(step).await;
            self.hold().await;
        }
    }

    async fn step(mut self, step: Step) -> Self {
        match step {
            Step::Submit {
                user,
                priority,
                deadline,
            } => self.submit(user, priority, deadline).await,
            Step::Lease { worker, tasks_max } => self.lease(worker, tasks_max).await,
            Step::Ack { lease } => self.ack(lease).await,
            Step::Nack { lease, kind } => {
                if let Some((worker, lease)) = pick(&self.leases, lease)
                    && self.pool.nack(&self.workers[*worker], lease, kind).await
                        == NackOutcome::Returned
                {
                    self.given_back.insert(reference(lease));
                    if kind == FaultKind::Failed {
                        let until_ms = NOW_MS + 2_000 * 2_u64.pow(lease.attempt - 1);
                        self.kept_from.insert(lease.task, (*worker, until_ms));
                    }
                }
            }
            Step::Cancel { task } => {
                let tasks = pick(&self.tasks, task).copied().into_iter().collect();
                self.pool
                    .store
                    .cancel(TaskScope::All, tasks, self.now_ms)
                    .await
                    .unwrap();
            }
            Step::Redrive { task } => {
                if let Some(&task) = pick(&self.tasks, task) {
                    let outcomes = self.pool.store.redrive(vec![task]).await.unwrap();
                    if outcomes == [RedriveOutcome::Queued] {
                        self.kept_from.remove(&task);
                        self.finished.remove(&task);
                    }
                }
            }
            Step::Wait { ms } => {
                self.now_ms += ms;
                self.pool.store.expire(self.now_ms).await.unwrap();
            }
            Step::Restart => self.pool = self.pool.reopen().await,
        }
        self
    }

    async fn submit(&mut self, user: usize, priority: u8, deadline: bool) {
        let mut task = self.pool.task();
        task.user = super::harness::user(["ada", "bob", "eve"][user]);
        task.priority = priority;
        task.submitted_ms = self.now_ms;
        task.deadline_ms = deadline.then_some(self.now_ms + LEASE_MS);
        self.tasks.push(self.pool.submit_task(task).await);
    }

    /// Whether a task waits that this worker may have.
    async fn has_task_for(&self, worker: usize) -> bool {
        let tasks = self.pool.store.tasks(TaskScope::All, self.tasks.clone());
        let mut tasks = tasks.await.unwrap().into_iter().map(Option::unwrap);
        let is_kept = |task: &TaskId| {
            let kept_from = self.kept_from.get(task);
            kept_from.is_some_and(|(from, until_ms)| *from == worker && *until_ms > self.now_ms)
        };
        tasks.any(|task| {
            task.state == TaskState::Queued
                && task
                    .deadline_ms
                    .is_none_or(|deadline| deadline > self.now_ms)
                && !is_kept(&task.id)
        })
    }

    async fn lease(&mut self, worker: usize, tasks_max: usize) {
        let has_task = self.has_task_for(worker).await;
        let leases = self
            .pool
            .lease_at(&self.workers[worker], tasks_max, self.now_ms)
            .await;
        assert_eq!(!leases.is_empty(), has_task, "a worker goes without");
        for lease in leases {
            self.kept_from.remove(&lease.task);
            let newest = self.newest.insert(lease.task, lease.fencing_token);
            assert!(newest < Some(lease.fencing_token), "the token did not grow");
            assert!(
                !self.finished.contains_key(&lease.task),
                "a finished task was leased"
            );
            assert!((1..=super::harness::ATTEMPTS).contains(&lease.attempt));
            self.leases.push((worker, lease));
        }
    }

    async fn ack(&mut self, lease: usize) {
        let Some((worker, lease)) = pick(&self.leases, lease) else {
            return;
        };
        let outcome = self.pool.ack_one(&self.workers[*worker], lease).await;
        if outcome == AckOutcome::Accepted {
            assert_eq!(self.newest.get(&lease.task), Some(&lease.fencing_token));
            assert!(
                !self.given_back.contains(&reference(lease)),
                "it was given back"
            );
            let output = Sha256Digest::of(&output(lease));
            let earlier = self.outputs.insert(lease.task, output);
            assert_eq!(earlier, None, "a second output took effect");
        }
    }

    /// Finished states are final, outputs are those that were accepted, counts agree with the tasks.
    async fn hold(&mut self) {
        let store = &self.pool.store;
        let views = store
            .tasks(TaskScope::All, self.tasks.clone())
            .await
            .unwrap();
        let mut seen: HashMap<TaskState, u64> = HashMap::new();
        for view in views.into_iter().map(Option::unwrap) {
            *seen.entry(view.state).or_default() += 1;
            if view.state.is_finished() {
                let earlier = self.finished.insert(view.id, view.state);
                assert!(earlier.is_none_or(|earlier| earlier == view.state));
            } else {
                assert!(
                    !self.finished.contains_key(&view.id),
                    "a finished task came back"
                );
            }
            let output = view.output.map(|output| output.sha256);
            assert_eq!(output, self.outputs.get(&view.id).copied());
            assert_eq!(view.output.is_some(), view.state == TaskState::Succeeded);
        }
        let queued = store.queued(vec![super::harness::operation()]).await;
        let waiting = seen.get(&TaskState::Queued).copied().unwrap_or_default();
        assert_eq!(queued.unwrap(), waiting, "a flow's count");
        assert_eq!(self.miscounted_flows().await, 0);
        let tasks = store.counts().await.unwrap().tasks;
        let kept = [
            (TaskState::Queued, tasks.queued),
            (TaskState::Running, tasks.running),
            (TaskState::Succeeded, tasks.succeeded),
            (TaskState::DeadLetter, tasks.dead_letter),
            (TaskState::Cancelled, tasks.cancelled),
            (TaskState::Expired, tasks.expired),
        ];
        for (state, count) in kept {
            assert_eq!(
                seen.get(&state).copied().unwrap_or_default(),
                count,
                "{state}"
            );
        }
    }

    async fn miscounted_flows(&self) -> i64 {
        let are = |state: &str| {
            format!("(SELECT count(*) FROM tasks WHERE flow = flows.number AND state = '{state}')")
        };
        let counts = TaskState::ALL.map(|state| {
            let state = state.as_str();
            format!("{} <> {}", state.replace('-', "_"), are(state))
        });
        let sql = format!("SELECT count(*) FROM flows WHERE {}", counts.join(" OR "));
        let read = self
            .pool
            .store
            .database
            .read(move |connection| connection.get(&sql, &[]));
        read.await.unwrap()
    }
}

fn pick<T>(of: &[T], number: usize) -> Option<&T> {
    of.get(number.checked_rem(of.len())?)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::cases(48), ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_breaks_the_invariants(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Model::new().await.run(steps).await });
    }
}
