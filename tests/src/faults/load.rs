//! The load: submitters with mixed tasks, each sent under its key until the API has confirmed it.

use std::time::Duration;

use anyhow::{Context, Result};
use client::task::{Input, PreparedTask, Schedule, SubmitError, Unobserved};
use protocol::api::TaskView;
use protocol::limits::ATTEMPTS_MAX;
use protocol::{Sha256Digest, TaskId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::check::Pool;
use crate::devnet::work::{Expected, Work};

const SUBMITTERS: usize = 4;
/// So many tasks may be confirmed and not checked: the load is steady, and the end not far.
const UNCHECKED_MAX: usize = 150;
/// Between two tasks of one submitter.
const PAUSE: Duration = Duration::from_millis(150);
/// Before one is sent again that was not confirmed.
const AGAIN: Duration = Duration::from_millis(300);
/// One task in so many is sent by a request that waits for its end …
const WAITS_EVERY: u64 = 3;
/// … so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// Side of the product of ones that takes an executor some seconds of a debug build: others last milliseconds.
const PRODUCT_SIDE: usize = 320;

/// Starts the submitters; the last one to end completes the journal.
pub(super) fn start(tasks: &mut JoinSet<Result<()>>, pool: &Pool, quiet: &CancellationToken) {
    let (pool, quiet) = (pool.clone(), quiet.clone());
    tasks.spawn_local(async move {
        let mut submitters = JoinSet::new();
        for _ in 0..SUBMITTERS {
            submitters.spawn_local(submit(pool.clone(), quiet.clone()));
        }
        while let Some(ended) = submitters.join_next().await {
            ended.context("a submitter panicked")??;
        }
        pool.journal.complete();
        Ok(())
    });
}

async fn submit(pool: Pool, quiet: CancellationToken) -> Result<()> {
    while !quiet.is_cancelled() {
        if pool.journal.unchecked_count() < UNCHECKED_MAX {
            let number = pool.journal.next_number();
            let work = draw(pool.journal.seed(), number)?;
            let task = confirm(&pool, number, &work).await?;
            let mut dice = dice(pool.journal.seed(), number);
            if dice.random_ratio(1, 30) {
                // What it was confirmed as, it stays.
                confirm(&pool, number, &work).await?;
            }
            if dice.random_ratio(1, 40) {
                pool.cancel(task).await?;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Sends a task until it is confirmed, over any outage.
async fn confirm(pool: &Pool, number: u64, work: &Work) -> Result<TaskId> {
    let mut waits = number.is_multiple_of(WAITS_EVERY);
    loop {
        match send(pool, work, waits).await {
            Ok(view) => {
                let is_new = pool.journal.confirmed(number, view.id)?;
                pool.report.confirmed(is_new, view.state);
                return Ok(view.id);
            }
            Err(SubmitError::Gateway(error)) if error.is_transient() => {
                pool.report.repeated();
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(error).context("an honest task was refused"),
        }
        // It may have been confirmed in vain.
        waits = false;
    }
}

/// One that waits for the task's end gives up after a while, and asks again without.
async fn send(pool: &Pool, work: &Work, waits: bool) -> Result<TaskView, SubmitError> {
    let (task, client) = (&work.task, &pool.client);
    if waits {
        let mut unobserved = Unobserved;
        let run = task.submit_and_wait(client, &mut unobserved);
        if let Ok(sent) = tokio::time::timeout(PATIENCE, run).await {
            return sent;
        }
        pool.report.repeated();
    }
    task.submit(client, &mut Unobserved).await
}

fn dice(seed: u64, number: u64) -> StdRng {
    // Any mixing does; the numbers are few.
    StdRng::seed_from_u64(seed.rotate_left(32) ^ number)
}

/// The task of this number: the same each time it is drawn, and unlike any other.
pub(super) fn draw(seed: u64, number: u64) -> Result<Work> {
    let mut dice = dice(seed, number);
    let marks = format!("{seed} {number} ");
    let bytes = |dice: &mut StdRng, count: usize| {
        let mut bytes = marks.clone().into_bytes();
        let mut noise = vec![0; count];
        dice.fill(noise.as_mut_slice());
        bytes.append(&mut noise);
        bytes
    };
    let (operation, parameters, inputs, expected) = match dice.random_range(0..100_u32) {
        0..60 => {
            let count = dice.random_range(1..=4_usize);
            let inputs: Vec<_> = (0..count)
                .map(|_| {
                    let length = dice.random_range(0..2_000);
                    bytes(&mut dice, length)
                })
                .collect();
            digests(inputs)
        }
        // A blob goes in.
        60..66 => digests(vec![bytes(&mut dice, 90_000)]),
        66..90 => transposed(bytes(&mut dice, 3_000)),
        // A blob goes in and out.
        90..97 => transposed(bytes(&mut dice, 80_000)),
        _ => product(number),
    };
    let inputs = inputs
        .into_iter()
        .map(|bytes| Input::from_bytes("input", bytes));
    let schedule = Schedule {
        // A kill costs an attempt, and is not the task's fault.
        max_attempts: Some(ATTEMPTS_MAX),
        ..Schedule::default()
    };
    let key = format!("faults-{seed}-{number}").parse()?;
    let task = PreparedTask::new(operation, None, parameters, inputs.collect())?
        .with_schedule(schedule)
        .with_idempotency_key(key);
    Ok(Work {
        task,
        expected: Expected::Bytes(expected),
    })
}

/// Operation, parameters, inputs, and the output that they must give.
type Drawn = (&'static str, Map<String, Value>, Vec<Vec<u8>>, Vec<u8>);

fn digests(inputs: Vec<Vec<u8>>) -> Drawn {
    let digests = inputs.iter().map(|input| Sha256Digest::of(input));
    let expected = digests.flat_map(|digest| *digest.as_bytes()).collect();
    ("sha256_batch", Map::new(), inputs, expected)
}

/// As two columns of 4-byte elements.
fn transposed(mut input: Vec<u8>) -> Drawn {
    input.resize(input.len().next_multiple_of(8), 0);
    let column = |at: usize| {
        let rows = input.chunks(8);
        rows.flat_map(move |row| row.iter().skip(4 * at).take(4).copied())
    };
    let expected = column(0).chain(column(1)).collect();
    let parameters = parameters(&json!({"rows": input.len() / 8, "columns": 2}));
    ("transpose", parameters, vec![input], expected)
}

/// Of a matrix with `number` in it and one of ones: each row's sum, in each of its columns.
fn product(number: u64) -> Drawn {
    let side = PRODUCT_SIDE;
    let mut left = vec![1.0_f32; side * side];
    // Each number that a task has here is exact, and so is every sum of it with a few hundred ones.
    let marks = [number % 65_521, number / 65_521];
    let exact = |mark: u64| f32::from(u16::try_from(mark).unwrap_or(u16::MAX));
    for (element, mark) in left.iter_mut().zip(marks) {
        *element = exact(mark);
    }
    let expected = left.chunks(side).flat_map(|row| {
        let sum: f32 = row.iter().sum();
        sum.to_le_bytes().repeat(side)
    });
    let expected = expected.collect();
    let left = left.iter().flat_map(|element| element.to_le_bytes());
    let inputs = vec![left.collect(), 1.0_f32.to_le_bytes().repeat(side * side)];
    let parameters = parameters(&json!({"m": side, "n": side, "k": side}));
    ("gemm", parameters, inputs, expected)
}

fn parameters(object: &Value) -> Map<String, Value> {
    object.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_number_is_one_task_and_every_kind_is_drawn() {
        let mut digests = BTreeSet::new();
        let mut operations = BTreeSet::new();
        for number in 1..=150 {
            let (one, again) = (draw(7, number).unwrap(), draw(7, number).unwrap());
            assert_eq!(one.task.digest(), again.task.digest());
            digests.insert(one.task.digest());
            operations.insert(one.task.body().operation.clone());
        }
        assert_eq!((digests.len(), operations.len()), (150, 3));
    }
}
