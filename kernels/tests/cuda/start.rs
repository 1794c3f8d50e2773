//! What a child says of itself, and each reason for which there is none.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kernels::executor::{ConnectionError, ExecutorChild, ExecutorKind, Exit, SpawnError};
use kernels::module;
use protocol::Sha256Digest;

use super::{LIMIT, MAIN, Machine, REFUSED, UUID, alone, clock, digest, digested, run};

const POLL: Duration = Duration::from_millis(2);

#[test]
fn a_child_names_its_device_its_module_and_the_libraries_that_it_loaded() {
    let _turn = alone();
    let machine = Machine::new("");
    let child = machine.spawn();
    let identity = child.identity().clone();
    assert_eq!(
        (identity.kind, identity.in_order),
        (ExecutorKind::Cuda, false)
    );
    assert_eq!(identity.module_digest, module::fatbin_digest());
    assert_eq!(
        identity.module_digest,
        Sha256Digest::of(module::MODULE_FATBIN)
    );
    assert_eq!(identity.device.as_deref(), Some(UUID));
    let file = std::fs::read(machine.folder.path().join("libcuda.so")).unwrap();
    let [driver, blas] = &identity.libraries[..] else {
        panic!("{:?}", identity.libraries)
    };
    assert_eq!(
        (driver.name.as_str(), driver.version.as_str()),
        ("libcuda", "CUDA 13.0")
    );
    assert_eq!(
        (blas.name.as_str(), blas.version.as_str()),
        ("libcublasLt", "13.0.0")
    );
    // In the fake they are one file.
    for library in [driver, blas] {
        assert_eq!(library.digest, Sha256Digest::of(&file));
    }
    assert_eq!(child.shutdown(LIMIT), Exit::Orderly);
}

#[test]
fn the_device_is_the_one_that_is_named() {
    let _turn = alone();
    let machine = Machine::new("FAKE_CUDA_GPUS=3");
    let second = "GPU-00000000-fa4e-0000-0000-000000000002";
    let child = machine.try_spawn(second).unwrap();
    assert_eq!(child.identity().device.as_deref(), Some(second));
}

/// The reason that the child gave.
fn refused(settings: &str, uuid: &str) -> String {
    match Machine::new(settings).try_spawn(uuid) {
        Err(SpawnError::Handshake(ConnectionError::Unavailable(reason))) => reason,
        other => panic!("{settings}: {other:?}"),
    }
}

#[test]
fn a_machine_that_cannot_compute_says_what_to_do() {
    let _turn = alone();
    let cases = [
        ("FAKE_CUDA_INIT=100", "sees no device"),
        ("FAKE_CUDA_INIT=802", "accepts no work yet"),
        ("FAKE_CUDA_INIT=803", "restart the machine"),
        ("FAKE_CUDA_INIT=34", "stub"),
        ("FAKE_CUDA_INIT=999", "CUDA_ERROR_UNKNOWN"),
        ("FAKE_CUDA_DRIVER=12040", "CUDA 12.4"),
        ("FAKE_CUDA_DRIVER=13050", "CUDA 13.5"),
        ("FAKE_CUDA_BLAS=120805", "12.8.5"),
        ("FAKE_CUDA_BLAS=140000", "14.0.0"),
        ("FAKE_CUDA_GPUS=0", "no device"),
        ("FAKE_CUDA_UUID=beef", UUID),
        ("FAKE_CUDA_MEMORY_BYTES=1048576", "CUDA_ERROR_OUT_OF_MEMORY"),
    ];
    for (settings, words) in cases {
        let reason = refused(settings, UUID);
        assert!(reason.contains(words), "{settings}: {reason}");
    }
}

#[test]
fn missing_libraries_are_told_apart() {
    let _turn = alone();
    let without = |names: &[&str]| {
        let machine = Machine::new("");
        for name in names {
            std::fs::remove_file(machine.folder.path().join(name)).unwrap();
        }
        match machine.try_spawn(UUID) {
            Err(SpawnError::Handshake(ConnectionError::Unavailable(reason))) => reason,
            other => panic!("{other:?}"),
        }
    };
    let blas = ["libcublasLt.so", "libcublasLt.so.12", "libcublasLt.so.13"];
    assert!(without(&["libcuda.so", "libcuda.so.1"]).contains("install the NVIDIA driver"));
    assert!(without(&blas).contains("none of libcublasLt.so, .so.13 and .so.12"));
}

/// CUDA 13 installs no other name where its development files are not.
#[test]
fn libraries_are_found_by_the_names_that_cuda_13_installs() {
    let _turn = alone();
    let machine = Machine::new("");
    for name in ["libcuda.so", "libcublasLt.so", "libcublasLt.so.12"] {
        std::fs::remove_file(machine.folder.path().join(name)).unwrap();
    }
    assert_eq!(machine.spawn().identity().libraries.len(), 2);
}

/// What the sandbox puts one over another.
const CONFINED_BY_FILTERS: u32 = 3;

/// Of this thread.
fn seccomp_filters() -> u32 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let count = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp_filters:"));
    count.unwrap().trim().parse().unwrap()
}

/// In the child, once it is confined: the error of each thing that it must not do.
pub(crate) fn say_what_is_refused(path: &Path) {
    // One filter comes after another.
    while seccomp_filters() < CONFINED_BY_FILTERS {
        std::thread::sleep(POLL);
    }
    let parent = rustix::process::getppid().unwrap();
    let refused = [
        UnixDatagram::unbound().err(),
        Command::new("/bin/true").status().err(),
        Some(Command::new("/bin/true").exec()),
        rustix::process::test_kill_process(parent)
            .err()
            .map(Into::into),
    ];
    let told = refused.map(|error| format!("{:?}", error.map(|error| error.kind())));
    std::fs::write(path.with_extension("new"), told.join("\n")).unwrap();
    std::fs::rename(path.with_extension("new"), path).unwrap();
}

#[test]
fn a_child_that_computes_reaches_no_network_no_program_and_no_other_process() {
    let _turn = alone();
    let machine = Machine::new("");
    let path = machine.folder.path().join("refused");
    let mut program = machine.program(UUID);
    program
        .environment
        .push((REFUSED.into(), path.clone().into()));
    let mut child = ExecutorChild::spawn(&program, clock(), LIMIT).unwrap();
    let told = loop {
        if let Ok(told) = std::fs::read_to_string(&path) {
            break told;
        }
        std::thread::sleep(POLL);
    };
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["Some(PermissionDenied)"; 4]
    );
    let (seen, end) = run(&mut child, &[digest(b"abc")], LIMIT);
    end.unwrap();
    assert_eq!(seen, [digested(b"abc")]);
}

#[test]
fn a_child_is_confined() {
    let _turn = alone();
    let machine = Machine::new("");
    let child = machine.spawn();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.process_id())).unwrap();
    let mut threads = 0;
    for task in tasks {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(
            status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"),
            "{status}"
        );
        threads += 1;
    }
    assert!(threads > 1, "{MAIN} has a thread that watches its agent");
}
