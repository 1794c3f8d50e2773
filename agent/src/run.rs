//! A worker's run, from its configuration to its orderly end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kernels::executor::{ExecutorKind, cuda};
use kernels::module::fatbin_digest;
use protocol::Sha256Digest;
use protocol::catalogue::{OPERATIONS, Operation};
use protocol::lease::OperationId;
use protocol::receipt::KeyError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, chain};
use crate::driver::{Driver, DriverError, Parts};
use crate::evidence::{
    EventLogFileError, Facts, FactsError, WorkerEvidence, boot_id, file_digest, read_event_log,
};
use crate::executor::{Executor, ExecutorSettings};
use crate::gpus::GpuAttester;
use crate::gpus::ocsp::{self, Responder, ResponderError, Staples};
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
        "this machine has several GPUs ({0}): name the one that computes as gpu.device, and run a worker for each"
    )]
    GpuChoice(String),
    #[error("gpu.device names {wanted}; this machine has {seen}")]
    GpuUnknown { wanted: String, seen: String },
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
    let started = (world.monotonic)();
    let device = device(&config, &world)?;
    let telemetry = Telemetry::start(&world);
    let digest = file_digest(&world.executable).map_err(RunError::Facts)?;
    let settings = executor_settings(&config, &world, digest, device);
    let receipts = Receipts::new(
        config.worker_id.clone(),
        config.executor.as_str(),
        settings.module_digest,
        settings.device.clone(),
    )
    .map_err(RunError::ReceiptKey)?
    .with_model(config.model.as_ref().map(|model| model.digest));
    let module_digest = settings.module_digest;
    let (executor, executor_events) = Executor::new(settings, &world).map_err(RunError::Thread)?;
    // Not the caller's token: probes are answered until the drain is over.
    let over = CancellationToken::new();
    let mut beside = JoinSet::new();
    let gpus = gpus(&config, &world, &mut beside, &over);
    let libraries = gpus.is_some().then(|| executor.libraries());
    let evidence = evidence(&config, digest, module_digest, &receipts)?;
    let evidence = Arc::new(evidence.with_gpus(gpus).with_libraries(libraries));
    let (health, gauges) = (Arc::new(Health::default()), Arc::new(Gauges::new()));
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
    beside.spawn(probes.serve(listener, over.clone()));
    let operations = operations(config.executor, config.model.is_some());
    announce(&config, &operations);
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
        operations,
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
    beside.join_all().await;
    ended.map_err(RunError::Driver)
}

/// UUID of the GPU that computes; nothing on the CPU. The agent asks NVML alone: it never initialises CUDA.
pub fn device(config: &Config, world: &World) -> Result<Option<String>, RunError> {
    if config.executor == ExecutorKind::Cpu {
        return Ok(None);
    }
    let gpus = Gpus::open(world.nvml_library.as_deref()).map_err(RunError::NoGpu)?;
    let seen: Vec<_> = gpus.read().into_iter().map(|gpu| gpu.uuid).collect();
    match (&config.gpu_device, &seen[..]) {
        (Some(wanted), _) if seen.contains(wanted) => Ok(Some(wanted.clone())),
        (Some(wanted), _) => Err(RunError::GpuUnknown {
            wanted: wanted.clone(),
            seen: seen.join(", "),
        }),
        (None, [only]) => Ok(Some(only.clone())),
        (None, []) => Err(RunError::NoGpu(TelemetryError::None)),
        (None, _) => Err(RunError::GpuChoice(seen.join(", "))),
    }
}

/// The GPUs that tasks run on, with the task that keeps OCSP responses for them.
fn gpus(
    config: &Config,
    world: &World,
    beside: &mut JoinSet<()>,
    over: &CancellationToken,
) -> Option<GpuAttester> {
    if config.executor == ExecutorKind::Cpu {
        return None;
    }
    let responder = config.ocsp_responder.clone().and_then(|url| {
        let responder = Responder::new(url);
        let failed =
            |error: &ResponderError| tracing::error!(error = chain(error), "no OCSP responses");
        responder.inspect_err(failed).ok()
    });
    let staples = responder.map(|responder| {
        let staples = Arc::new(Staples::default());
        beside.spawn(ocsp::refresh(
            Arc::clone(&staples),
            responder,
            world.clone(),
            over.clone(),
        ));
        staples
    });
    Some(GpuAttester::new(world, staples))
}

fn evidence(
    config: &Config,
    agent_digest: Sha256Digest,
    module_digest: Sha256Digest,
    receipts: &Receipts,
) -> Result<WorkerEvidence, RunError> {
    let executor = match config.executor {
        ExecutorKind::Cpu => attestation::ExecutorKind::Cpu,
        ExecutorKind::Cuda => attestation::ExecutorKind::Cuda,
    };
    let facts = Facts {
        worker_id: config.worker_id.clone(),
        receipt_key_spki: receipts.key_spki(),
        agent_digest,
        configuration_digest: config.digest,
        module_digest,
        boot_id: boot_id().map_err(RunError::Facts)?,
        executor,
    };
    let event_log = config.event_log.as_ref().map(read_event_log).transpose();
    let event_log = event_log.map_err(RunError::EventLog)?;
    let quotes = QuoteClient::new(&config.quote_socket);
    let evidence = WorkerEvidence::new(facts, config.enrolment_secret.clone(), quotes);
    Ok(evidence.with_event_log(event_log))
}

fn executor_settings(
    config: &Config,
    world: &World,
    digest: Sha256Digest,
    device: Option<String>,
) -> ExecutorSettings {
    ExecutorSettings {
        executable: world.executable.clone(),
        // On the CPU the operations are compiled into the agent itself.
        module_digest: device.as_ref().map_or(digest, |_| fatbin_digest()),
        device,
        cuda_libraries: config.cuda_libraries.clone(),
        model: config.model.clone(),
        task_time_limit: config.task_time_limit,
    }
}

/// What the executor computes: on the CPU everything in the catalogue, since the definitions cover it; what computes with a
/// model only where there is one.
fn operations(executor: ExecutorKind, has_model: bool) -> Arc<[OperationId]> {
    let is_offered = |operation: &Operation| match executor {
        ExecutorKind::Cpu => true,
        ExecutorKind::Cuda => cuda::is_supported(operation.name, operation.version),
    };
    OPERATIONS
        .iter()
        .filter(|operation| is_offered(operation))
        .filter(|operation| has_model || operation.model().is_none())
        .map(Operation::id)
        .collect()
}

fn announce(config: &Config, operations: &[OperationId]) {
    let offers: Vec<_> = operations
        .iter()
        .map(|operation| operation.name.as_str())
        .collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        worker = %config.worker_id,
        gateway = config.gateway.address,
        executor = %config.executor,
        capacity = config.capacity,
        offers = offers.join(" "),
        "worker starts"
    );
}
