//! Tasks on a GPU: the whole worker with the CUDA executor, on the fakes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use agent::RunError;
use agent::config::Config;
use kernels::module::fatbin_digest;
use protocol::lease::{FaultKind, Output};
use protocol::receipt::Leaf;
use protocol::{Sha256Digest, TaskId};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{FIRST, Gpus};
use crate::gateway::{self, Gateway, lock};
use crate::pool::{Pool, copy_task, hash_task, lease, product_task, serve_quotes, write_config};

/// Debug builds on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

fn output(gateway: &Gateway, number: u64) -> Vec<u8> {
    let task = TaskId::from_parts(number, 0);
    let acks = gateway.acked();
    let ack = acks.iter().find(|ack| ack.lease.task == task).unwrap();
    match &ack.output {
        Output::Inline(bytes) => bytes.to_vec(),
        Output::Uploaded { sha256, .. } => lock(&gateway.outputs)[&sha256.to_string()].clone(),
    }
}

/// Task 4's input is too large for an ack to carry its output.
const LARGE: usize = 300_000;

fn tasks() -> [protocol::lease::Lease; 5] {
    let ones: Vec<u8> = [0x80, 0x3f].repeat(4);
    [
        hash_task(1, &[b"abc"]),
        product_task(2, 16),
        lease(
            3,
            "gemm_bf16",
            json!({"m": 2, "n": 2, "k": 2}),
            &[&ones, &ones],
        ),
        copy_task(4, &vec![9; LARGE]),
        lease(5, "softmax", json!({"rows": 1, "columns": 4}), &[&[0; 16]]),
    ]
}

fn assert_computed(gateway: &Gateway) {
    assert_eq!(output(gateway, 1), Sha256Digest::of(b"abc").as_bytes());
    assert_eq!(output(gateway, 2), 16.0_f32.to_le_bytes().repeat(256));
    assert_eq!(output(gateway, 3), [0x00, 0x40].repeat(4));
    assert_eq!(output(gateway, 4), vec![9; LARGE]);
    assert_eq!(output(gateway, 5), 0.25_f32.to_le_bytes().repeat(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_on_the_gpu_that_receipts_and_claims_name() {
    let Some(gpus) = Gpus::start(2, "") else {
        return;
    };
    let configured = |config: String| gpus.configured(&config);
    let mut pool = Pool::start_in(gpus.world(), configured, |_| {}).await;
    pool.state().queue(tasks());
    pool.until("five acks", |gateway| gateway.acked().len() == 5)
        .await;
    assert_computed(pool.state());
    for ack in pool.state().acked() {
        let leaf = Leaf::decode(&ack.leaf).unwrap();
        assert_eq!(leaf.executor, "cuda");
        assert_eq!(leaf.module_digest, fatbin_digest());
        assert_eq!(leaf.gpu_uuid.as_deref(), Some(FIRST));
    }
    let claims = pool.state().claims();
    assert_eq!(claims.module_digest, *fatbin_digest().as_bytes());
    let names: Vec<_> = claims
        .libraries
        .iter()
        .map(|library| library.name.as_str())
        .collect();
    assert_eq!(names, ["libnvidia-ml", "libcuda", "libcublasLt"]);
    let file = std::fs::read(gpus.folder.path().join("libcuda.so")).unwrap();
    assert_eq!(
        claims.libraries[1].digest,
        *Sha256Digest::of(&file).as_bytes()
    );
    // The agent, which is this process, asks NVML and never touches CUDA.
    assert!(maps(std::process::id(), "libnvidia_ml") && !maps(std::process::id(), "libcuda"));
    pool.stop().await;
}

/// The program as it ships, under nothing but a library path.
struct Worker {
    process: Child,
}

impl Worker {
    fn start(config: &Path, libraries: &Path) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_cocoon-worker"))
            .args(["--config", config.to_str().unwrap()])
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { process }
    }

    /// The executor child.
    fn child(&self) -> Option<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()?;
        let lists = tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
        lists
            .collect::<String>()
            .split_whitespace()
            .find_map(|id| id.parse().ok())
    }

    fn stop(mut self) {
        let process = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(process, Signal::TERM).unwrap();
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Of which libraries a file is mapped into the process.
fn maps(process_id: u32, library: &str) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{process_id}/maps")).unwrap();
    maps.lines().any(|line| line.contains(library))
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, waiting).await;
    waited.unwrap_or_else(|_| panic!("{what} did not happen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unmodified_program_computes_on_a_gpu() {
    // Under NVIDIA's root a simulated report verifies nowhere, so confidential computing is off.
    let Some(gpus) = Gpus::start(1, "FAKE_NVML_CC=0") else {
        return;
    };
    let libraries = gpus.folder.path();
    std::fs::hard_link(
        libraries.join("libnvidia_ml.so"),
        libraries.join("libnvidia-ml.so.1"),
    )
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway::start().await;
    let _broker = serve_quotes(folder.path());
    let path = write_config(folder.path(), &gateway);
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, gpus.configured(&config)).unwrap();
    let worker = Worker::start(&path, libraries);
    gateway.state.queue(tasks());
    until("five acks", || gateway.state.acked().len() == 5).await;
    assert_computed(&gateway.state);
    let child = worker.child().unwrap();
    assert!(maps(child, "libcuda"));
    let environment = std::fs::read_to_string(format!("/proc/{child}/environ")).unwrap();
    assert!(
        environment.contains("CUDA_DISABLE_PTX_JIT=1"),
        "{environment}"
    );
    worker.stop();
}

/// A lost child costs its tasks an attempt at most; a task beside it none.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_lost_is_replaced_and_tasks_beside_it_lose_nothing() {
    let Some(gpus) = Gpus::start(1, "") else {
        return;
    };
    let configured = |config: String| gpus.configured(&config);
    let mut pool = Pool::start_in(gpus.world(), configured, |_| {}).await;
    // No canary has it, so that the device passes for sound.
    gpus.set_cuda("FAKE_CUDA_FAULT=reduce_max");
    let largest = || {
        let parameters = json!({"rows": 1, "columns": 2, "kind": "max"});
        let numbers = [1.0_f32.to_le_bytes(), 2.0_f32.to_le_bytes()].concat();
        lease(5, "reduce", parameters, &[&numbers])
    };
    let [hash, product, short, copy, _] = tasks();
    pool.state().queue([hash, product, short, copy, largest()]);
    pool.until("four acks and a nack", |gateway| {
        gateway.acked().len() == 4 && lock(&gateway.nacks).len() == 1
    })
    .await;
    let nack = lock(&pool.state().nacks)[0].nacks[0].clone();
    assert_eq!(
        (nack.lease.task, nack.fault.kind),
        (TaskId::from_parts(5, 0), FaultKind::Failed)
    );
    gpus.set_cuda("");
    pool.state().queue([largest()]);
    pool.until("the fifth ack", |gateway| gateway.acked().len() == 5)
        .await;
    assert_eq!(output(pool.state(), 1), Sha256Digest::of(b"abc").as_bytes());
    assert_eq!(output(pool.state(), 4), vec![9; LARGE]);
    assert_eq!(output(pool.state(), 5), 2.0_f32.to_le_bytes());
    pool.stop().await;
}

/// With the model, where there is one: a canary takes a text then.
#[expect(
    clippy::disallowed_methods,
    reason = "a test asks where the model lies"
)]
fn with_model(config: String) -> String {
    let Some(folder) = std::env::var_os("COCOON_MODEL").map(PathBuf::from) else {
        println!("SKIPPED a canary's text: COCOON_MODEL names no folder with the model");
        return config;
    };
    let folder = folder.display();
    format!("{config}\n[model]\ndirectory = \"{folder}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_that_is_broken_costs_one_attempt_and_is_in_quarantine_until_a_canary_ran_well() {
    let Some(gpus) = Gpus::start(1, "") else {
        return;
    };
    let configured = |config: String| with_model(gpus.configured(&config));
    let mut pool = Pool::start_in(gpus.world(), configured, |_| {}).await;
    gpus.set_cuda("FAKE_CUDA_FAULT=sha256_batch");
    pool.state().queue([hash_task(1, &[b"abc"])]);
    let nacked = |gateway: &Gateway| lock(&gateway.nacks).len() == 1;
    pool.until("a nack", nacked).await;
    // The next child's canary tells.
    while !pool.asked("/readyz").await.contains("quarantine") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let metrics = pool.asked("/metrics").await;
    assert!(
        metrics.contains("cocoon_worker_quarantined 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("cocoon_worker_quarantines_total 1\n"),
        "{metrics}"
    );
    pool.until("a heartbeat that says so", |gateway| {
        lock(&gateway.telemetry)
            .as_ref()
            .is_some_and(|telemetry| telemetry.quarantined)
    })
    .await;
    pool.state().queue([hash_task(5, &[b"abc"])]);
    // Longer than a lease request waits for an answer: the task would have come.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(pool.state().acked().is_empty());
    gpus.set_cuda("");
    pool.until("an ack", |gateway| gateway.acked().len() == 1)
        .await;
    assert_eq!(output(pool.state(), 5), Sha256Digest::of(b"abc").as_bytes());
    assert!(pool.asked("/readyz").await.ends_with("\r\n\r\nready\n"));
    pool.stop().await;
}

fn config_with(gpus: &Gpus, folder: &Path, address: &str, gpu: &str) -> PathBuf {
    let path = folder.join("worker.toml");
    std::fs::write(folder.join("secret"), "42".repeat(32)).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = rcgen::CertificateParams::default()
        .self_signed(&key)
        .unwrap();
    std::fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    let libraries = gpus.folder.path().display();
    let folder = folder.display();
    let text = format!(
        r#"
        worker_id = "worker-1"
        enrolment_secret_file = "{folder}/secret"
        quote_socket = "{folder}/quote.sock"
        executor = "cuda"
        metrics_listen = "127.0.0.1:0"
        state_dir = "{folder}"
        [gateway]
        address = "{address}"
        server_name = "localhost"
        pool_ca_file = "{folder}/ca.pem"
        [gpu]
        cuda_libraries = "{libraries}"
        {gpu}
        "#
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn a_gpu_that_is_not_clear_is_refused_by_name() {
    let Some(gpus) = Gpus::start(2, "") else {
        return;
    };
    let refused = async |gpu: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = config_with(&gpus, folder.path(), "localhost:1", gpu);
        let config = Config::load(&path).unwrap();
        agent::run(config, gpus.world(), CancellationToken::new())
            .await
            .unwrap_err()
    };
    let RunError::GpuChoice(seen) = refused("").await else {
        panic!("a choice")
    };
    assert!(
        seen.contains(FIRST) && seen.contains("000000000001"),
        "{seen}"
    );
    let unknown = refused("device = \"GPU-1\"").await;
    assert!(matches!(unknown, RunError::GpuUnknown { wanted, .. } if wanted == "GPU-1"));
}
