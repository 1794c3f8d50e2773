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
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Set for the process that is to run the test of this name.
const WORLD: &str = "COCOON_CUDA_WORLD";

/// `real`: not the fake.
const DRIVER: &str = "COCOON_CUDA_DRIVER";

/// Held while a test is at the real device.
static DEVICE: Mutex<()> = Mutex::new(());

/// Runs the closure of a test in a process that has the driver; with the fake once more where work waits for whoever waits
/// for it, since no promise depends on when it runs.
fn promised<Body: FnOnce()>(body: Body) {
    in_worlds(&[&[], &[("FAKE_CUDA_LAZY", "1")]], body);
}

/// The same with a fake that is told to behave so; nothing makes a real GPU do it, for this reason.
fn simulated<Body: FnOnce()>(reason: &str, settings: Settings<'_>, body: Body) {
    if variable(DRIVER).as_deref() == Some("real") {
        println!("SKIPPED on a real driver: {reason}");
        return;
    }
    in_worlds(&[settings], body);
}

/// Other settings of the fake from here on.
fn set(settings: &str) {
    let folder = PathBuf::from(variable("LD_LIBRARY_PATH").unwrap());
    std::fs::write(folder.join("fake-cuda.env"), settings).unwrap();
}

/// Settings of the fake.
type Settings<'a> = &'a [(&'a str, &'a str)];

fn in_worlds<Body: FnOnce()>(worlds: &[Settings<'_>], body: Body) {
    // The closure's type is named after the test that it stands in: `conformance::memory::a_test::{{closure}}`.
    let name = type_name::<Body>().trim_end_matches("::{{closure}}");
    let (_, test) = name.split_once("::").unwrap();
    if variable(WORLD).as_deref() == Some(test) {
        return body();
    }
    let is_real = variable(DRIVER).as_deref() == Some("real");
    // A fake has a device of its own. A real one is all tests', and counts the memory of them all.
    let _turn = is_real.then(|| DEVICE.lock().unwrap_or_else(PoisonError::into_inner));
    for settings in worlds.iter().take(if is_real { 1 } else { worlds.len() }) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", test, "--nocapture"])
            .env(WORLD, test);
        let folder = tempfile::tempdir().unwrap();
        if !is_real {
            fake_cuda::install(folder.path()).unwrap();
            command.env("LD_LIBRARY_PATH", folder.path());
            command.envs(settings.iter().copied());
        }
        let output = command.output().unwrap();
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        // A name that is no test of this binary would run nothing.
        let has_passed = output.status.success() && stdout.contains("1 passed");
        assert!(
            has_passed,
            "{test} {settings:?}: {}\n{stdout}\n{stderr}",
            output.status
        );
        // What was skipped in there is skipped here.
        stdout
            .lines()
            .filter(|line| line.starts_with("SKIPPED"))
            .for_each(|line| println!("{line}"));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the configuration of a test's child"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
