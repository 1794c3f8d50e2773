//! A gateway's life: read, open, bind, serve, stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestation::{AppraisalPolicy, TrustAnchor, gpu::GpuTrustAnchor};
use channel::{GatewayIdentity, GatewayTls, IdentityError, TlsConfigError};
use pccs::CollateralStore;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::abandoned::Abandoned;
use crate::admission::RelyingParty;
use crate::api::{ApiTls, ApiTlsError};
use crate::blobs::{BlobError, Blobs};
use crate::config::{Attestation, Config, Listener};
use crate::gateway::Gateway;
use crate::limits::SHUTDOWN;
use crate::listening::Listening;
use crate::metrics::Metrics;
use crate::policy_file::{self, PolicyFileError};
use crate::refresh::Refresh;
use crate::session::Schedule;
use crate::shares::Shares;
use crate::store::{OpenError, Store};
use crate::worker::Sessions;
use crate::world::{CollateralSource, World};
use crate::{api, housekeeping, references, telemetry, worker};

/// Why a gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Policy(PolicyFileError),
    #[error("the worker listener's certificate or key is refused")]
    Identity(#[source] IdentityError),
    #[error("the worker listener's TLS cannot be set up")]
    WorkerTls(#[source] TlsConfigError),
    #[error("the API listener's certificate or key is refused")]
    ApiTls(#[source] ApiTlsError),
    #[error("collateral cannot be fetched as it is configured")]
    Pccs(#[source] pccs::ClientError),
    #[error("cannot make the state folder {path}")]
    StateDir {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the store cannot be opened")]
    Store(#[source] OpenError),
    #[error("the blobs cannot be opened")]
    Blobs(#[source] BlobError),
    #[error("cannot listen on {address} ({listener})")]
    Bind {
        listener: &'static str,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("a part of the gateway ended by itself: {0}")]
    Ended(String),
    #[error("the gateway did not stop within {} s; what was confirmed is on disk", SHUTDOWN.as_secs())]
    Shutdown,
}

/// Runs a gateway until `shutdown`.
pub async fn run(
    config: Config,
    world: World,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let files = Files::read(&config).await?;
    let collateral: Arc<dyn CollateralSource> = Arc::from(world.collateral);
    let anchors = (world.trust_anchor, world.gpu_trust_anchor);
    let gateway = open(&config, files.policy, world.clock, anchors).await?;
    housekeeping::read_collateral(&gateway, &collateral).await;
    references::read(&gateway).await;
    let listeners = Listeners::bind(&config).await?;
    let listening = listeners.addresses()?;
    listening.write(&config.state_dir)?;
    announce(&gateway, &listening);

    let mut tasks = JoinSet::new();
    if let Some(client) = files.pccs {
        let store = CollateralStore::at(&config.attestation.collateral_dir);
        let refresh = Refresh::new(&gateway, client, store, Arc::clone(&collateral));
        tasks.spawn(refresh.run());
    }
    housekeeping::start(&mut tasks, &gateway, collateral);
    listeners.serve(&mut tasks, &gateway, files.worker_tls, files.api_tls);
    let ended = tokio::select! {
        () = shutdown.cancelled() => None,
        ended = tasks.join_next() => ended,
    };

    gateway.stopping.cancel();
    tracing::info!("stopping");
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    let drained = tokio::time::timeout(SHUTDOWN, async {
        while tasks.join_next().await.is_some() {}
    });
    let drained = drained.await;
    tasks.shutdown().await;
    // Last: whatever was still being answered may have written.
    gateway.store.close().await;
    Listening::remove(&config.state_dir);
    match (ended, drained) {
        (Some(Ok(part)), _) => Err(RunError::Ended(part.to_owned())),
        (Some(Err(error)), _) => Err(RunError::Ended(error.to_string())),
        (None, Err(_)) => Err(RunError::Shutdown),
        (None, Ok(())) => Ok(()),
    }
}

/// Everything that is read from files before anything is opened.
struct Files {
    policy: AppraisalPolicy,
    worker_tls: GatewayTls,
    api_tls: ApiTls,
    /// `None` where nobody is to be asked for collateral.
    pccs: Option<pccs::Client>,
}

impl Files {
    async fn read(config: &Config) -> Result<Self, RunError> {
        let policy = policy_file::read(&config.attestation.appraisal_policy)
            .await
            .map_err(RunError::Policy)?;
        let (chain, key) = pair(&config.worker).await?;
        let identity = GatewayIdentity::from_pem(&chain, &key).map_err(RunError::Identity)?;
        let worker_tls = GatewayTls::new(identity).map_err(RunError::WorkerTls)?;
        let (chain, key) = pair(&config.api).await?;
        let api_tls = ApiTls::from_pem(&chain, &key).map_err(RunError::ApiTls)?;
        Ok(Self {
            policy,
            worker_tls,
            api_tls,
            pccs: read_pccs(&config.attestation).await?,
        })
    }
}

async fn read_pccs(attestation: &Attestation) -> Result<Option<pccs::Client>, RunError> {
    let ca = match &attestation.pccs_ca {
        Some(path) => Some(read(path).await?),
        None => None,
    };
    if attestation.pccs_urls.is_empty() {
        return Ok(None);
    }
    let options = pccs::Options {
        sources: attestation.pccs_urls.clone(),
        ca,
        ..pccs::Options::default()
    };
    let client = pccs::Client::new(options).map_err(RunError::Pccs)?;
    Ok(Some(client))
}

/// Reads what the configuration points at, as a run would, and opens nothing. Answers the appraisal policy.
pub async fn read_files(config: &Config) -> Result<AppraisalPolicy, RunError> {
    Ok(Files::read(config).await?.policy)
}

async fn pair(listener: &Listener) -> Result<(Vec<u8>, zeroize::Zeroizing<Vec<u8>>), RunError> {
    let chain = read(&listener.certificate).await?;
    Ok((chain, zeroize::Zeroizing::new(read(&listener.key).await?)))
}

async fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    tokio::fs::read(path)
        .await
        .map_err(|source| RunError::Read {
            path: path.to_owned(),
            source,
        })
}

/// Opens what a gateway keeps; nothing listens yet.
pub(crate) async fn open(
    config: &Config,
    policy: AppraisalPolicy,
    clock: Arc<dyn crate::world::Clock>,
    (trust_anchor, gpu_trust_anchor): (TrustAnchor, GpuTrustAnchor),
) -> Result<Arc<Gateway>, RunError> {
    let folder = &config.state_dir;
    tokio::fs::create_dir_all(folder)
        .await
        .map_err(|source| RunError::StateDir {
            path: folder.clone(),
            source,
        })?;
    let store = Store::open(config.database.clone())
        .await
        .map_err(RunError::Store)?
        .with_queued_per_user_max(u64::from(config.queued_per_user_max))
        .with_blob_bytes_per_user_max(config.blob_bytes_per_user_max);
    let blobs = Blobs::open(&config.blobs_dir)
        .await
        .map_err(RunError::Blobs)?;
    let metrics = Metrics::default();
    let relying_party = RelyingParty::new(
        trust_anchor,
        gpu_trust_anchor,
        policy,
        store.clone(),
        Arc::clone(&clock),
        metrics.clone(),
    );
    let attestation = &config.attestation;
    Ok(Arc::new(Gateway {
        store,
        blobs,
        shares: Shares::new(config.users),
        sessions: Sessions::new(
            metrics.sessions(),
            Arc::clone(&clock),
            Arc::clone(&relying_party.in_force),
        ),
        relying_party: Arc::new(relying_party),
        policy_file: Mutex::new(attestation.appraisal_policy.clone()),
        gpu_references_dir: attestation.gpu_references_dir.clone(),
        schedule: Schedule {
            reattest_interval: attestation.reattest_interval,
            reattest_grace: attestation.reattest_grace,
            stale_session: attestation.stale_session,
            session_age_max: attestation.session_age_max,
            silence_max: crate::limits::SILENCE,
        },
        lease_duration_ms: u64::try_from(config.lease_duration.as_millis()).unwrap_or(u64::MAX),
        retention_ms: u64::try_from(config.retention.as_millis()).unwrap_or(u64::MAX),
        started_ms: clock.now_us() / 1_000,
        abandoned: Abandoned::default(),
        stopping: CancellationToken::new(),
        clock,
        metrics,
    }))
}

/// The three sockets, bound.
struct Listeners {
    worker: TcpListener,
    api: TcpListener,
    metrics: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, RunError> {
        Ok(Self {
            worker: bind("worker", config.worker.address).await?,
            api: bind("api", config.api.address).await?,
            metrics: bind("metrics", config.metrics_address).await?,
        })
    }

    fn addresses(&self) -> Result<Listening, RunError> {
        Ok(Listening {
            api: local("api", &self.api)?,
            worker: local("worker", &self.worker)?,
            metrics: local("metrics", &self.metrics)?,
        })
    }

    fn serve(
        self,
        tasks: &mut JoinSet<&'static str>,
        gateway: &Arc<Gateway>,
        worker_tls: GatewayTls,
        api_tls: ApiTls,
    ) {
        let workers = worker::serve(Arc::clone(gateway), self.worker, worker_tls);
        let api = api::serve(Arc::clone(gateway), self.api, api_tls);
        let metrics = telemetry::serve(Arc::clone(gateway), self.metrics);
        tasks.spawn(async {
            workers.await;
            "worker listener"
        });
        tasks.spawn(async {
            api.await;
            "API listener"
        });
        tasks.spawn(async {
            metrics.await;
            "metrics listener"
        });
    }
}

async fn bind(listener: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Bind {
            listener,
            address,
            source,
        })
}

fn local(listener: &'static str, bound: &TcpListener) -> Result<SocketAddr, RunError> {
    bound.local_addr().map_err(|source| RunError::Bind {
        listener,
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        source,
    })
}

fn announce(gateway: &Gateway, listening: &Listening) {
    let party = &gateway.relying_party;
    let trust_anchor = party.trust_anchor().label();
    gateway.metrics.info(trust_anchor);
    if gateway.is_simulated() {
        tracing::warn!(
            trust_anchor,
            "SIMULATED: the root of trust is not Intel's. Quotes that this gateway accepts prove nothing about any hardware"
        );
    }
    if party.collateral.families_count() == 0 {
        tracing::warn!("no collateral: every worker will be refused with E902 until there is some");
    }
    tracing::info!(
        api = %listening.api,
        worker = %listening.worker,
        metrics = %listening.metrics,
        trust_anchor,
        appraisal_policy = %party.in_force.policy().document.sha256,
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}
