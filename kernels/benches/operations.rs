//! Throughput of each CPU definition, and what the executor child adds to a task.
//!
//! `cargo bench -p kernels`. This binary executes itself as the child: with the argument `executor` it serves.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run fails loudly"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use kernels::executor::{Clock, CpuExecutor, ExecutorChild, Outcome, Program, Work, serve_stdin};
use protocol::Sha256Digest;
use protocol::catalogue::Call;
use protocol::task::{InputDescriptor, TaskBody};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("executor") {
        let start = || Ok::<_, std::convert::Infallible>(CpuExecutor::new(Sha256Digest::of(b"")));
        let served = serve_stdin(start);
        return ExitCode::from(u8::from(served.is_err()));
    }
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    definitions(&mut criterion);
    child(&mut criterion);
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// Numbers between 0 and 1 as bytes, none of them round.
fn numbers(count: usize) -> Vec<u8> {
    let fraction = |i: usize| f32::from(u16::try_from(i * 37 % 1_009).unwrap_or(0)) / 1_009.0;
    (0..count).flat_map(|i| fraction(i).to_le_bytes()).collect()
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).expect("64 bits hold it")
}

fn definitions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("operation");
    let side = 1_024;
    let matrix = numbers(side * side);
    let row = numbers(side);
    let shape = json!({"rows": side, "columns": side});
    let with = |name: &str, value: Value| {
        let mut parameters = shape.clone();
        parameters[name] = value;
        parameters
    };
    let messages: Vec<_> = (0..256).map(|_| vec![7; 16 * 1_024]).collect();
    let messages = messages.iter().map(Vec::as_slice).collect();
    let calls: [(&str, Value, Vec<&[u8]>); 9] = [
        (
            "layer_norm",
            with("epsilon", json!(1e-5)),
            vec![&matrix, &row, &row],
        ),
        ("reduce", with("kind", json!("sum")), vec![&matrix]),
        ("reduce", with("kind", json!("max")), vec![&matrix]),
        ("saxpy", json!({"alpha": 1.5}), vec![&matrix, &matrix]),
        ("sha256_batch", json!({}), messages),
        ("softmax", shape.clone(), vec![&matrix]),
        ("transpose", shape.clone(), vec![&matrix]),
        (
            "gemm",
            json!({"m": 256, "n": 1_024, "k": 1_024}),
            vec![&matrix[..matrix.len() / 4], &matrix],
        ),
        (
            "gemm",
            json!({"m": 1_024, "n": 1, "k": 1_024}),
            vec![&matrix, &row],
        ),
    ];
    for (name, parameters, inputs) in calls {
        let sizes: Vec<_> = inputs.iter().map(|input| wide(input.len())).collect();
        let label = parameters.to_string();
        let parameters = serde_json::from_value(parameters).expect("an object");
        let call = Call::parse(name, 1, &parameters, &sizes).expect("a call");
        let mut output = vec![0; usize::try_from(call.output_bytes()).expect("a size")];
        group.throughput(if name == "gemm" {
            let value = |name| call.values().count(name);
            Throughput::Elements(2 * value("m") * value("n") * value("k"))
        } else {
            Throughput::Bytes(sizes.iter().sum())
        });
        group.bench_function(BenchmarkId::new(name, label), |bencher| {
            bencher.iter(|| {
                kernels::operations::run(black_box(&call), &inputs, &mut output)
                    .expect("an output");
            });
        });
    }
    group.finish();
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is its own world")]
fn clock() -> Clock {
    Arc::new(Instant::now)
}

fn spawn() -> ExecutorChild {
    let program = Program {
        path: "/proc/self/exe".into(),
        arguments: vec!["executor".into()],
        environment: vec![],
    };
    ExecutorChild::spawn(&program, clock(), LIMIT).expect("a child")
}

fn digest(message: &[u8]) -> Work {
    let body = TaskBody {
        operation: "sha256_batch".to_owned(),
        version: 1,
        parameters: serde_json::Map::new(),
        inputs: vec![InputDescriptor::of(message)],
    };
    let body = body.canonical().expect("a body");
    Work::parse(body.into(), vec![message.to_vec().into()]).expect("a work")
}

fn child(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("executor");
    let mut child = spawn();
    for (count, bytes) in [(1, 64), (1_000, 64), (1_000, 4_096), (1, 64 << 20)] {
        let works = vec![digest(&vec![7; bytes]); count];
        group.throughput(Throughput::Elements(wide(count)));
        let label = format!("{count} × {bytes} bytes");
        group.bench_function(BenchmarkId::new("sha256_batch", label), |bencher| {
            bencher.iter(|| {
                let answer = &mut |_, outcome| assert!(matches!(outcome, Outcome::Done(_)));
                child.run(&works, LIMIT, answer).expect("answers");
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("start and end of a child", |bencher| bencher.iter(spawn));
    group.finish();
}
