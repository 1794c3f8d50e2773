//! What goes wrong on a device, and whose fault it is.

use std::time::Duration;

use kernels::executor::cuda::CudaExecutor;
use kernels::executor::{ConnectionError, Executor, Fault, Outcome, PlacedWork};
use serde_json::json;

use super::{
    BROKEN_OFF, DEVICE, LIMIT, Machine, UUID, alone, defined, digest, digested, run, work,
};

const SHORT: Duration = Duration::from_millis(500);

/// Larger than a slot, so that it needs memory of its own.
fn large() -> super::Work {
    let (rows, columns) = (2_500, 1_000);
    let matrix = vec![7; rows * columns * 4];
    work(
        "transpose",
        json!({"rows": rows, "columns": columns}),
        &[&matrix],
    )
}

#[test]
fn memory_that_is_not_there_is_this_machines_fault_and_the_child_goes_on() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = machine.spawn();
    machine.set("FAKE_CUDA_ALLOCATION_BYTES_MAX=1000000");
    let works = [digest(b"abc"), large(), digest(b"def")];
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    assert_eq!((&seen[0], &seen[2]), (&digested(b"abc"), &digested(b"def")));
    let Outcome::NotHere(message) = &seen[1] else {
        panic!("{:?}", seen[1])
    };
    assert!(message.contains("the device has no room"), "{message}");
    machine.set("");
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    assert_eq!(seen[1], Outcome::Done(defined(&works[1])));
}

fn gemm() -> super::Work {
    work("gemm", json!({"m": 1, "n": 1, "k": 1}), &[&[0; 4], &[0; 4]])
}

#[test]
fn a_shape_without_an_algorithm_is_this_machines_fault_and_the_child_goes_on() {
    let _turn = alone();
    let machine = Machine::new("FAKE_CUDA_HEURISTIC=15");
    let mut child = machine.spawn();
    let works = [digest(b"abc"), gemm(), digest(b"def")];
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    assert_eq!((&seen[0], &seen[2]), (&digested(b"abc"), &digested(b"def")));
    assert!(
        matches!(&seen[1], Outcome::NotHere(text) if text.contains("no algorithm")),
        "{seen:?}"
    );
    machine.set("");
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    assert_eq!(seen[1], Outcome::Done(defined(&works[1])));
}

/// Only the executor says what cuBLASLt takes for invalid.
#[test]
fn a_question_that_cublaslt_finds_invalid_is_the_executors_fault() {
    let _turn = alone();
    // A lot is under way meanwhile, and has not begun.
    let machine = Machine::new("FAKE_CUDA_HEURISTIC=7\nFAKE_CUDA_LAZY=1");
    let mut child = machine.spawn();
    let mut works = super::lots::several_lots();
    works.push(gemm());
    let (seen, end) = run(&mut child, &works, LIMIT);
    let ConnectionError::ExecutorFault(message) = end.unwrap_err() else {
        panic!("{seen:?}")
    };
    assert!(message.contains("INVALID_VALUE"), "{message}");
}

/// In a process of its own: an executor that fails while a lot is under way, and is dropped.
pub(crate) fn break_off(uuid: &str) {
    let mut executor = CudaExecutor::start(uuid, None).unwrap();
    let mut works = super::lots::several_lots();
    works.push(gemm());
    let mut outputs: Vec<_> = works
        .iter()
        .map(|work| vec![0; defined(work).len()])
        .collect();
    let mut placed: Vec<_> = works
        .iter()
        .zip(&mut outputs)
        .map(|(work, output)| PlacedWork {
            call: work.call().clone(),
            inputs: work.inputs().iter().map(AsRef::as_ref).collect(),
            output,
        })
        .collect();
    let mut last = Ok(());
    executor.run(&mut placed, &mut |_, outcome| last = outcome);
    assert!(matches!(last, Err(Fault::Executor(_))), "{last:?}");
}

/// In lazy mode a copy that was begun is made when somebody waits for it, at the latest when device memory is freed: if pinned
/// memory were freed before, the process would end by a signal.
#[test]
fn memory_that_the_device_copies_to_outlives_what_is_under_way() {
    let _turn = alone();
    let machine = Machine::new("FAKE_CUDA_HEURISTIC=7\nFAKE_CUDA_LAZY=1");
    let program = machine.program(UUID);
    let mut command = std::process::Command::new(&program.path);
    command
        .args(&program.arguments)
        .envs(program.environment)
        .env_remove(DEVICE)
        .env(BROKEN_OFF, UUID);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Graphs save time and nothing else.
#[test]
fn what_cannot_be_recorded_is_begun_step_by_step() {
    let _turn = alone();
    let machine = Machine::new("FAKE_CUDA_CAPTURE=901");
    let mut child = machine.spawn();
    for message in [b"abc", b"def", b"ghi", b"jkl"] {
        let (seen, end) = run(&mut child, &[digest(message)], LIMIT);
        end.unwrap();
        assert_eq!(seen, [digested(message)]);
    }
    // Every other error of a capture is the executor's.
    machine.set("FAKE_CUDA_CAPTURE=700");
    let ends = [b"abc", b"def"].map(|message| run(&mut child, &[digest(message)], LIMIT).1);
    assert!(
        matches!(ends.last(), Some(Err(ConnectionError::ExecutorFault(_)))),
        "{ends:?}"
    );
}

#[test]
fn a_fault_of_the_device_is_the_executors_and_ends_it() {
    let _turn = alone();
    for (code, name) in [
        (700, "CUDA_ERROR_ILLEGAL_ADDRESS"),
        (702, "CUDA_ERROR_LAUNCH_TIMEOUT"),
        (719, "CUDA_ERROR_LAUNCH_FAILED"),
        (214, "CUDA_ERROR_ECC_UNCORRECTABLE"),
        (916, "CUDA_ERROR_KEY_ROTATION"),
        // These came with drivers newer than the oldest that is accepted.
        (917, "CUDA_ERROR_STREAM_DETACHED"),
        (919, "CUDA_ERROR_FABRIC_NOT_READY"),
    ] {
        let machine = Machine::new(&format!(
            "FAKE_CUDA_FAULT=softmax\nFAKE_CUDA_FAULT_CODE={code}"
        ));
        let mut child = machine.spawn();
        let (seen, end) = run(&mut child, &[digest(b"abc")], LIMIT);
        end.unwrap();
        assert_eq!(seen, [digested(b"abc")]);
        let softmax = work("softmax", json!({"rows": 1, "columns": 2}), &[&[0; 8]]);
        let (seen, end) = run(&mut child, &[softmax, digest(b"abc")], LIMIT);
        let ConnectionError::ExecutorFault(message) = end.unwrap_err() else {
            panic!("{seen:?}")
        };
        assert!(message.contains(name), "{message}");
        assert!(matches!(&seen[0], Outcome::ExecutorFault(_)), "{seen:?}");
        // Begun with it, and so under suspicion.
        assert!(matches!(&seen[1], Outcome::Lost(_)), "{seen:?}");
    }
}

#[test]
fn a_fault_of_cublaslt_ends_the_executor_too() {
    let _turn = alone();
    let machine = Machine::new("FAKE_CUDA_FAULT=matmul");
    let mut child = machine.spawn();
    let (seen, end) = run(&mut child, &[gemm()], LIMIT);
    assert!(
        matches!(end, Err(ConnectionError::ExecutorFault(_))),
        "{seen:?}"
    );
}

#[test]
fn a_kernel_that_hangs_is_killed_with_its_process_at_the_deadline() {
    let _turn = alone();
    for kernel in ["reduce_sum", "matmul"] {
        let machine = Machine::new(&format!("FAKE_CUDA_HANG={kernel}"));
        let mut child = machine.spawn();
        let process_id = child.process_id();
        let sum = json!({"rows": 1, "columns": 2, "kind": "sum"});
        let hanging = match kernel {
            "matmul" => gemm(),
            _ => work("reduce", sum, &[&[0; 8]]),
        };
        let (seen, end) = run(&mut child, &[hanging], SHORT);
        assert!(
            matches!(end, Err(ConnectionError::TimedOut { .. })),
            "{seen:?}"
        );
        assert!(!std::path::Path::new(&format!("/proc/{process_id}")).exists());
        // Another child, another device's context.
        machine.set("");
        let (seen, end) = run(&mut machine.spawn(), &[digest(b"abc")], LIMIT);
        end.unwrap();
        assert_eq!(seen, [digested(b"abc")]);
    }
}
