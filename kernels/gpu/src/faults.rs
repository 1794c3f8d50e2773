//! Children killed with work before them: every task gets its output, from the next child.

use anyhow::{Result, bail, ensure};
use kernels::executor::{Outcome, Work};

use crate::child::{LIMIT, spawn};
use crate::device::Device;
use crate::parity::defined;
use crate::works::{digests, rows};

const CYCLES: u32 = 20;
const CYCLES_QUICK: u32 = 3;

pub(crate) fn run(device: &Device, quick: bool) -> Result<()> {
    let cycles = if quick { CYCLES_QUICK } else { CYCLES };
    for cycle in 0..cycles {
        killed(device, cycle)?;
    }
    println!("faults: {cycles} children killed at work, no task lost");
    Ok(())
}

/// A child is killed with a batch before it; what has no output then gets it from the next child.
fn killed(device: &Device, cycle: u32) -> Result<()> {
    let length = 4_096 + usize::try_from(cycle)?;
    let mut waiting: Vec<Work> = vec![
        digests(&[length; 64])?,
        rows("transpose", length, 64)?,
        rows("softmax", 64, length)?,
    ];
    let mut child = spawn(device)?;
    let killer = child.killer();
    let mut outcomes = vec![Outcome::NotRun; waiting.len()];
    killer.kill();
    let ended = child.run(&waiting, LIMIT, &mut |index, outcome| {
        if let Some(place) = outcomes.get_mut(index) {
            *place = outcome;
        }
    });
    ensure!(ended.is_err(), "a child that was killed goes on");
    drop(child);
    let mut is_waiting = outcomes
        .iter()
        .map(|outcome| !matches!(outcome, Outcome::Done(_)));
    waiting.retain(|_| is_waiting.next().unwrap_or(true));
    let mut wrong = None;
    spawn(device)?.run(&waiting, LIMIT, &mut |index, outcome| {
        let wanted = waiting.get(index).map(defined);
        let Some(Ok(wanted)) = wanted else { return };
        // Softmax is compared by `parity`, within its tolerance; here it only has to be there.
        let is_exact = index != 2;
        match outcome {
            Outcome::Done(output) if !is_exact || output == wanted => {}
            other => wrong = Some(format!("work {index}: {other:?}")),
        }
    })?;
    match wrong {
        Some(wrong) => bail!("after a child was killed, {wrong}"),
        None => Ok(()),
    }
}
