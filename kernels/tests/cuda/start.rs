//! What a child says of itself, and each reason for which there is none.

use kernels::executor::{ConnectionError, ExecutorKind, Exit, SpawnError};
use kernels::module;
use protocol::Sha256Digest;

use super::{LIMIT, MAIN, Machine, UUID, alone};

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
        ("libcuda", "13.0")
    );
    assert_eq!(blas.name, "libcublasLt");
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
    assert!(without(&blas).contains("libcublasLt.so cannot be loaded"));
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
