//! A child's life: started, used, ended in every way there is, and nothing left behind.

use std::path::Path;
use std::time::Duration;

use kernels::executor::{
    ConnectionError, ExecutorChild, ExecutorKind, Exit, Outcome, Program, SpawnError,
};
use kernels::module;
use serde_json::json;

use super::{
    LIMIT, alone, clock, digest, digested, is_running, program, run, spawn, trigger, work,
};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn an_honest_child_runs_what_it_is_given_and_ends_when_told() {
    let _turn = alone();
    let mut child = spawn("honest");
    let identity = child.identity().clone();
    assert_eq!(
        (identity.kind, identity.in_order),
        (ExecutorKind::Cpu, true)
    );
    assert_eq!(identity.module_digest, module::executable_digest().unwrap());
    let two = [1.0_f32.to_le_bytes(), 2.0_f32.to_le_bytes()];
    let works = [
        digest(b"abc"),
        work(
            "saxpy",
            json!({"alpha": 3}),
            &[two.as_flattened(), two.as_flattened()],
        ),
        trigger(),
        digest(b""),
    ];
    for _ in 0..3 {
        let (seen, end) = run(&mut child, &works, LIMIT);
        end.unwrap();
        let sums = [4.0_f32.to_le_bytes(), 8.0_f32.to_le_bytes()];
        assert_eq!((&seen[0], &seen[3]), (&digested(b"abc"), &digested(b"")));
        assert_eq!(seen[1], Outcome::Done(sums.as_flattened().to_vec()));
    }
    let process_id = child.process_id();
    assert_eq!(child.shutdown(LIMIT), Exit::Orderly);
    assert!(!is_running(process_id));
}

#[test]
fn payloads_beyond_the_resident_part_of_the_arena_come_through() {
    let _turn = alone();
    let mut child = spawn("honest");
    let (rows, columns) = (5_000, 4_000);
    let matrix: Vec<u8> = (0..rows * columns)
        .flat_map(|i: u32| i.to_le_bytes())
        .collect();
    let transpose = work(
        "transpose",
        json!({"rows": rows, "columns": columns}),
        &[&matrix],
    );
    let (seen, end) = run(&mut child, &[transpose, digest(b"abc")], LIMIT);
    end.unwrap();
    let Outcome::Done(output) = &seen[0] else {
        panic!("{:?}", seen[1]);
    };
    let element = |index: usize| u32::from_le_bytes(output[index * 4..][..4].try_into().unwrap());
    assert_eq!((element(1), element(5_000)), (columns, 1));
    assert_eq!(element(output.len() / 4 - 1), rows * columns - 1);
    assert_eq!(seen[1], digested(b"abc"));
}

#[test]
fn a_child_killed_in_mid_task_loses_that_task_alone() {
    let _turn = alone();
    let mut child = spawn("hang");
    let process_id = child.process_id();
    let killer = child.killer();
    let works = [digest(b"abc"), trigger(), digest(b"def")];
    let mut seen = Vec::new();
    // The first answer proves that the child has begun; the next work hangs.
    let end = child.run(&works, LIMIT, &mut |index, outcome| {
        seen.push((index, outcome));
        killer.kill();
    });
    assert!(matches!(end, Err(ConnectionError::Closed)));
    let lost = Outcome::Lost(ConnectionError::Closed.to_string());
    assert_eq!(
        seen,
        [(0, digested(b"abc")), (1, lost), (2, Outcome::NotRun)]
    );
    assert!(!is_running(process_id));
    let (again, refused) = run(&mut child, &works[..1], LIMIT);
    assert!(matches!(refused, Err(ConnectionError::Closed)));
    assert_eq!(again, [Outcome::NotRun]);
}

#[test]
fn a_child_that_hangs_past_the_deadline_is_killed() {
    let _turn = alone();
    let mut child = spawn("hang");
    let process_id = child.process_id();
    let (seen, end) = run(&mut child, &[trigger(), digest(b"abc")], SHORT);
    let error = end.unwrap_err();
    assert!(matches!(error, ConnectionError::TimedOut { limit: SHORT }));
    assert_eq!(seen, [Outcome::Lost(error.to_string()), Outcome::NotRun]);
    assert!(!is_running(process_id));
}

/// No product code is asked to hang: a real operation that takes longer than it may.
#[test]
fn a_huge_gemm_past_the_deadline_is_killed() {
    let _turn = alone();
    let mut child = spawn("honest");
    let side = 4_096;
    let matrix = vec![0; side * side * 4];
    let gemm = work(
        "gemm",
        json!({"m": side, "n": side, "k": side}),
        &[&matrix, &matrix],
    );
    let (seen, end) = run(&mut child, &[gemm], SHORT);
    assert!(matches!(end, Err(ConnectionError::TimedOut { .. })));
    assert!(matches!(seen[0], Outcome::Lost(_)));
    assert!(!is_running(child.process_id()));
}

#[test]
fn a_child_that_panics_or_faults_is_gone() {
    let _turn = alone();
    let mut child = spawn("panic");
    let (seen, end) = run(&mut child, &[trigger(), digest(b"abc")], LIMIT);
    assert!(matches!(end, Err(ConnectionError::Closed)));
    assert!(matches!(
        (&seen[0], &seen[1]),
        (Outcome::Lost(_), Outcome::NotRun)
    ));
    let mut child = spawn("fault");
    let (seen, end) = run(&mut child, &[trigger(), digest(b"abc")], LIMIT);
    assert!(matches!(end, Err(ConnectionError::ExecutorFault(_))));
    let fault = Outcome::ExecutorFault("the device is lost".to_owned());
    assert_eq!(seen, [fault, Outcome::NotRun]);
    assert!(!is_running(child.process_id()));
}

#[test]
fn programs_that_are_no_child_are_refused_and_reaped() {
    let _turn = alone();
    let spawned = |path: &str, argument: &str, limit| {
        let program = Program {
            path: path.into(),
            arguments: vec![argument.into()],
            environment: vec![],
        };
        ExecutorChild::spawn(&program, clock(), limit).unwrap_err()
    };
    assert!(matches!(
        spawned("/nonexistent", "", LIMIT),
        SpawnError::Process(_)
    ));
    assert!(matches!(
        spawned("/bin/true", "", LIMIT),
        SpawnError::Handshake(ConnectionError::Closed)
    ));
    assert!(matches!(
        spawned("/bin/sleep", "3600", SHORT),
        SpawnError::Handshake(ConnectionError::TimedOut { .. })
    ));
}

#[test]
fn a_child_that_does_not_end_when_told_is_killed() {
    let _turn = alone();
    let child = spawn("honest");
    let process_id = child.process_id();
    // Stopped, it neither reads nor ends.
    let stopped = rustix::process::Pid::from_raw(i32::try_from(process_id).unwrap()).unwrap();
    rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
    assert_eq!(child.shutdown(SHORT), Exit::Forced);
    assert!(!is_running(process_id));
}

#[test]
fn the_environment_is_not_inherited() {
    let _turn = alone();
    let child = spawn("honest");
    let environment = std::fs::read(format!("/proc/{}/environ", child.process_id())).unwrap();
    assert_eq!(environment, b"TEST_CHILD_BEHAVIOUR=honest\0");
}

#[test]
fn fifty_killed_children_leave_neither_process_nor_descriptor() {
    let _turn = alone();
    let before = descriptors();
    for cycle in 0..50 {
        let mut child = ExecutorChild::spawn(&program("hang"), clock(), LIMIT).unwrap();
        let process_id = child.process_id();
        let killer = child.killer();
        let (seen, end) = run(&mut child, &[digest(b"abc")], LIMIT);
        end.unwrap();
        assert_eq!(seen, [digested(b"abc")], "cycle {cycle}");
        match cycle % 3 {
            0 => killer.kill(),
            1 => drop(run(&mut child, &[trigger()], Duration::from_millis(20))),
            _ => {}
        }
        drop(child);
        assert!(
            !Path::new(&format!("/proc/{process_id}")).exists(),
            "cycle {cycle}"
        );
    }
    assert_eq!(descriptors(), before);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
