//! What the executor adds to a launch, and how many small tasks go through it a second.

use std::time::Duration;

use anyhow::{Result, ensure};
use kernels::executor::cuda::CudaExecutor;
use kernels::executor::{BATCH_WORKS_MAX, Executor as _, ExecutorChild, Outcome, PlacedWork, Work};

use super::{Rows, median, microseconds, rate, real};
use crate::child::{LIMIT, now, spawn};
use crate::device::Device;
use crate::works::{SEED, digests, rows as matrix};

const ALONE: usize = 2_000;
const ALONE_QUICK: usize = 3;
const BATCHES: usize = 50;
const BATCHES_QUICK: usize = 1;

/// Adds what a task takes without a process of its own: both copies, the kernel and the wiping.
pub(super) fn in_process(rows: &mut Rows, own: &mut CudaExecutor, quick: bool) -> Result<()> {
    let work = matrix("transpose", 16, 16, SEED)?;
    let mut output = vec![0; usize::try_from(work.call().output_bytes())?];
    let alone = if quick { ALONE_QUICK } else { ALONE };
    let mut times = Vec::with_capacity(alone);
    for _ in 0..alone {
        let mut placed = [PlacedWork {
            call: work.call().clone(),
            inputs: work.inputs().iter().map(|input| &input[..]).collect(),
            output: &mut output,
        }];
        let begun = now();
        let mut outcome = None;
        own.run(&mut placed, &mut |_, answered| outcome = Some(answered));
        times.push(begun.elapsed());
        ensure!(outcome == Some(Ok(())), "the task ends so: {outcome:?}");
    }
    rows.add(
        "one task without a child",
        "transpose 16 x 16",
        microseconds(median(times)),
        "both copies and wiping included".to_owned(),
        None,
    );
    Ok(())
}

pub(super) fn run(rows: &mut Rows, device: &Device, launch: Duration, quick: bool) -> Result<()> {
    let mut child = spawn(device)?;
    let alone = if quick { ALONE_QUICK } else { ALONE };
    let small = [matrix("transpose", 16, 16, SEED)?];
    let mut times = Vec::with_capacity(alone);
    for _ in 0..alone {
        times.push(time(&mut child, &small)?);
    }
    let one = median(times);
    let beside = "child, both copies and wiping included".to_owned();
    let shape = "transpose 16 x 16";
    rows.add(
        "one task through the executor",
        shape,
        microseconds(one),
        beside,
        None,
    );
    let overhead = microseconds(one.saturating_sub(launch));
    let beside = format!("launch and wait {}", microseconds(launch));
    rows.add(
        "the executor beyond a launch",
        shape,
        overhead,
        beside,
        None,
    );
    let batches = if quick { BATCHES_QUICK } else { BATCHES };
    for (shape, work) in [
        ("digests of 1 KiB", digests(&[1_024], SEED)?),
        ("transpose 16 x 16", matrix("transpose", 16, 16, SEED)?),
    ] {
        let works = vec![work; if quick { 8 } else { BATCH_WORKS_MAX }];
        let mut times = Vec::with_capacity(batches);
        for _ in 0..batches {
            times.push(time(&mut child, &works)?);
        }
        let tasks_per_s = rate(real(works.len()), median(times));
        rows.add(
            "small tasks through the executor",
            shape,
            format!("{tasks_per_s:.0} /s"),
            format!("batches of {}", works.len()),
            None,
        );
    }
    Ok(())
}

pub(super) fn time(child: &mut ExecutorChild, works: &[Work]) -> Result<Duration> {
    let mut done = 0;
    let begun = now();
    child.run(works, LIMIT, &mut |_, outcome| {
        done += usize::from(matches!(outcome, Outcome::Done(_)));
    })?;
    let took = begun.elapsed();
    ensure!(
        done == works.len(),
        "{} of {} works have no output",
        works.len() - done,
        works.len()
    );
    Ok(took)
}
