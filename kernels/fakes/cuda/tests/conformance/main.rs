//! What CUDA promises, held against the fake driver, and by the same program against a real one.
//!
//! Each test is a process of its own, since a fault loses the whole process. `COCOON_CUDA_DRIVER=real` runs them against
//! the machine's driver; what cannot be provoked there is named as skipped.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests print and fail as tests do"
)]
#![expect(unsafe_code, reason = "the calls of CUDA's C interface")]

#[cfg(test)]
mod faults;
#[cfg(test)]
mod gpu;
#[cfg(test)]
mod graphs;
#[cfg(test)]
mod launches;
#[cfg(test)]
mod matmul;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod start;
#[cfg(test)]
mod streams;

use std::any::type_name;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Set for the process that is to run the test of this name.
const WORLD: &str = "COCOON_CUDA_WORLD";

/// `real`: not the fake.
const DRIVER: &str = "COCOON_CUDA_DRIVER";

/// Runs the closure of a test in a process that has the driver.
fn promised<Body: FnOnce()>(body: Body) {
    in_world(&[], body);
}

/// The same with a fake that is told to behave so; nothing makes a real GPU do it, for this reason.
fn simulated<Body: FnOnce()>(reason: &str, settings: &[(&str, &str)], body: Body) {
    if variable(DRIVER).as_deref() == Some("real") {
        println!("SKIPPED on a real driver: {reason}");
        return;
    }
    in_world(settings, body);
}

/// Other settings of the fake from here on.
fn set(settings: &str) {
    let folder = PathBuf::from(variable("LD_LIBRARY_PATH").unwrap());
    std::fs::write(folder.join("fake-cuda.env"), settings).unwrap();
}

fn in_world<Body: FnOnce()>(settings: &[(&str, &str)], body: Body) {
    // The closure's type is named after the test that it stands in: `conformance::memory::a_test::{{closure}}`.
    let name = type_name::<Body>().trim_end_matches("::{{closure}}");
    let (_, test) = name.split_once("::").unwrap();
    if variable(WORLD).as_deref() == Some(test) {
        return body();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(WORLD, test);
    let folder = tempfile::tempdir().unwrap();
    if variable(DRIVER).as_deref() != Some("real") {
        fake_cuda::install(folder.path()).unwrap();
        command.env("LD_LIBRARY_PATH", folder.path());
        command.envs(settings.iter().copied());
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    // A name that is no test of this binary would run nothing.
    assert!(
        status.success() && stdout.contains("1 passed"),
        "{test}: {status}\n{stdout}\n{stderr}"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the configuration of a test's child"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
