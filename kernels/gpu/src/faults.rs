//! Children killed at work: what has no output then gets it from the next child.

use anyhow::{Context, Result, ensure};
use kernels::executor::{ExecutorChild, Outcome, Work};

use crate::child::{LIMIT, spawn};
use crate::device::Device;
use crate::parity::defined;
use crate::works::{SEED, rows};

const CYCLES: u32 = 20;
const CYCLES_QUICK: u32 = 3;
/// Together far more than a child takes to the device at once, so that the first is answered while others are at work.
const WORKS: usize = 24;
const SIDE: usize = 1_024;

pub(crate) fn run(device: &Device, quick: bool) -> Result<()> {
    let cycles = if quick { CYCLES_QUICK } else { CYCLES };
    let works = vec![rows("transpose", SIDE, SIDE, SEED)?; WORKS];
    let wanted = defined(&rows("transpose", SIDE, SIDE, SEED)?)?;
    let mut lost = 0;
    for cycle in 0..cycles {
        lost += killed(device, &works, &wanted).with_context(|| format!("cycle {cycle}"))?;
    }
    ensure!(lost > 0, "no child was at work when it was killed");
    println!(
        "faults: {cycles} children killed at work, {lost} works lost to them and done by others"
    );
    Ok(())
}

/// Works that the child took with it.
fn killed(device: &Device, works: &[Work], wanted: &[u8]) -> Result<usize> {
    let mut child = spawn(device)?;
    let killer = child.killer();
    let (outcomes, ended) = outcomes(&mut child, works, &mut || killer.kill());
    ensure!(ended.is_err(), "a child that was killed goes on");
    drop(child);
    let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Done(output) if output == wanted);
    let waiting = outcomes.iter().filter(|outcome| !is_done(outcome)).count();
    let rest = works.get(..waiting).unwrap_or_default();
    let (outcomes, ended) = self::outcomes(&mut spawn(device)?, rest, &mut || {});
    ended?;
    ensure!(
        outcomes.iter().all(is_done),
        "after a child was killed, the next one gives another output"
    );
    Ok(waiting)
}

/// What became of each work; `first` is called at the first answer.
fn outcomes(
    child: &mut ExecutorChild,
    works: &[Work],
    first: &mut dyn FnMut(),
) -> (Vec<Outcome>, Result<()>) {
    let mut outcomes = vec![Outcome::NotRun; works.len()];
    let mut is_first = true;
    let ended = child.run(works, LIMIT, &mut |index, outcome| {
        if std::mem::take(&mut is_first) {
            first();
        }
        if let Some(place) = outcomes.get_mut(index) {
            *place = outcome;
        }
    });
    (outcomes, ended.context("the child is lost"))
}
