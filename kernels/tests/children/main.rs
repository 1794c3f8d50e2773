//! Executor children as real processes: served, killed, hung, panicking, orphaned, started again.
//!
//! This test binary executes itself as the child: the test named [`child::MAIN`] becomes the child when the environment
//! says how it is to behave, and does nothing otherwise. So no misbehaving executor is in any shipped code.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod child;
mod life;
mod orphan;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kernels::executor::{Clock, ConnectionError, ExecutorChild, Outcome, Program, Work};
use protocol::task::{InputDescriptor, TaskBody};
use serde_json::Value;

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// Processes and descriptors are counted, so tests that start children take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "a test is its own world")]
fn clock() -> Clock {
    std::sync::Arc::new(Instant::now)
}

/// This test binary as a child that behaves so.
fn program(behaviour: &str) -> Program {
    Program {
        path: "/proc/self/exe".into(),
        arguments: ["--exact", child::MAIN, "--nocapture"]
            .map(Into::into)
            .to_vec(),
        environment: vec![(child::BEHAVIOUR.into(), behaviour.into())],
    }
}

fn spawn(behaviour: &str) -> ExecutorChild {
    ExecutorChild::spawn(&program(behaviour), clock(), LIMIT).unwrap()
}

fn work(operation: &str, parameters: Value, inputs: &[&[u8]]) -> Work {
    let body = TaskBody {
        operation: operation.to_owned(),
        version: 1,
        parameters: serde_json::from_value(parameters).unwrap(),
        inputs: inputs
            .iter()
            .map(|input| InputDescriptor::of(input))
            .collect(),
    };
    let inputs = inputs.iter().map(|input| input.to_vec().into()).collect();
    Work::parse(body.canonical().unwrap().into(), inputs).unwrap()
}

/// A work on which a misbehaving child does what it is named for.
fn trigger() -> Work {
    work(
        "sha256_batch",
        Value::Object(serde_json::Map::new()),
        &[child::TRIGGER],
    )
}

fn digest(message: &[u8]) -> Work {
    work(
        "sha256_batch",
        Value::Object(serde_json::Map::new()),
        &[message],
    )
}

fn digested(message: &[u8]) -> Outcome {
    Outcome::Done(protocol::Sha256Digest::of(message).as_bytes().to_vec())
}

/// Runs the works; every outcome by index.
fn run(
    child: &mut ExecutorChild,
    works: &[Work],
    limit: Duration,
) -> (Vec<Outcome>, Result<(), ConnectionError>) {
    let mut seen = vec![None; works.len()];
    let end = child.run(works, limit, &mut |index, outcome| {
        assert_eq!(seen[index].replace(outcome), None, "work {index} twice");
    });
    let seen = seen.into_iter().map(|outcome| outcome.expect("an outcome"));
    (seen.collect(), end)
}

/// Whether the process exists and is more than a zombie.
fn is_running(process_id: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process_id}/stat"));
    state.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}
