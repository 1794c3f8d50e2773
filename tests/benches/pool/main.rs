//! `cargo ci bench`: admission of a worker, one task through the pool, 10,000 tasks through the pool, with the CPU time that
//! each task costs gateway and agent. Nothing here is a test: compare figures of one run on one machine.
#![expect(clippy::unwrap_used, reason = "a benchmark fails as a test does")]

mod admission;
mod tasks;

use criterion::{Criterion, criterion_group, criterion_main};

fn configured() -> Criterion {
    // Ten samples of ten thousand tasks are enough to see a tenth of difference.
    Criterion::default().sample_size(10)
}

criterion_group! {
    name = pool;
    config = configured();
    targets = admission::benchmark, tasks::benchmark
}
criterion_main!(pool);
