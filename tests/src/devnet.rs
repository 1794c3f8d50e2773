//! The devnet: a whole pool on this machine that does real work and shows what it proves. Quotes are simulated, and every
//! screen says so.

mod embed;
mod folder;
pub(crate) mod proof;
mod screen;
pub(crate) mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use client::Gateway;
use client::task::Unobserved;
use protocol::TaskId;
use protocol::api::TaskView;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::fleet::{Fleet, FleetOptions, WorkerExecutor};
use folder::Folder;
use proof::Proof;
use work::Work;

/// Enough to try every kill one likes, few enough to end a loop of failures.
const REVIVALS_MAX: u32 = 50;
/// How often the processes are looked at while the devnet waits for Ctrl-C.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A gateway and simulated workers on this machine, with real tasks. SIMULATED: the quotes prove nothing.
#[derive(Debug, Parser)]
#[command(name = "cargo devnet", bin_name = "cargo devnet")]
pub struct Arguments {
    /// Stop when the work is done and exit 0 if every output and receipt held, 1 otherwise.
    #[arg(long)]
    pub once: bool,

    /// Workers to start.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub workers: u16,

    /// Seed of the simulated platform: keys and measurements follow from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Where configuration, state, logs and receipts go. Emptied at the start.
    #[arg(long, value_name = "DIR", default_value_os_t = folder::default_folder())]
    pub folder: PathBuf,

    /// Folder of the model that `embed` computes with; without it, nothing is embedded.
    #[arg(long, value_name = "DIR", env = "COCOON_MODEL")]
    pub model: Option<PathBuf>,

    /// What the workers compute on: `cpu`, or `cuda`, this machine's GPU, which is not attested here.
    #[arg(long, value_enum, default_value_t = Executor::Cpu)]
    pub executor: Executor,

    /// The GPU, as `nvidia-smi -L` names it; needed where the machine has several.
    #[arg(long, value_name = "UUID")]
    pub gpu_device: Option<String>,

    /// Folder of cuBLASLt, where the dynamic loader does not know it.
    #[arg(long, value_name = "DIR")]
    pub cuda_libraries: Option<PathBuf>,

    /// Files to digest and transform; without any, this repository's own sources.
    pub files: Vec<PathBuf>,
}

/// `--executor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Executor {
    Cpu,
    Cuda,
}

impl Arguments {
    fn worker_executor(&self) -> Result<WorkerExecutor> {
        let (device, libraries) = (self.gpu_device.clone(), self.cuda_libraries.clone());
        if let Some(folder) = libraries.as_ref().filter(|folder| !folder.is_dir()) {
            bail!("--cuda-libraries: there is no folder {}", folder.display());
        }
        if self.executor == Executor::Cuda {
            return Ok(WorkerExecutor::Cuda { device, libraries });
        }
        ensure!(
            device.is_none() && libraries.is_none(),
            "--gpu-device and --cuda-libraries have a meaning only with --executor cuda"
        );
        Ok(WorkerExecutor::Cpu)
    }
}

/// Runs the devnet; `false` when an output or a receipt did not hold. A signal ends it, and every process with it.
pub async fn run(arguments: Arguments) -> Result<bool> {
    screen::banner();
    // Before anything is started or emptied: a file that cannot be read is found now.
    let executor = arguments.worker_executor()?;
    let files = work::files(&arguments.files)?;
    let folder = Folder::take(&arguments.folder)?;
    let mut signals = Signals::listen()?;
    let (mut fleet, held) = tokio::select! {
        outcome = start_and_prove(&arguments, executor, &files, &folder) => outcome?,
        () = signals.next() => bail!("interrupted; every process was killed"),
    };
    if !arguments.once {
        crate::fleet::write_environment(&fleet)?;
        screen::keeps_running(&fleet);
        watch(&mut fleet, &mut signals).await?;
    }
    screen::step(
        "stopping: running tasks finish or are given back, within a minute; Ctrl-C again ends everything at once",
    );
    tokio::select! {
        stopped = fleet.stop() => stopped?,
        () = signals.next() => bail!("interrupted while stopping; what still ran was killed"),
    }
    Ok(held)
}

async fn start_and_prove(
    arguments: &Arguments,
    executor: WorkerExecutor,
    files: &[PathBuf],
    folder: &Folder,
) -> Result<(Fleet, bool)> {
    let mut works = work::plan(files)?;
    if arguments.model.is_some() {
        works.extend(embed::plan()?);
    } else {
        screen::step("no --model: no worker offers embed");
    }
    let mut fleet = start(arguments, executor, folder.path()).await?;
    match work_and_prove(&mut fleet, &works, &folder.receipts()).await {
        Ok(proofs) => Ok((fleet, screen::summary(&proofs, &folder.receipts()))),
        Err(error) => {
            screen::logs(&mut fleet);
            Err(error)
        }
    }
}

async fn start(arguments: &Arguments, executor: WorkerExecutor, folder: &Path) -> Result<Fleet> {
    let options = FleetOptions {
        seed: arguments.seed,
        // Ctrl-C is the devnet's to answer: it stops the workers before their gateway.
        own_process_groups: true,
        model: arguments.model.clone(),
        executor,
        ..FleetOptions::in_folder(folder)
    };
    screen::step("gateway: starting, with the simulator's root as its trust anchor");
    let mut fleet = Fleet::start(options).await?;
    let mut workers = Vec::new();
    for number in 1..=arguments.workers {
        workers.push(fleet.add_worker(&format!("worker-{number}")).await?);
    }
    for id in &workers {
        let view = fleet.wait_live(id).await?;
        screen::admitted(&view);
    }
    Ok(fleet)
}

async fn work_and_prove(fleet: &mut Fleet, works: &[Work], receipts: &Path) -> Result<Vec<Proof>> {
    let client = fleet.client()?;
    let tasks = submit(&client, works).await?;
    let views = wait(&client, &tasks).await?;
    let bar = screen::bar("outputs and receipts", views.len());
    let mut proofs = Vec::new();
    for (work, view) in works.iter().zip(views) {
        let proof = proof::prove(&client, fleet.platform(), work, view, receipts).await?;
        proofs.push(proof);
        bar.inc(1);
    }
    bar.finish();
    screen::workers(&fleet.operator()?.workers().await?.workers);
    screen::tasks(&proofs);
    Ok(proofs)
}

/// As `cocoon submit` does it: large inputs are uploaded first, and a gateway that takes another task is found at once.
async fn submit(client: &Gateway, works: &[Work]) -> Result<Vec<TaskId>> {
    let bar = screen::bar("submitting", works.len());
    let mut tasks = Vec::new();
    for work in works {
        tasks.push(work.task.submit(client, &mut Unobserved).await?.id);
        bar.inc(1);
    }
    bar.finish();
    Ok(tasks)
}

async fn wait(client: &Gateway, tasks: &[TaskId]) -> Result<Vec<TaskView>> {
    let bar = screen::bar("running", tasks.len());
    let mut views = Vec::new();
    for &task in tasks {
        views.push(client.wait_task(task, |_| ()).await?);
        bar.inc(1);
    }
    bar.finish();
    Ok(views)
}

/// Until a signal. A process that somebody kills is started again, as systemd would; one that keeps ending is an error.
async fn watch(fleet: &mut Fleet, signals: &mut Signals) -> Result<()> {
    let mut interval = tokio::time::interval(WATCH_INTERVAL);
    let mut revivals = 0;
    loop {
        tokio::select! {
            () = signals.next() => return Ok(()),
            _ = interval.tick() => {
                for (name, status) in fleet.revive().await? {
                    revivals += 1;
                    screen::step(&format!("{name} ended ({status}); it is started again"));
                    if revivals > REVIVALS_MAX {
                        screen::logs(fleet);
                        bail!("processes ended by themselves more than {REVIVALS_MAX} times");
                    }
                }
            }
        }
    }
}

/// Ctrl-C, `kill`, and a terminal that is closed: none of them may leave a process behind.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executor(arguments: &[&str]) -> Result<WorkerExecutor> {
        let program = std::iter::once("devnet").chain(arguments.iter().copied());
        Arguments::try_parse_from(program)?.worker_executor()
    }

    #[test]
    fn a_gpu_is_named_only_where_one_computes() {
        assert!(matches!(executor(&[]).unwrap(), WorkerExecutor::Cpu));
        let cuda = executor(&["--executor", "cuda", "--gpu-device", "GPU-1"]).unwrap();
        let WorkerExecutor::Cuda { device, .. } = cuda else {
            panic!("{cuda:?}")
        };
        assert_eq!(device.as_deref(), Some("GPU-1"));
        for option in ["--gpu-device", "--cuda-libraries"] {
            let refused = executor(&[option, "/"]).unwrap_err().to_string();
            assert!(refused.contains("--executor cuda"), "{refused}");
        }
        let missing = executor(&["--executor", "cuda", "--cuda-libraries", "/none"]);
        assert!(missing.unwrap_err().to_string().contains("no folder /none"));
        assert!(executor(&["--executor", "gpu"]).is_err());
    }
}
