//! Turns: no user's backlog hides another's, and no operation's backlog hides another operation.

use std::collections::HashMap;

use proptest::prelude::*;
use protocol::TaskId;
use protocol::lease::{FaultKind, OperationId};
use serde_json::json;
use tokio::runtime::Builder;

use super::harness::{NOW_MS, Pool, Worker, operation, user};
use super::pool;
use crate::store::{InputBytes, NewTask, TaskSpecification};

/// So many tasks of a user, and of `reduce` where it is not the usual operation.
fn tasks(pool: &mut Pool, name: &str, count: usize, is_reduction: bool) -> Vec<NewTask> {
    let task = |_| {
        let mut task = pool.task();
        task.user = user(name);
        if is_reduction {
            task.specification = reduction();
        }
        task
    };
    (0..count).map(task).collect()
}

fn reduction() -> TaskSpecification {
    let parameters = json!({"rows": 1, "columns": 1, "kind": "sum"});
    let parameters = parameters.as_object().unwrap().clone();
    let input = InputBytes::Inline(vec![0; 4].into());
    TaskSpecification::parse("reduce", 1, parameters, vec![input]).unwrap()
}

/// Of each task, whose it is.
struct Owners(HashMap<TaskId, (String, bool)>);

impl Owners {
    fn new() -> Self {
        Self(HashMap::new())
    }

    async fn submit(&mut self, pool: &mut Pool, name: &str, count: usize, is_reduction: bool) {
        let tasks = tasks(pool, name, count, is_reduction);
        let owned = tasks
            .iter()
            .map(|task| (task.id, (name.to_owned(), is_reduction)));
        self.0.extend(owned);
        pool.store.submit(tasks).await.unwrap();
    }

    /// Leases so many and counts them by their flow.
    async fn lease(
        &self,
        pool: &Pool,
        worker: &Worker,
        tasks_max: usize,
    ) -> HashMap<(&str, bool), usize> {
        let mut query = worker.query(tasks_max, NOW_MS);
        let reduce = OperationId {
            name: "reduce".to_owned(),
            version: 1,
        };
        query.operations = vec![operation(), reduce];
        let mut counts = HashMap::new();
        for lease in pool.store.lease(query).await.unwrap() {
            let (name, is_reduction) = &self.0[&lease.task];
            *counts.entry((name.as_str(), *is_reduction)).or_default() += 1;
        }
        counts
    }
}

#[tokio::test]
async fn a_backlog_hides_nobody_else() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut owners = Owners::new();
    owners.submit(&mut pool, "hoarder", 500, false).await;
    let alone = owners.lease(&pool, &worker, 100).await;
    assert_eq!(alone[&("hoarder", false)], 100);
    owners.submit(&mut pool, "ada", 10, false).await;
    owners.submit(&mut pool, "bob", 100, false).await;
    let shared = owners.lease(&pool, &worker, 30).await;
    assert_eq!(shared[&("ada", false)], 10);
    // Who comes new goes first.
    assert_eq!(shared[&("bob", false)], 11);
    assert_eq!(shared[&("hoarder", false)], 9);
    // What somebody does not want, the others get.
    let shared = owners.lease(&pool, &worker, 40).await;
    let bob = shared[&("bob", false)];
    assert!((19..=21).contains(&bob), "{shared:?}");
}

/// A flow that gives a worker nothing leaves it to those behind.
#[tokio::test]
async fn a_task_that_failed_on_a_worker_keeps_nobody_else_from_it() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut owners = Owners::new();
    owners.submit(&mut pool, "eve", 1, false).await;
    let lease = pool.lease_one(&worker).await;
    pool.nack(&worker, &lease, FaultKind::Failed).await;
    owners.submit(&mut pool, "bob", 20, false).await;
    for _ in 0..20 {
        let leased = owners.lease(&pool, &worker, 1).await;
        assert_eq!(leased.get(&("bob", false)), Some(&1));
    }
}

#[tokio::test]
async fn tasks_that_are_too_late_keep_nobody_else_from_a_worker() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut owners = Owners::new();
    for number in 0..20 {
        let mut late = tasks(&mut pool, &format!("eve-{number}"), 100, false);
        for task in &mut late {
            task.deadline_ms = Some(NOW_MS);
        }
        pool.store.submit(late).await.unwrap();
    }
    owners.submit(&mut pool, "bob", 2, false).await;
    for _ in 0..2 {
        let leased = owners.lease(&pool, &worker, 1).await;
        assert_eq!(leased.get(&("bob", false)), Some(&1));
    }
}

/// Flows of another operation, which this worker does not compute, bring the clock forward again and again.
#[tokio::test]
async fn nobody_is_first_each_time_that_flows_are_brought_up_to_the_clock() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut owners = Owners::new();
    owners.submit(&mut pool, "ada", 300, true).await;
    owners.submit(&mut pool, "bob", 300, true).await;
    owners.submit(&mut pool, "eve", 2_000, false).await;
    let mut reductions = worker.query(3, NOW_MS);
    reductions.operations = vec![OperationId {
        name: "reduce".to_owned(),
        version: 1,
    }];
    let mut served = HashMap::new();
    for _ in 0..40 {
        for lease in pool.store.lease(reductions.clone()).await.unwrap() {
            *served.entry(&owners.0[&lease.task].0).or_insert(0_u32) += 1;
        }
        assert_eq!(pool.lease(&worker, 50).await.len(), 50);
    }
    let counts: Vec<_> = served.values().collect();
    assert!(counts[0].abs_diff(*counts[1]) <= 2, "{served:?}");
}

/// One task at a time, as an idle pool leases them.
#[tokio::test]
async fn turns_are_kept_from_one_lease_to_the_next() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut owners = Owners::new();
    for name in ["ada", "bob", "eve"] {
        owners.submit(&mut pool, name, 20, false).await;
    }
    for _ in 0..20 {
        let mut round = HashMap::new();
        for _ in 0..3 {
            for (flow, count) in owners.lease(&pool, &worker, 1).await {
                *round.entry(flow).or_insert(0) += count;
            }
        }
        assert_eq!(round.len(), 3, "{round:?}");
    }
}

/// Neither a gift for having been away, nor a debt for having been served alone.
#[tokio::test]
async fn who_was_away_has_saved_no_turns_and_who_was_alone_owes_none() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut owners = Owners::new();
    owners.submit(&mut pool, "early", 300, false).await;
    owners.lease(&pool, &worker, 300).await;
    owners.submit(&mut pool, "late", 300, false).await;
    owners.lease(&pool, &worker, 100).await;
    owners.submit(&mut pool, "early", 100, false).await;
    let shared = owners.lease(&pool, &worker, 100).await;
    let late = shared[&("late", false)];
    assert!((49..=51).contains(&late), "{shared:?}");
}

#[tokio::test]
async fn an_operation_is_not_hidden_by_anothers_backlog() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut owners = Owners::new();
    owners.submit(&mut pool, "ada", 500, false).await;
    owners.submit(&mut pool, "ada", 20, true).await;
    owners.submit(&mut pool, "bob", 20, true).await;
    let shared = owners.lease(&pool, &worker, 60).await;
    assert_eq!(shared[&("ada", false)], 20);
    assert_eq!(shared[&("ada", true)], 20);
    assert_eq!(shared[&("bob", true)], 20);
}

/// Turns of an operation that nobody could compute for long are not made up for at the others' cost.
#[tokio::test]
async fn an_operation_that_waited_long_takes_turns_like_the_others() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut owners = Owners::new();
    owners.submit(&mut pool, "ada", 300, true).await;
    owners.submit(&mut pool, "bob", 300, false).await;
    assert_eq!(pool.lease(&worker, 200).await.len(), 200);
    let shared = owners.lease(&pool, &worker, 50).await;
    assert!((24..=26).contains(&shared[&("ada", true)]), "{shared:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::cases(32), ..ProptestConfig::default() })]

    /// As long as two flows both have tasks, they get as many as each other, to within two: whoever else comes and goes,
    /// and however leases are cut.
    #[test]
    fn flows_with_tasks_are_served_alike(
        others in prop::collection::vec((0..4_usize, 1..30_usize), 0..12),
        leases in prop::collection::vec(1..20_usize, 1..20),
    ) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut pool = pool().await;
            let worker = pool.worker("worker-1").await;
            let mut owners = Owners::new();
            for name in ["ada", "bob"] {
                owners.submit(&mut pool, name, 400, false).await;
            }
            let mut served: HashMap<String, usize> = HashMap::new();
            let mut others = others.into_iter();
            for tasks_max in leases {
                if let Some((other, count)) = others.next() {
                    owners.submit(&mut pool, &format!("other-{other}"), count, false).await;
                }
                for ((name, _), count) in owners.lease(&pool, &worker, tasks_max).await {
                    *served.entry(name.to_owned()).or_default() += count;
                }
                let of = |name| served.get(name).copied().unwrap_or(0);
                assert!(of("ada").abs_diff(of("bob")) <= 2, "{served:?}");
            }
        });
    }
}
