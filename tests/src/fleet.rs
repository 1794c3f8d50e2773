//! A whole pool on this machine: one gateway and any number of workers as separate processes on loopback, with simulated
//! quotes. Everything but the gateway's trust anchor is what ships.
//!
//! ```text
//! Fleet (this process): simulated quote broker ◀── Unix socket ── cocoon-worker (unmodified)
//!    │ starts                                                        │ attested TLS
//!    └─▶ devnet-gateway: gateway::run with the simulator's root ◀────┘
//! ```

mod binaries;
mod environment;
mod process;
mod setup;
mod usage;
mod wait;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use client::Gateway;
use protocol::WorkerId;
use protocol::api::{WorkerState, WorkerView};
use serde::Deserialize;
use simulator::{QuoteVersion, SimulatedPlatform, TdOptions, broker};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use binaries::binary;
pub use environment::write_environment;
pub use process::Process;
pub use setup::{Access, now_s};
pub use usage::{Memory, cpu_time, memory};
pub use wait::{wait_until, wait_until_async};

/// Long enough for a debug build on a busy machine.
pub const START_LIMIT: Duration = Duration::from_mins(1);

/// What a fleet is made of.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// Holds every file of the fleet; must be empty or absent.
    pub folder: PathBuf,
    /// Seed of the simulated platform.
    pub seed: u64,
    /// A lost worker's tasks move on after this.
    pub lease_duration_s: u32,
    /// A terminal's Ctrl-C then reaches the fleet's owner alone, who must answer it. Otherwise the processes stand in their
    /// owner's group, and what ends that group ends them.
    pub own_process_groups: bool,
    /// The folder of the model that every worker gets; none: no worker offers `embed`.
    pub model: Option<PathBuf>,
    /// What the workers compute on.
    pub executor: WorkerExecutor,
    /// Tasks of one user that may wait at a time.
    pub queued_per_user_max: u32,
    /// Requests that one user may make of the API in a second.
    pub requests_per_user_per_s: u32,
    /// The address of a PostgreSQL server; none: SQLite.
    pub database: Option<String>,
}

/// What a fleet's workers compute on.
#[derive(Debug, Clone)]
pub enum WorkerExecutor {
    Cpu,
    /// This machine's GPU, all workers on the same one.
    Cuda {
        /// Its UUID, where the machine has several.
        device: Option<String>,
        /// The folder of cuBLASLt, where the dynamic loader does not know it.
        libraries: Option<PathBuf>,
    },
}

impl FleetOptions {
    /// Defaults for a folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            seed: 1,
            lease_duration_s: protocol::limits::LEASE_DURATION_S_DEFAULT,
            own_process_groups: false,
            model: None,
            executor: WorkerExecutor::Cpu,
            queued_per_user_max: gateway::config::QUEUED_PER_USER_DEFAULT,
            requests_per_user_per_s: gateway::config::REQUESTS_PER_USER_PER_S_DEFAULT,
            database: None,
        }
    }
}

/// A running pool. Dropping it kills every process.
#[derive(Debug)]
pub struct Fleet {
    options: FleetOptions,
    platform: Arc<SimulatedPlatform>,
    gateway: Process,
    listening: Listening,
    user: Access,
    operator: Access,
    workers: BTreeMap<WorkerId, Process>,
    brokers: JoinSet<()>,
    stop_brokers: CancellationToken,
}

/// Where a gateway listens, as it writes it down itself.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Listening {
    pub api: SocketAddr,
    pub worker: SocketAddr,
    pub metrics: SocketAddr,
}

impl Fleet {
    /// Prepares a folder as an operator would and starts the gateway.
    pub async fn start(options: FleetOptions) -> Result<Self> {
        let platform = Arc::new(SimulatedPlatform::from_seed(options.seed));
        setup::prepare(&options, &platform)?;
        let (gateway, listening) = start_gateway(&options).await?;
        let user = setup::create_access(&options.folder, "developer", "client")?;
        let operator = setup::create_access(&options.folder, "operator", "operator")?;
        Ok(Self {
            options,
            platform,
            gateway,
            listening,
            user,
            operator,
            workers: BTreeMap::new(),
            brokers: JoinSet::new(),
            stop_brokers: CancellationToken::new(),
        })
    }

    /// Enrols a worker on a simulated machine of its own, in the TD that the pool admits, and starts it.
    pub async fn add_worker(&mut self, id: &str) -> Result<WorkerId> {
        self.add_worker_in(id, self.platform.td()).await
    }

    /// The same in another TD.
    pub async fn add_worker_in(&mut self, id: &str, td: TdOptions) -> Result<WorkerId> {
        let id: WorkerId = id.parse()?;
        let created = self.operator()?.create_worker(&id).await?;
        let socket = self.serve_quotes(&id, td)?;
        setup::write_worker(&self.options, &created, self.listening.worker, &socket)?;
        self.start_worker(&id)?;
        Ok(id)
    }

    /// A simulated `cocoon-quote` on a machine of its own.
    fn serve_quotes(&mut self, id: &WorkerId, td: TdOptions) -> Result<PathBuf> {
        let socket = self.path(&format!("{id}.quote.sock"));
        let listener = UnixListener::bind(&socket).with_context(|| {
            let shown = socket.display();
            format!("cannot listen at {shown}; a socket's path has at most 107 bytes, so a shorter folder may help")
        })?;
        let machine =
            u16::try_from(self.workers.len()).context("too many workers for one fleet")?;
        let source = broker::QuoteSource {
            platform: Arc::new(SimulatedPlatform::machine(self.options.seed, machine)),
            td,
            version: QuoteVersion::V4,
        };
        self.brokers.spawn(broker::serve_source(
            listener,
            source,
            self.stop_brokers.clone(),
        ));
        Ok(socket)
    }

    /// Starts an enrolled worker (again).
    pub fn start_worker(&mut self, id: &WorkerId) -> Result<()> {
        let config = self.path(&format!("{id}/worker.toml"));
        let arguments = [
            OsStr::new("run"),
            OsStr::new("--config"),
            config.as_os_str(),
        ];
        let log = self.path(&format!("{id}.log"));
        let mut command = Process::command(&binary("cocoon-worker")?, &arguments, &self.options);
        let process = Process::start(id.as_str(), &mut command, &log)?;
        self.workers.insert(id.clone(), process);
        Ok(())
    }

    /// Waits until a worker is admitted; an error says why it was refused or how it ended.
    pub async fn wait_live(&mut self, id: &WorkerId) -> Result<WorkerView> {
        let operator = self.operator()?;
        let process = self
            .workers
            .get_mut(id)
            .context("no such worker in the fleet")?;
        let mut live = None;
        wait_until_async(START_LIMIT, &format!("{id} to be admitted"), async || {
            process.expect_alive()?;
            let view = operator.worker(id).await?;
            live = (view.state == WorkerState::Live).then_some(view);
            Ok(live.is_some())
        })
        .await
        .with_context(|| process.log_end())?;
        live.context("the worker was live a moment ago")
    }

    /// Replaces the appraisal policy's file; the gateway goes on under the former one until it is told.
    pub fn write_policy(&self, text: &str) -> Result<()> {
        let path = self.path(setup::APPRAISAL_POLICY);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// SIGKILL to the gateway; the state on disk stays.
    pub fn kill_gateway(&mut self) -> Result<()> {
        self.gateway.kill()
    }

    /// Starts the gateway again on the same state, and the same worker address so that its workers find it.
    pub async fn restart_gateway(&mut self) -> Result<()> {
        setup::fix_addresses(&self.options, &self.listening)?;
        (self.gateway, self.listening) = start_gateway(&self.options).await?;
        Ok(())
    }

    /// Starts again what has ended by itself, as systemd would, and says what that was and how it ended.
    pub async fn revive(&mut self) -> Result<Vec<(String, ExitStatus)>> {
        let mut revived = Vec::new();
        if let Some(status) = self.gateway.ended()? {
            self.restart_gateway().await?;
            revived.push(("gateway".to_owned(), status));
        }
        let mut ended = Vec::new();
        for (id, worker) in &mut self.workers {
            if let Some(status) = worker.ended()? {
                ended.push((id.clone(), status));
            }
        }
        for (id, status) in ended {
            self.start_worker(&id)?;
            revived.push((id.to_string(), status));
        }
        Ok(revived)
    }

    /// Stops everything in order: workers, then the gateway. Errors name what did not stop by itself.
    pub async fn stop(mut self) -> Result<()> {
        for worker in self.workers.values_mut() {
            expect_success(worker).await?;
        }
        expect_success(&mut self.gateway).await?;
        self.stop_brokers.cancel();
        while self.brokers.join_next().await.is_some() {}
        Ok(())
    }

    #[must_use]
    pub fn worker(&mut self, id: &WorkerId) -> Option<&mut Process> {
        self.workers.get_mut(id)
    }

    #[must_use]
    pub fn gateway(&mut self) -> &mut Process {
        &mut self.gateway
    }

    /// Every process, for a look at whether all of them live.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        std::iter::once(&mut self.gateway).chain(self.workers.values_mut())
    }

    #[must_use]
    pub fn listening(&self) -> Listening {
        self.listening
    }

    #[must_use]
    pub fn platform(&self) -> &Arc<SimulatedPlatform> {
        &self.platform
    }

    /// A file of the fleet.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.options.folder.join(name)
    }

    /// The API as an app developer reaches it.
    pub fn client(&self) -> Result<Gateway> {
        setup::client(&self.options.folder, self.listening.api, &self.user)
    }

    /// The API as an operator reaches it.
    pub fn operator(&self) -> Result<Gateway> {
        setup::client(&self.options.folder, self.listening.api, &self.operator)
    }

    /// The certificates (PEM) that workers pin.
    pub fn pool_ca(&self) -> Result<Vec<u8>> {
        let path = self.path(setup::POOL_CA);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// What `cocoon` needs in its environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "COCOON_GATEWAY",
                format!("https://localhost:{}", self.listening.api.port()),
            ),
            (
                "COCOON_CA_FILE",
                self.path(setup::API_CA).display().to_string(),
            ),
            ("COCOON_ACCESS_TOKEN", self.user.reveal().to_owned()),
        ]
    }

    /// The operator's access token, for `cocoon-admin`.
    #[must_use]
    pub fn operator_access(&self) -> &str {
        self.operator.reveal()
    }
}

async fn expect_success(process: &mut Process) -> Result<()> {
    let status = process.stop().await?;
    anyhow::ensure!(
        status.success(),
        "{} ended with {status}:\n{}",
        process.name(),
        process.log_end()
    );
    Ok(())
}

async fn start_gateway(options: &FleetOptions) -> Result<(Process, Listening)> {
    let listening_file = options.folder.join("state/listening.json");
    // What an earlier gateway wrote is not where this one listens.
    let _ = std::fs::remove_file(&listening_file);
    let config = options.folder.join(setup::GATEWAY_CONFIG);
    let seed = options.seed.to_string();
    let arguments = [
        OsStr::new("--config"),
        config.as_os_str(),
        OsStr::new("--seed"),
        OsStr::new(&seed),
    ];
    let log = options.folder.join("gateway.log");
    let mut command = Process::command(&binary("devnet-gateway")?, &arguments, options);
    let mut process = Process::start("gateway", &mut command, &log)?;
    let mut listening = None;
    wait_until_async(START_LIMIT, "the gateway to listen", async || {
        process.expect_alive()?;
        let text = std::fs::read_to_string(&listening_file).unwrap_or_default();
        listening = serde_json::from_str(&text).ok();
        Ok(listening.is_some())
    })
    .await?;
    Ok((
        process,
        listening.context("the gateway listened a moment ago")?,
    ))
}
