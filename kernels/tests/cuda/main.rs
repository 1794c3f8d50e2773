//! The CUDA executor as a child process, on the fake driver of `kernels/fakes/cuda`, which runs the kernels that ship on the
//! CPU.
//!
//! This test binary executes itself as the child, as `cocoon-worker` does: the test named [`MAIN`] becomes the child when
//! the environment names a GPU, and does nothing otherwise.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests print and fail as tests do"
)]

mod embed;
mod endurance;
mod faults;
mod lots;
mod parity;
mod start;
mod traces;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kernels::executor::cuda::CudaExecutor;
use kernels::executor::{
    Clock, ConnectionError, ExecutorChild, Outcome, Program, SpawnError, Work, serve_stdin,
};
use protocol::task::{InputDescriptor, TaskBody};
use serde_json::Value;

/// The test to execute, and the variable that makes it a child, with the UUID of the GPU it is to use.
const MAIN: &str = "child_main";
const DEVICE: &str = "TEST_CUDA_DEVICE";
/// The folder of the model that it is to have, if any.
const MODEL: &str = "TEST_CUDA_MODEL";
/// The file in which it is to say what it is refused.
const REFUSED: &str = "TEST_CUDA_REFUSED";
/// A GPU to use in this process, which is no child then.
const BROKEN_OFF: &str = "TEST_CUDA_BROKEN_OFF";
/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);
/// The first GPU of the fake, as it writes it.
const UUID: &str = "GPU-00000000-fa4e-0000-0000-000000000000";

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the configuration of a test's child"
)]
fn child_main() {
    if let Ok(uuid) = std::env::var(BROKEN_OFF) {
        faults::break_off(&uuid);
    }
    if let Ok(uuid) = std::env::var(DEVICE) {
        // How it ends is what tests are about that see it from outside.
        let model = std::env::var_os(MODEL).map(PathBuf::from);
        if let Some(path) = std::env::var_os(REFUSED) {
            std::thread::spawn(move || start::say_what_is_refused(std::path::Path::new(&path)));
        }
        drop(serve_stdin(|| CudaExecutor::start(&uuid, model.as_deref())));
    }
}

/// Processes, descriptors and memory are counted, so tests that start children take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "a test is its own world")]
fn clock() -> Clock {
    Arc::new(Instant::now)
}

/// A machine with fake GPUs.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fake_cuda::install(folder.path()).unwrap();
        let machine = Self { folder };
        machine.set(settings);
        machine
    }

    /// Other settings of the driver, from its next call on.
    fn set(&self, settings: &str) {
        let folder = self.folder.path();
        // The library reads the file at every call, so it must never see a part of it.
        std::fs::write(folder.join("new"), settings).unwrap();
        std::fs::rename(folder.join("new"), folder.join("fake-cuda.env")).unwrap();
    }

    fn program(&self, uuid: &str) -> Program {
        Program {
            path: "/proc/self/exe".into(),
            arguments: ["--exact", MAIN, "--nocapture"].map(Into::into).to_vec(),
            environment: vec![
                (DEVICE.into(), uuid.into()),
                ("LD_LIBRARY_PATH".into(), self.folder.path().into()),
                ("CUDA_DISABLE_PTX_JIT".into(), "1".into()),
            ],
        }
    }

    fn try_spawn(&self, uuid: &str) -> Result<ExecutorChild, SpawnError> {
        ExecutorChild::spawn(&self.program(uuid), clock(), LIMIT)
    }

    fn spawn(&self) -> ExecutorChild {
        self.try_spawn(UUID).unwrap()
    }
}

fn work(operation: &str, parameters: Value, inputs: &[&[u8]]) -> Work {
    let body = TaskBody {
        operation: operation.to_owned(),
        version: 1,
        parameters: serde_json::from_value(parameters).unwrap(),
        inputs: inputs
            .iter()
            .map(|input| InputDescriptor::of(input))
            .collect(),
    };
    let inputs = inputs.iter().map(|input| input.to_vec().into()).collect();
    Work::parse(body.canonical().unwrap().into(), inputs).unwrap()
}

fn digest(message: &[u8]) -> Work {
    work("sha256_batch", serde_json::json!({}), &[message])
}

fn digested(message: &[u8]) -> Outcome {
    Outcome::Done(protocol::Sha256Digest::of(message).as_bytes().to_vec())
}

/// What the CPU definition makes of it.
fn defined(work: &Work) -> Vec<u8> {
    let inputs: Vec<&[u8]> = work.inputs().iter().map(AsRef::as_ref).collect();
    let mut output = vec![0xa5; usize::try_from(work.call().output_bytes()).unwrap()];
    kernels::operations::run(work.call(), &inputs, &mut output).unwrap();
    output
}

/// Runs the works; every outcome by index.
fn run(
    child: &mut ExecutorChild,
    works: &[Work],
    limit: Duration,
) -> (Vec<Outcome>, Result<(), ConnectionError>) {
    let mut seen = vec![None; works.len()];
    let end = child.run(works, limit, &mut |index, outcome| {
        assert_eq!(seen[index].replace(outcome), None, "work {index} twice");
    });
    let seen = seen.into_iter().map(|outcome| outcome.expect("an outcome"));
    (seen.collect(), end)
}

/// Numbers that look random and are the same each time (splitmix64, Steele and others 2014).
fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
