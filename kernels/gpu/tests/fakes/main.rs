//! The whole program on the fake driver: what a GPU is asked for runs to its end. The figures mean nothing there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

/// On a machine whose only driver is the fake.
fn gpu(arguments: &[&str]) -> (Output, String, String) {
    let folder = tempfile::tempdir().unwrap();
    fake_cuda::install(folder.path()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gpu"))
        .args(arguments)
        .env_clear()
        .env("LD_LIBRARY_PATH", folder.path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the other tests of the model read the same variable"
)]
fn model() -> Option<String> {
    std::env::var("COCOON_MODEL").ok()
}

#[test]
fn every_part_runs_to_its_end() {
    let model = model();
    let mut arguments = vec!["--quick"];
    arguments.extend(model.iter().flat_map(|folder| ["--model", folder]));
    let (output, stdout, stderr) = gpu(&arguments);
    assert!(output.status.success(), "{stderr}");
    for part in [
        "parity: ",
        "faults: ",
        "| copy within the device ",
        "| gemm_bf16 ",
        "| layer_norm ",
        "| one task through the executor ",
        "PyTorch: not measured (",
    ] {
        assert!(stdout.contains(part), "{part}\n{stdout}\n{stderr}");
    }
    assert!(stderr.contains("Fake H100"), "{stderr}");
    let embed = if model.is_some() {
        "parity: embed of texts of"
    } else {
        println!("SKIPPED embed: COCOON_MODEL names no folder");
        "parity: embed SKIPPED"
    };
    assert!(stdout.contains(embed), "{stdout}\n{stderr}");
}

#[test]
fn a_gpu_that_is_not_there_is_named() {
    let (output, _, stderr) = gpu(&["parity", "--device", "GPU-0"]);
    assert!(!output.status.success());
    assert!(
        stderr.contains("there is no GPU GPU-0; CUDA sees GPU-"),
        "{stderr}"
    );
}

#[test]
fn a_machine_without_a_driver_is_told_what_to_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_gpu"))
        .args(["parity", "--quick", "--device", "GPU-none"])
        .env_clear()
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // With a real driver the GPU is the one that is missing.
    let told = ["install the NVIDIA driver", "there is no GPU GPU-none"];
    assert!(!output.status.success());
    assert!(told.iter().any(|told| stderr.contains(told)), "{stderr}");
}
