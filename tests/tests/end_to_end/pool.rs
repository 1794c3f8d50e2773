//! What the tests share: a pool in a temporary folder, tasks, and waiting for them.

use std::path::PathBuf;
use std::time::Duration;

use client::Gateway;
use client::task::{Input, PreparedTask, Unobserved};
use protocol::api::TaskView;
use protocol::task::TaskState;
use protocol::{TaskId, WorkerId};
use serde_json::Value;
use tempfile::TempDir;
use tests::fleet::{Fleet, FleetOptions, wait_until_async};

/// Side of a square product that takes an executor long enough to be interrupted.
pub(crate) const SLOW_SIDE: usize = 1_024;

/// Long enough for anything here on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// Of each log, when a test fails.
const LOG_LINES: usize = 60;

/// A running pool and the folder that goes with it.
pub(crate) struct Pool {
    pub(crate) fleet: Fleet,
    pub(crate) workers: Vec<WorkerId>,
    _logs: LogsOfFailure,
    /// Removed after the fleet has stopped: fields are dropped in order.
    pub(crate) folder: TempDir,
}

/// Shows the end of every log when the test fails: the folder is gone afterwards.
struct LogsOfFailure(PathBuf);

impl Drop for LogsOfFailure {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let start = text.lines().count().saturating_sub(LOG_LINES);
                eprintln!("── last lines of {}", path.display());
                text.lines()
                    .skip(start)
                    .for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

impl Pool {
    /// A pool with so many admitted workers.
    pub(crate) async fn start(workers: usize) -> Self {
        Self::with_leases(workers, protocol::limits::LEASE_DURATION_S_DEFAULT).await
    }

    /// The same, with leases of another length.
    pub(crate) async fn with_leases(workers: usize, lease_duration_s: u32) -> Self {
        Self::with_options(workers, |options| {
            options.lease_duration_s = lease_duration_s;
        })
        .await
    }

    /// The same, with workers that have a model.
    pub(crate) async fn with_model(workers: usize, model: PathBuf) -> Self {
        Self::with_options(workers, |options| options.model = Some(model)).await
    }

    async fn with_options(workers: usize, change: impl FnOnce(&mut FleetOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = FleetOptions::in_folder(&folder.path().join("pool"));
        change(&mut options);
        let fleet = Fleet::start(options).await.unwrap();
        let mut pool = Self {
            fleet,
            workers: Vec::new(),
            _logs: LogsOfFailure(folder.path().join("pool")),
            folder,
        };
        for number in 1..=workers {
            let id = pool
                .fleet
                .add_worker(&format!("worker-{number}"))
                .await
                .unwrap();
            pool.workers.push(id);
        }
        for id in &pool.workers {
            pool.fleet.wait_live(id).await.unwrap();
        }
        pool
    }

    pub(crate) fn client(&self) -> Gateway {
        self.fleet.client().unwrap()
    }

    /// Submits a task as `cocoon` does: large inputs are uploaded first.
    pub(crate) async fn submit(
        &self,
        operation: &str,
        parameters: Value,
        inputs: &[Vec<u8>],
    ) -> TaskView {
        let parameters = serde_json::from_value(parameters).unwrap();
        let inputs = inputs.iter().cloned();
        let inputs = inputs.map(|bytes| Input::from_bytes("input", bytes));
        let task = PreparedTask::new(operation, None, parameters, inputs.collect()).unwrap();
        let submitted = task.submit(&self.client(), &mut Unobserved).await;
        submitted.unwrap()
    }

    /// A product of two matrices of ones, each of whose elements is the side's length.
    pub(crate) async fn submit_slow(&self) -> TaskView {
        let ones = 1.0_f32.to_le_bytes().repeat(SLOW_SIDE * SLOW_SIDE);
        let parameters = serde_json::json!({"m": SLOW_SIDE, "n": SLOW_SIDE, "k": SLOW_SIDE});
        self.submit("gemm", parameters, &[ones.clone(), ones]).await
    }

    /// Waits until the task is in this state.
    pub(crate) async fn wait_state(&self, task: TaskId, state: TaskState) -> TaskView {
        let client = self.client();
        let mut seen = None;
        wait_until_async(LIMIT, &format!("{task} to be {state}"), async || {
            let view = client.task(task).await?;
            let there = view.state == state;
            seen = Some(view);
            Ok(there)
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}; last seen: {seen:?}"));
        seen.unwrap()
    }

    /// The output's bytes, compared with their digest.
    pub(crate) async fn output(&self, task: &TaskView) -> Vec<u8> {
        let path = self.folder.path().join(format!("{}.output", task.id));
        let mut file = tokio::fs::File::create(&path).await.unwrap();
        let wanted = task.output.expect("a succeeded task has an output");
        self.client()
            .download(task.id, wanted, &mut file, |_| ())
            .await
            .unwrap();
        std::fs::read(&path).unwrap()
    }

    /// What the receipt's leaf says, once the receipt was verified.
    pub(crate) async fn leaf(&self, task: &TaskView) -> protocol::receipt::Leaf {
        let receipt = self.client().receipt(task.id).await.unwrap();
        let verified = receipt.verify().unwrap();
        assert_eq!(verified.leaf().task_digest, task.digest);
        verified.leaf().clone()
    }
}
