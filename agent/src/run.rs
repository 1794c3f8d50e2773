//! A worker's run, from its configuration to its orderly end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kernels::executor::ExecutorKind;
use protocol::catalogue::OPERATIONS;
use protocol::lease::OperationId;
use protocol::receipt::KeyError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::driver::{Driver, DriverError, Parts};
use crate::evidence::{
    EventLogFileError, Facts, FactsError, WorkerEvidence, boot_id, executable_digest,
    read_event_log,
};
use crate::executor::{Executor, ExecutorSettings};
use crate::health::{self, Gauges, Health, Probes};
use crate::machine::{Machine, Settings};
use crate::quote::client::QuoteClient;
use crate::receipts::Receipts;
use crate::session::Connector;
use crate::telemetry::{Gpus, Telemetry, TelemetryError};
use crate::world::World;

/// Why a worker cannot run, or ended otherwise than in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(
        "executor = \"cuda\", but no GPU was found: install the NVIDIA driver, or set executor = \"cpu\" to compute on the CPU"
    )]
    NoGpu(#[source] TelemetryError),
    #[error(
        "executor = \"cuda\": the CUDA executor is not part of this version; set executor = \"cpu\""
    )]
    CudaAbsent,
    #[error("the facts for the claims cannot be read")]
    Facts(#[source] FactsError),
    #[error("the event log that the configuration names cannot be sent")]
    EventLog(#[source] EventLogFileError),
    #[error("no receipt key")]
    ReceiptKey(#[source] KeyError),
    #[error("cannot listen on {address} or write to {}", state_dir.display())]
    Listen {
        address: std::net::SocketAddr,
        state_dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the executor's thread")]
    Thread(#[source] io::Error),
    #[error("the driver failed")]
    Driver(#[source] DriverError),
}

/// Runs a worker until `shutdown` has been carried out.
pub async fn run(
    config: Config,
    world: World,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    refuse_absent_executor(config.executor, &world)?;
    let started = (world.monotonic)();
    let telemetry = Telemetry::start(&world);
    let digest = executable_digest(&world.executable).map_err(RunError::Facts)?;
    let receipts = Receipts::new(
        config.worker_id.clone(),
        config.executor.as_str(),
        digest,
        None,
    )
    .map_err(RunError::ReceiptKey)?;
    let evidence = evidence(&config, digest, &receipts, &telemetry)?;
    let settings = ExecutorSettings {
        executable: world.executable.clone(),
        module_digest: digest,
        kind: config.executor,
        task_time_limit: config.task_time_limit,
    };
    let (executor, executor_events) = Executor::new(settings, &world).map_err(RunError::Thread)?;
    let (health, gauges) = (Arc::new(Health::default()), Arc::new(Gauges::new()));
    let mut probing = JoinSet::new();
    let probes = Probes {
        health: Arc::clone(&health),
        gauges: Arc::clone(&gauges),
        clock: Arc::clone(&world.monotonic),
        started,
    };
    let listener = health::bind(config.metrics_listen, &config.state_dir)
        .await
        .map_err(|source| RunError::Listen {
            address: config.metrics_listen,
            state_dir: config.state_dir.clone(),
            source,
        })?;
    // Not the caller's token: probes are answered until the drain is over.
    let over = CancellationToken::new();
    probing.spawn(probes.serve(listener, over.clone()));
    announce(&config);
    let machine = Machine::new(Settings {
        capacity: config.capacity,
        drain_limit: config.drain_limit,
    });
    let parts = Parts {
        connector: Connector {
            gateway: config.gateway,
            evidence,
        },
        receipts: Arc::new(receipts),
        operations: operations(),
        executor,
        executor_events,
        telemetry,
        health,
        gauges,
    };
    let ended = Driver::new(machine, parts, world, started)
        .run(shutdown)
        .await;
    over.cancel();
    probing.join_all().await;
    ended.map_err(RunError::Driver)
}

/// The CUDA executor comes with a later version; until then a worker that is to use it must not pretend.
fn refuse_absent_executor(kind: ExecutorKind, world: &World) -> Result<(), RunError> {
    match kind {
        ExecutorKind::Cpu => Ok(()),
        ExecutorKind::Cuda => {
            Gpus::open(world.nvml_library.as_deref()).map_err(RunError::NoGpu)?;
            Err(RunError::CudaAbsent)
        }
    }
}

fn evidence(
    config: &Config,
    digest: protocol::Sha256Digest,
    receipts: &Receipts,
    telemetry: &Telemetry,
) -> Result<Arc<WorkerEvidence>, RunError> {
    let executor = match config.executor {
        ExecutorKind::Cpu => attestation::ExecutorKind::Cpu,
        ExecutorKind::Cuda => attestation::ExecutorKind::Cuda,
    };
    let facts = Facts {
        worker_id: config.worker_id.clone(),
        receipt_key_spki: receipts.key_spki(),
        agent_digest: digest,
        configuration_digest: config.digest,
        // On the CPU the operations are compiled into the agent itself.
        module_digest: digest,
        gpus: match config.executor {
            // Claimed are the GPUs that tasks run on.
            ExecutorKind::Cpu => Vec::new(),
            ExecutorKind::Cuda => telemetry.claims().to_vec(),
        },
        boot_id: boot_id().map_err(RunError::Facts)?,
        executor,
    };
    let event_log = config.event_log.as_ref().map(read_event_log).transpose();
    let event_log = event_log.map_err(RunError::EventLog)?;
    let quotes = QuoteClient::new(&config.quote_socket);
    let evidence = WorkerEvidence::new(facts, config.enrolment_secret.clone(), quotes);
    Ok(Arc::new(evidence.with_event_log(event_log)))
}

/// Everything in the catalogue: the CPU definitions cover it.
fn operations() -> Arc<[OperationId]> {
    OPERATIONS
        .iter()
        .map(|operation| OperationId {
            name: operation.name.to_owned(),
            version: operation.version,
        })
        .collect()
}

fn announce(config: &Config) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        worker = %config.worker_id,
        gateway = config.gateway.address,
        executor = %config.executor,
        capacity = config.capacity,
        "worker starts"
    );
}
