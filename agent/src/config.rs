//! The worker's configuration: one TOML file, read once and completely. Every mistake is reported at once, each with its
//! key; an unknown key is a mistake. Nothing is read from the environment.

mod event_log;
mod gpu;
mod keys;
mod model;
mod secret;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use channel::CertificateDer;
use kernels::executor::ExecutorKind;
use protocol::limits::BATCH_TASKS_MAX;
use protocol::{Sha256Digest, WorkerId};

use crate::gpus::ocsp::ResponderUrl;
pub use event_log::EventLogConfig;
pub use keys::{Keys, Mistake, chain};
pub use model::ModelConfig;
pub use secret::EnrolmentSecret;

/// Tasks held at once when the file does not say: a few batches of small tasks ahead of the executor.
pub const CAPACITY_DEFAULT: u64 = 64;
/// One task may run this long before its executor is killed, when the file does not say.
pub const TASK_TIME_LIMIT_S_DEFAULT: u64 = 300;
/// No task of the catalogue has business running for a day.
pub const TASK_TIME_LIMIT_S_MAX: u64 = 24 * 3_600;
/// From the signal to the exit, when the file does not say. Below systemd's default `TimeoutStopSec` of 90 s.
pub const DRAIN_LIMIT_S_DEFAULT: u64 = 60;
/// A machine that takes longer to stop is pulled from its socket.
pub const DRAIN_LIMIT_S_MAX: u64 = 3_600;
/// The configuration holds a dozen short lines; anything larger is another file.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A complete configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub worker_id: WorkerId,
    pub enrolment_secret: EnrolmentSecret,
    pub gateway: GatewayConfig,
    /// Where OCSP responses for the GPUs' certificates come from; nothing: none are stapled.
    pub ocsp_responder: Option<ResponderUrl>,
    /// Socket of `cocoon-quote`.
    pub quote_socket: PathBuf,
    /// Event logs for the evidence; `None`: none is sent.
    pub event_log: Option<EventLogConfig>,
    pub executor: ExecutorKind,
    /// UUID of the GPU that computes, on a machine with several.
    pub gpu_device: Option<String>,
    /// The folder of cuBLASLt, where the dynamic loader does not know it.
    pub cuda_libraries: Option<PathBuf>,
    /// What `embed` computes with; `None`: this worker does not offer it.
    pub model: Option<ModelConfig>,
    /// Tasks held at once, from lease to accepted ack.
    pub capacity: usize,
    pub task_time_limit: Duration,
    pub drain_limit: Duration,
    /// Listener of `/metrics`, `/healthz` and `/readyz`; loopback only.
    pub metrics_listen: SocketAddr,
    pub state_dir: PathBuf,
    /// SHA-256 of the file, for the worker's claims.
    pub digest: Sha256Digest,
}

/// Where the gateway is and how it is recognised.
#[derive(Clone)]
pub struct GatewayConfig {
    /// `host:port` of the worker listener.
    pub address: String,
    /// The name that the gateway's certificate must carry.
    pub server_name: String,
    /// The pool's own CA, pinned.
    pub pool_ca: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for GatewayConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GatewayConfig")
            .field("address", &self.address)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} has {bytes} bytes; a configuration has at most {FILE_BYTES_MAX}", path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{} is not TOML", path.display())]
    Toml {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("{} has {} mistake{}:{}", path.display(), mistakes.len(), plural(mistakes.len()), listed(mistakes))]
    Mistakes {
        path: PathBuf,
        mistakes: Vec<Mistake>,
    },
}

impl Config {
    /// Reads the file and everything that it names.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (table, digest) = read_toml(path)?;
        let mut keys = Keys::new(table);
        let config = read(&mut keys, digest);
        let mistakes = keys.finish();
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(ConfigError::Mistakes {
                path: path.to_owned(),
                mistakes,
            }),
        }
    }
}

/// A TOML file's table and the digest of its bytes.
pub(crate) fn read_toml(path: &Path) -> Result<(toml::Table, Sha256Digest), ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(read)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let table = text
        .parse::<toml::Table>()
        .map_err(|source| ConfigError::Toml {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
    Ok((table, Sha256Digest::of(text.as_bytes())))
}

/// Asks for every key before it gives up on any, so that all mistakes are found in one go.
fn read(keys: &mut Keys, digest: Sha256Digest) -> Option<Config> {
    let worker_id = keys.parsed::<WorkerId>("worker_id");
    let enrolment_secret = keys
        .path("enrolment_secret_file")
        .and_then(|path| keys.attempt("enrolment_secret_file", EnrolmentSecret::read(&path)));
    let quote_socket = keys.path("quote_socket");
    let event_log = event_log::event_log(keys);
    let executor = executor(keys);
    let model = model::model(keys);
    let capacity = keys.whole_or("capacity", CAPACITY_DEFAULT, 1, batch_tasks_max());
    let task_time_limit = keys.whole_or(
        "task_time_limit_s",
        TASK_TIME_LIMIT_S_DEFAULT,
        1,
        TASK_TIME_LIMIT_S_MAX,
    );
    let drain_limit = keys.whole_or("drain_limit_s", DRAIN_LIMIT_S_DEFAULT, 1, DRAIN_LIMIT_S_MAX);
    let metrics_listen = loopback(keys, "metrics_listen");
    let state_dir = keys.path("state_dir");
    let gateway = gateway(keys);
    let ocsp_responder = if keys.has("gpu.ocsp_responder") {
        keys.parsed("gpu.ocsp_responder")
    } else {
        None
    };
    let (gpu_device, cuda_libraries) = gpu::gpu(keys, executor);
    Some(Config {
        worker_id: worker_id?,
        enrolment_secret: enrolment_secret?,
        gateway: gateway?,
        ocsp_responder,
        quote_socket: quote_socket?,
        event_log,
        executor: executor?,
        gpu_device,
        cuda_libraries,
        model,
        capacity: usize::try_from(capacity?).ok()?,
        task_time_limit: Duration::from_secs(task_time_limit?),
        drain_limit: Duration::from_secs(drain_limit?),
        metrics_listen: metrics_listen?,
        state_dir: state_dir?,
        digest,
    })
}

fn gateway(keys: &mut Keys) -> Option<GatewayConfig> {
    let address = keys.text("gateway.address");
    if let Some(address) = &address
        && !is_host_and_port(address)
    {
        keys.mistake("gateway.address", "expected host:port");
    }
    let server_name = keys.text("gateway.server_name");
    if let Some(name) = &server_name
        && !is_server_name(name)
    {
        keys.mistake(
            "gateway.server_name",
            "expected a DNS name or an IP address",
        );
    }
    let pool_ca = keys.path("gateway.pool_ca_file").and_then(|path| {
        let pem = keys.attempt("gateway.pool_ca_file", read_named(&path))?;
        let pool_ca = keys.attempt("gateway.pool_ca_file", channel::pool_ca_from_pem(&pem))?;
        if pool_ca.is_empty() {
            keys.mistake("gateway.pool_ca_file", "holds no certificate in PEM");
        }
        Some(pool_ca)
    });
    Some(GatewayConfig {
        address: address?,
        server_name: server_name?,
        pool_ca: pool_ca?,
    })
}

/// There is no default: a worker that computes on the CPU because nobody noticed a missing driver helps nobody.
fn executor(keys: &mut Keys) -> Option<ExecutorKind> {
    const KEY: &str = "executor";
    if !keys.has(KEY) {
        keys.mistake(
            KEY,
            "missing: say \"cuda\" for a machine with an NVIDIA GPU; on one without, tasks run on the CPU only when \
             told so with executor = \"cpu\"",
        );
        return None;
    }
    keys.parsed(KEY)
}

/// The metrics listener has no authentication, so nothing but this machine may reach it.
fn loopback(keys: &mut Keys, key: &'static str) -> Option<SocketAddr> {
    let address: SocketAddr = keys.parsed(key)?;
    if address.ip().is_loopback() {
        return Some(address);
    }
    keys.mistake(
        key,
        "expected a loopback address, such as 127.0.0.1:9465 (port 0: any free one)",
    );
    None
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

/// The channel looks closer when it connects; this catches a port or a URL in the wrong place.
fn is_server_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.parse::<std::net::IpAddr>().is_ok() || text.bytes().all(plain)
}

/// Reads a file that the configuration names.
fn read_named(path: &Path) -> Result<Vec<u8>, NamedFileError> {
    std::fs::read(path).map_err(|source| NamedFileError {
        path: path.to_owned(),
        source,
    })
}

/// Why a file that the configuration names cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct NamedFileError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

fn batch_tasks_max() -> u64 {
    u64::try_from(BATCH_TASKS_MAX).unwrap_or(u64::MAX)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn listed(mistakes: &[Mistake]) -> String {
    mistakes.iter().fold(String::new(), |text, mistake| {
        text + "\n  " + &mistake.to_string()
    })
}
