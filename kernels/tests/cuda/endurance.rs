//! A hundred children killed, hung and faulted: every task gets its output in the end, and nothing is left behind.

use std::path::Path;
use std::time::Duration;

use kernels::executor::{ExecutorChild, Outcome, Work};
use serde_json::json;

use super::lots::several_lots;
use super::{LIMIT, Machine, alone, defined, digest, run, work};

const CYCLES: usize = 100;
const HANG_LIMIT: Duration = Duration::from_millis(50);
/// What a hundred cycles may leave in this process's memory: fragments of a heap, far below one arena or one lot.
const GROWTH_BYTES_MAX: usize = 8 * 1024 * 1024;

fn batch(cycle: usize) -> Vec<Work> {
    if how(cycle) == How::Killed {
        // More than is under way at once, so that the first answer comes while others are computed.
        return several_lots();
    }
    let numbers: Vec<u8> = (0..24_u8).map(|byte| byte.wrapping_mul(7)).collect();
    let message = cycle.to_le_bytes();
    vec![
        digest(&message),
        work("transpose", json!({"rows": 2, "columns": 3}), &[&numbers]),
        work("softmax", json!({"rows": 2, "columns": 3}), &[&numbers]),
        digest(b"abc"),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Hung,
    Faulted,
    Killed,
}

fn how(cycle: usize) -> How {
    [How::Hung, How::Faulted, How::Killed][cycle % 3]
}

/// Has a child run the batch while it is killed, hangs or faults; the outcomes that came through.
fn disturbed(machine: &Machine, cycle: usize, works: &[Work]) -> (u32, Vec<Outcome>) {
    machine.set(match how(cycle) {
        How::Hung => "FAKE_CUDA_HANG=softmax",
        How::Faulted => "FAKE_CUDA_FAULT=softmax",
        How::Killed => "",
    });
    let mut child = machine.spawn();
    let process_id = child.process_id();
    let (seen, end) = match how(cycle) {
        How::Hung => run(&mut child, works, HANG_LIMIT),
        How::Faulted => run(&mut child, works, LIMIT),
        How::Killed => {
            let killer = child.killer();
            let mut seen = vec![Outcome::NotRun; works.len()];
            let end = child.run(works, LIMIT, &mut |index, outcome| {
                seen[index] = outcome;
                killer.kill();
            });
            (seen, end)
        }
    };
    let is_lost = |outcome: &Outcome| matches!(outcome, Outcome::Lost(_));
    assert!(
        how(cycle) == How::Faulted || seen.iter().any(is_lost),
        "cycle {cycle}: {seen:?}"
    );
    assert!(end.is_err(), "cycle {cycle}: {seen:?}");
    machine.set("");
    (process_id, seen)
}

#[test]
fn a_hundred_lost_children_lose_no_task_and_leave_nothing_behind() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut before = None;
    for cycle in 0..CYCLES {
        let works = batch(cycle);
        let (process_id, seen) = disturbed(&machine, cycle, &works);
        assert!(
            !Path::new(&format!("/proc/{process_id}")).exists(),
            "cycle {cycle}"
        );
        // What an agent does: whatever has no output goes to the next child.
        let mut outputs: Vec<_> = seen.into_iter().map(done).collect();
        let missing: Vec<_> = (0..works.len()).filter(|i| outputs[*i].is_none()).collect();
        assert!(!missing.is_empty());
        let rest: Vec<_> = missing.iter().map(|index| works[*index].clone()).collect();
        let mut child = machine.spawn();
        let (again, end) = run(&mut child, &rest, LIMIT);
        end.unwrap();
        for (index, outcome) in missing.into_iter().zip(again) {
            outputs[index] = done(outcome);
        }
        for (work, output) in works.iter().zip(outputs) {
            let output = output.expect("an output for every task");
            assert_eq!(output.len(), defined(work).len());
            if work.call().operation().name != "softmax" {
                assert_eq!(output, defined(work), "cycle {cycle}");
            }
        }
        gone(child);
        if cycle == CYCLES / 10 {
            // By now whatever is allocated once is allocated.
            before = Some((descriptors(), children(), resident_bytes()));
        }
    }
    let (descriptors_before, children_before, bytes_before) = before.unwrap();
    assert_eq!(
        (descriptors(), children()),
        (descriptors_before, children_before)
    );
    let growth = resident_bytes().saturating_sub(bytes_before);
    assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes more");
}

fn done(outcome: Outcome) -> Option<Vec<u8>> {
    match outcome {
        Outcome::Done(output) => Some(output),
        _ => None,
    }
}

fn gone(child: ExecutorChild) {
    let process_id = child.process_id();
    drop(child);
    assert!(!Path::new(&format!("/proc/{process_id}")).exists());
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Of every thread of this process, also dead ones that nobody has reaped.
fn children() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .map(|list| list.split_whitespace().count())
        .sum()
}

/// proc(5): the second field is the resident set, in pages.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}
