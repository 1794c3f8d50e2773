//! The configuration: one TOML file and a few environment variables, read once, completely, before anything is opened.
//!
//! Every mistake is reported, each with its key path; a key that nothing reads is a mistake too. Relative paths start at
//! the configuration file's folder.

mod reader;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::limits::{LEASE_DURATION_S_DEFAULT, LEASE_DURATION_S_MAX, LEASE_DURATION_S_MIN};
use reader::Reader;

use crate::store::Location;

/// Workers dial this from other machines.
pub const WORKER_ADDRESS_DEFAULT: SocketAddr = any(7443);
/// Clients and operators dial this.
pub const API_ADDRESS_DEFAULT: SocketAddr = any(8443);
/// Metrics name workers and users: loopback unless the operator says otherwise.
pub const METRICS_ADDRESS_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
/// A stolen session lives at most so long, and a quote per worker and ten minutes costs nothing anywhere.
pub const REATTEST_INTERVAL_S_DEFAULT: u32 = 600;
/// A host makes about 25 quotes a second in all; below a minute a rack of workers would keep it busy with quotes.
pub const REATTEST_INTERVAL_S_MIN: u32 = 60;
/// Beyond a day the maximal age of a session would come first.
pub const REATTEST_INTERVAL_S_MAX: u32 = 86_400;
/// A day: a worker's TLS key is no older than that.
pub const SESSION_AGE_S_DEFAULT: u32 = 86_400;
pub const SESSION_AGE_S_MIN: u32 = 600;
/// A week: longer, and a key is as good as permanent.
pub const SESSION_AGE_S_MAX: u32 = 7 * 86_400;
/// About a gigabyte of database for one user; more that wait are seldom meant.
pub const QUEUED_PER_USER_DEFAULT: u32 = 1_000_000;
/// More than a disk holds.
pub const QUEUED_PER_USER_MAX: u32 = 1_000_000_000;
/// Sixty-four of the largest inputs: ample for what is under way, and some dozens of users fit a disk.
pub const BLOB_BYTES_PER_USER_DEFAULT: u64 = 64 * 1024 * 1024 * 1024;
const _: () = assert!(BLOB_BYTES_PER_USER_DEFAULT >= protocol::limits::BLOB_BYTES_MAX);
/// More than a disk holds.
pub const BLOB_BYTES_PER_USER_MAX: u64 = 1_000_000_000_000_000;
/// Long enough to fetch every output and receipt that anybody still wants.
pub const RETENTION_DAYS_DEFAULT: u32 = 30;
/// Ten years.
pub const RETENTION_DAYS_MAX: u32 = 3_650;
/// SQLite's file, below the state folder.
pub const DATABASE: &str = "gateway.sqlite";
/// Where blobs are, below the state folder.
const BLOBS: &str = "blobs";
/// Far beyond what an honest client asks, in batches or one by one, and a small part of what a gateway answers.
pub const REQUESTS_PER_USER_PER_S_DEFAULT: u32 = 1_000;
/// Fetches what a batch of 1,000 tasks left (state, output, receipt) without a pause.
pub const BURST_PER_USER_DEFAULT: u32 = 5_000;
/// Both: more than any gateway answers.
pub const REQUESTS_PER_USER_MAX: u32 = 1_000_000;
/// Four connections that each wait for 256 tasks at a time.
pub const IN_FLIGHT_PER_USER_DEFAULT: u32 = 1_024;
/// As many as there are connections with each sixteen.
pub const IN_FLIGHT_PER_USER_MAX: u32 = 65_536;
/// A longer file is not a configuration.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a gateway is told to be. All paths are absolute or relative to the process's folder.
#[derive(Debug, Clone)]
pub struct Config {
    /// `listening.json`, and whatever has no other place.
    pub state_dir: PathBuf,
    pub database: Location,
    /// Inputs and outputs that are too large for the database; of all gateways on one.
    pub blobs_dir: PathBuf,
    pub worker: Listener,
    pub api: Listener,
    /// What each user of the API may take. An operator's access token is a user's like any other: the limits are per user, so
    /// nobody else's haste keeps an operator from acting, and a script of theirs that runs wild is as bad as any.
    pub users: UserLimits,
    pub metrics_address: SocketAddr,
    pub attestation: Attestation,
    pub lease_duration: Duration,
    /// From a task's end until it is forgotten, with its output and its receipt.
    pub retention: Duration,
    /// Tasks of one user that wait at a time.
    pub queued_per_user_max: u32,
    /// Of the blobs that one user has uploaded, each counted once.
    pub blob_bytes_per_user_max: u64,
}

/// One TLS listener.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Port 0: any free one.
    pub address: SocketAddr,
    /// Chain in PEM, leaf first.
    pub certificate: PathBuf,
    /// PKCS #8 in PEM.
    pub key: PathBuf,
}

/// What one user of the API may take, by all of the user's access tokens together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserLimits {
    /// In the long run.
    pub requests_per_s: u32,
    /// At once, after a pause.
    pub burst_max: u32,
    /// In progress at a time: long polls, streams, uploads and answers that are being sent count until they end.
    pub in_flight_max: u32,
}

/// How workers are appraised, and how often.
#[derive(Debug, Clone)]
pub struct Attestation {
    pub appraisal_policy: PathBuf,
    /// A folder of `*.json`, each one platform family's collateral.
    pub collateral_dir: PathBuf,
    /// Who is asked for collateral, in this order. Empty: nobody, there are files only.
    pub pccs_urls: Vec<pccs::Source>,
    /// CA certificates (PEM) of mirrors whose own are not from a public CA.
    pub pccs_ca: Option<PathBuf>,
    /// A folder of NVIDIA's reference manifests; without one no GPU is attested.
    pub gpu_references_dir: Option<PathBuf>,
    pub reattest_interval: Duration,
    /// From the request to attest again until the session is stale.
    pub reattest_grace: Duration,
    /// From stale to closed.
    pub stale_session: Duration,
    pub session_age_max: Duration,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the configuration file {path} has more than {FILE_BYTES_MAX} bytes")]
    TooLarge { path: PathBuf },
    #[error("the configuration is not TOML")]
    Toml(#[source] toml::de::Error),
    #[error("the configuration has {count} mistakes:{list}", count = .0.len(), list = Bullets(.0))]
    Mistakes(Vec<Mistake>),
}

/// One mistake of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// As in `worker.address`.
    pub key: String,
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` {}", self.key, self.problem)
    }
}

struct Bullets<'a>(&'a [Mistake]);

impl fmt::Display for Bullets<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|mistake| write!(formatter, "\n  {mistake}"))
    }
}

impl Config {
    /// Reads the file.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                path: path.to_owned(),
            });
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Self::from_toml(&text, path.parent().unwrap_or(Path::new(".")))
    }

    /// Reads the text; `folder` is where relative paths start.
    pub fn from_toml(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let table = text.parse().map_err(ConfigError::Toml)?;
        let mut reader = Reader::new(table, folder);
        let config = Self::read(&mut reader);
        let mistakes = reader.finish();
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(ConfigError::Mistakes(mistakes)),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        // Every part is read before the first one missing counts, so that all mistakes are found in one go.
        let state_dir = reader.path("state_dir");
        let file = state_dir.clone().unwrap_or_default().join(DATABASE);
        let database = reader.location("database", file);
        let blobs_dir = reader.optional_path("blobs_dir");
        let worker = read_listener(reader, "worker", WORKER_ADDRESS_DEFAULT);
        let api = read_listener(reader, "api", API_ADDRESS_DEFAULT);
        let users = read_user_limits(reader);
        let metrics_address = reader.address("metrics.address", METRICS_ADDRESS_DEFAULT);
        let attestation = read_attestation(reader);
        let lease_duration = reader.seconds(
            "tasks.lease_duration_s",
            LEASE_DURATION_S_DEFAULT,
            LEASE_DURATION_S_MIN..=LEASE_DURATION_S_MAX,
        );
        let retention_days = reader.count(
            "tasks.retention_days",
            RETENTION_DAYS_DEFAULT,
            1..=RETENTION_DAYS_MAX,
        );
        let queued_per_user_max = reader.count(
            "tasks.queued_per_user_max",
            QUEUED_PER_USER_DEFAULT,
            1..=QUEUED_PER_USER_MAX,
        );
        let blob_bytes_per_user_max = reader.count(
            "tasks.blob_bytes_per_user_max",
            BLOB_BYTES_PER_USER_DEFAULT,
            1..=BLOB_BYTES_PER_USER_MAX,
        );
        let state_dir = state_dir?;
        Some(Self {
            database: database?,
            blobs_dir: blobs_dir.unwrap_or_else(|| state_dir.join(BLOBS)),
            state_dir,
            worker: worker?,
            api: api?,
            users: users?,
            metrics_address: metrics_address?,
            attestation: attestation?,
            lease_duration: lease_duration?,
            retention: Duration::from_hours(u64::from(retention_days?).saturating_mul(24)),
            queued_per_user_max: queued_per_user_max?,
            blob_bytes_per_user_max: blob_bytes_per_user_max?,
        })
    }
}

fn read_listener(reader: &mut Reader<'_>, table: &str, address: SocketAddr) -> Option<Listener> {
    let address = reader.address(&format!("{table}.address"), address);
    let certificate = reader.path(&format!("{table}.certificate"));
    let key = reader.path(&format!("{table}.key"));
    Some(Listener {
        address: address?,
        certificate: certificate?,
        key: key?,
    })
}

fn read_user_limits(reader: &mut Reader<'_>) -> Option<UserLimits> {
    let requests_per_s = reader.count(
        "api.requests_per_user_per_s",
        REQUESTS_PER_USER_PER_S_DEFAULT,
        1..=REQUESTS_PER_USER_MAX,
    );
    let burst_max = reader.count(
        "api.burst_per_user_max",
        BURST_PER_USER_DEFAULT,
        1..=REQUESTS_PER_USER_MAX,
    );
    let in_flight_max = reader.count(
        "api.in_flight_per_user_max",
        IN_FLIGHT_PER_USER_DEFAULT,
        1..=IN_FLIGHT_PER_USER_MAX,
    );
    Some(UserLimits {
        requests_per_s: requests_per_s?,
        burst_max: burst_max?,
        in_flight_max: in_flight_max?,
    })
}

fn read_attestation(reader: &mut Reader<'_>) -> Option<Attestation> {
    let appraisal_policy = reader.path("attestation.appraisal_policy");
    let collateral_dir = reader.path("attestation.collateral_dir");
    let pccs_urls = reader.sources("attestation.pccs_urls", pccs::limits::SOURCES_MAX);
    let pccs_ca = reader.optional_path("attestation.pccs_ca");
    let gpu_references_dir = reader.optional_path("attestation.gpu_references_dir");
    let reattest_interval = reader.seconds(
        "attestation.reattest_interval_s",
        REATTEST_INTERVAL_S_DEFAULT,
        REATTEST_INTERVAL_S_MIN..=REATTEST_INTERVAL_S_MAX,
    );
    let session_age_max = reader.seconds(
        "attestation.session_age_s_max",
        SESSION_AGE_S_DEFAULT,
        SESSION_AGE_S_MIN..=SESSION_AGE_S_MAX,
    );
    Some(Attestation {
        appraisal_policy: appraisal_policy?,
        collateral_dir: collateral_dir?,
        pccs_urls: pccs_urls?,
        pccs_ca,
        gpu_references_dir,
        reattest_interval: reattest_interval?,
        reattest_grace: crate::limits::REATTEST_GRACE,
        stale_session: crate::limits::STALE_SESSION,
        session_age_max: session_age_max?,
    })
}

/// What the process takes from its environment, and the only place that reads it.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `COCOON_LOG`: a filter such as `info` or `gateway=debug,warn`.
    pub log_filter: Option<String>,
}

impl Environment {
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub fn read() -> Self {
        Self {
            log_filter: std::env::var("COCOON_LOG").ok(),
        }
    }
}

const fn any(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}
