//! One task through the store: submitted, leased, acked with its signed receipt, in batches of 1, 32 and 256 with 1 KiB
//! of input. Durable: each batch is flushed three times. After each size a line with the processor time per task.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run panics")]

#[path = "../src/store/tests/harness.rs"]
#[expect(dead_code, reason = "the conformance suite needs more of it")]
mod harness;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gateway::{receipts, store};
use harness::{NOW_MS, Pool, Worker, ack};
use protocol::TaskId;
use protocol::lease::AckOutcome;
use store::InputBytes;
use tokio::runtime::{Builder, Runtime};

const INPUT_BYTES: usize = 1_024;

fn through_the_store(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("submit, lease and ack 1 KiB");
    for batch in [1_usize, 32, 256] {
        let mut line = Line::new(&runtime);
        let before = processor_time_us();
        group.throughput(Throughput::Elements(u64::try_from(batch).unwrap()));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter(|| runtime.block_on(line.run(batch)));
        });
        let spent = processor_time_us().saturating_sub(before);
        let per_task = spent / line.tasks.max(1);
        eprintln!("batches of {batch}: {per_task} µs of processor time a task");
    }
}

/// A pool with one worker, through which batches pass.
struct Line {
    pool: Pool,
    worker: Worker,
    tasks: u64,
}

impl Line {
    fn new(runtime: &Runtime) -> Self {
        runtime.block_on(async {
            let pool = Pool::new().await;
            let worker = pool.worker("worker-1").await;
            Self {
                pool,
                worker,
                tasks: 0,
            }
        })
    }

    async fn run(&mut self, batch: usize) {
        let tasks = (0..batch).map(|_| self.task()).collect();
        let store = &self.pool.store;
        assert!(store.submit(tasks).await.unwrap().iter().all(Result::is_ok));
        let leases = store.lease(self.worker.query(batch, NOW_MS)).await.unwrap();
        let signed = self.worker.sign(leases.iter().map(ack).collect());
        let outcomes = store.ack(signed, NOW_MS).await.unwrap();
        assert!(
            outcomes.len() == batch
                && outcomes
                    .iter()
                    .all(|outcome| *outcome == AckOutcome::Accepted)
        );
    }

    fn task(&mut self) -> store::NewTask {
        self.tasks += 1;
        let input = format!("{:01$}", self.tasks, INPUT_BYTES);
        harness::task(
            TaskId::from_parts(NOW_MS, u128::from(self.tasks)),
            vec![InputBytes::Inline(input.into())],
        )
    }
}

/// User and system time of this process: `utime` and `stime` of /proc/self/stat, in ticks of 10 ms.
fn processor_time_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .map(|field| field.parse::<u64>().unwrap())
        .sum::<u64>()
        * 10_000
}

criterion_group!(benches, through_the_store);
criterion_main!(benches);
