//! Tasks through a whole pool of processes, and the CPU time that gateway and agents spend on them.

use std::time::{Duration, Instant};

use client::Gateway;
use criterion::{Criterion, Throughput};
use protocol::TaskId;
use protocol::api::BatchOutcome;
use protocol::limits::BATCH_TASKS_MAX;
use protocol::task::TaskState;
use tests::fleet::{Fleet, FleetOptions, cpu_time};
use tests::load::task;
use tokio::runtime::Runtime;

const TASKS: u32 = 10_000;
/// How often the gateway is asked whether all are done.
const POLL: Duration = Duration::from_millis(20);

async fn one(client: &Gateway) {
    let id = client.submit(&task(0)).await.unwrap().id;
    let view = client.poll_task(id).await.unwrap();
    assert_eq!(view.state, TaskState::Succeeded);
}

async fn many(client: &Gateway, operator: &Gateway) {
    let before = operator.status().await.unwrap().tasks.succeeded;
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    let mut ids: Vec<TaskId> = Vec::new();
    for batch in tasks.chunks(BATCH_TASKS_MAX) {
        for outcome in client.submit_batch(batch).await.unwrap() {
            match outcome {
                BatchOutcome::Task(view) => ids.push(view.id),
                BatchOutcome::Problem(problem) => panic!("{problem}"),
            }
        }
    }
    let all = before + u64::from(TASKS);
    while operator.status().await.unwrap().tasks.succeeded < all {
        tokio::time::sleep(POLL).await;
    }
}

struct Spent {
    gateway: Duration,
    workers: Duration,
}

fn spent(fleet: &mut Fleet) -> Spent {
    let gateway = cpu_time(fleet.gateway().process_id()).unwrap();
    let all: Duration = fleet
        .processes()
        .map(|process| cpu_time(process.process_id()).unwrap())
        .sum();
    Spent {
        gateway,
        workers: all.saturating_sub(gateway),
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn measure(runtime: &Runtime, fleet: &mut Fleet, rounds: u64) -> Duration {
    let (client, operator) = (fleet.client().unwrap(), fleet.operator().unwrap());
    let before = spent(fleet);
    let start = Instant::now();
    for _ in 0..rounds {
        runtime.block_on(many(&client, &operator));
    }
    let elapsed = start.elapsed();
    let after = spent(fleet);
    let tasks = u32::try_from(rounds).unwrap() * TASKS;
    eprintln!(
        "  {tasks} tasks in {elapsed:.2?}: CPU per task: gateway {:?}, workers and executors {:?}",
        after.gateway.saturating_sub(before.gateway) / tasks,
        after.workers.saturating_sub(before.workers) / tasks,
    );
    elapsed
}

pub(crate) fn benchmark(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = runtime.block_on(async {
        let mut fleet = Fleet::start(FleetOptions::in_folder(&folder.path().join("pool")))
            .await
            .unwrap();
        for name in ["worker-1", "worker-2"] {
            let id = fleet.add_worker(name).await.unwrap();
            fleet.wait_live(&id).await.unwrap();
        }
        fleet
    });
    let client = fleet.client().unwrap();
    let mut group = criterion.benchmark_group("tasks");
    group.bench_function("one, submitted to result", |bencher| {
        bencher.iter(|| runtime.block_on(one(&client)));
    });
    group.throughput(Throughput::Elements(u64::from(TASKS)));
    group.measurement_time(Duration::from_mins(1));
    group.bench_function("10,000 of 1 KiB, submitted to acknowledged", |bencher| {
        bencher.iter_custom(|rounds| measure(&runtime, &mut fleet, rounds));
    });
    group.finish();
    runtime.block_on(fleet.stop()).unwrap();
}
