//! Prepares a fleet's folder with the operator's own tools: `cocoon-gateway init`, `cocoon-gateway access create`.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use client::gateway::{Address, Options, Retries};
use client::tls::Roots;
use client::{AccessToken, Gateway};
use protocol::api::CreatedWorker;
use simulator::{CollateralOptions, SimulatedPlatform};

use super::{FleetOptions, Listening, WorkerExecutor, binary};

pub(super) const GATEWAY_CONFIG: &str = "gateway.toml";
/// What workers pin.
pub(super) const POOL_CA: &str = "tls/pool-ca.pem";
/// What clients trust.
pub(super) const API_CA: &str = "tls/api-ca.pem";
pub(super) const APPRAISAL_POLICY: &str = "appraisal-policy.toml";
/// What the simulated TDs measured, as files that their workers read.
const CCEL: &str = "ccel";
const RUN_TIME_EVENTS: &str = "run-time-events";
const LOOPBACK_ANY: &str = "127.0.0.1:0";

/// An access token of the fleet.
#[derive(Clone)]
pub struct Access(String);

impl Access {
    /// The token's text, for a program's environment.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Access")
    }
}

/// Seconds since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the fleet's world: forged collateral is dated by it"
)]
#[must_use]
pub fn now_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map(|since| since.as_secs())
        .unwrap_or_default()
}

/// Certificates by `cocoon-gateway init`; policy, collateral and event logs of the simulated platform.
pub(super) fn prepare(options: &FleetOptions, platform: &SimulatedPlatform) -> Result<()> {
    let folder = &options.folder;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let mut init = Command::new(binary("cocoon-gateway")?);
    init.args(["init", "--hostname", "localhost", "--dir"])
        .arg(folder);
    output(&mut init)?;
    write(folder, APPRAISAL_POLICY, platform.policy_toml())?;
    std::fs::create_dir_all(folder.join("collateral"))
        .context("cannot create the collateral folder")?;
    let collateral = platform.collateral_json(&CollateralOptions::at(now_s()));
    write(folder, "collateral/simulated.json", collateral)?;
    write(folder, CCEL, platform.ccel_area())?;
    write(
        folder,
        RUN_TIME_EVENTS,
        platform.event_log().run_time.to_string(),
    )?;
    write_gateway(options, LOOPBACK_ANY, LOOPBACK_ANY)
}

fn write_gateway(options: &FleetOptions, api: &str, worker: &str) -> Result<()> {
    let database = options
        .database
        .as_ref()
        .map(|address| format!("[database]\naddress = \"{address}\"\n"))
        .unwrap_or_default();
    let text = format!(
        r#"# SIMULATED: a gateway of the devnet, whose trust anchor is not Intel's.
state_dir = "state"

[api]
address = "{api}"
certificate = "tls/api.pem"
key = "tls/api.key"
requests_per_user_per_s = {}

[worker]
address = "{worker}"
certificate = "tls/worker-listener.pem"
key = "tls/worker-listener.key"

[metrics]
address = "{LOOPBACK_ANY}"

[attestation]
appraisal_policy = "{APPRAISAL_POLICY}"
collateral_dir = "collateral"

[tasks]
lease_duration_s = {}
queued_per_user_max = {}

{database}"#,
        options.requests_per_user_per_s, options.lease_duration_s, options.queued_per_user_max
    );
    write(&options.folder, GATEWAY_CONFIG, &text)
}

/// Has the next gateway listen where the last one did, so that its workers and clients find it again.
pub(super) fn fix_addresses(options: &FleetOptions, listening: &Listening) -> Result<()> {
    write_gateway(
        options,
        &listening.api.to_string(),
        &listening.worker.to_string(),
    )
}

/// An access token by the operator's command.
pub(super) fn create_access(folder: &Path, user: &str, role: &str) -> Result<Access> {
    let mut command = Command::new(binary("cocoon-gateway")?);
    command.args([
        "access", "create", "--user", user, "--role", role, "--config",
    ]);
    let text = output(command.arg(folder.join(GATEWAY_CONFIG)))?;
    let token = text
        .split_whitespace()
        .find(|word| word.starts_with("ccn_"));
    Ok(Access(
        token
            .context("`access create` printed no access token")?
            .to_owned(),
    ))
}

/// The files of one worker, as its owner would write them.
pub(super) fn write_worker(
    options: &FleetOptions,
    created: &CreatedWorker,
    gateway: SocketAddr,
    quote_socket: &Path,
) -> Result<()> {
    let folder = &options.folder;
    let own = folder.join(created.id.as_str());
    std::fs::create_dir_all(own.join("state")).context("cannot create the worker's folder")?;
    let own = own
        .canonicalize()
        .context("the worker's folder has no absolute path")?;
    write_private(&own.join("enrolment-secret"), &created.enrolment_secret)?;
    let pool = folder
        .canonicalize()
        .context("the fleet's folder has no absolute path")?;
    let text = format!(
        r#"worker_id = "{id}"
enrolment_secret_file = "{own}/enrolment-secret"
quote_socket = "{quote_socket}"
executor = "{executor}"
metrics_listen = "{LOOPBACK_ANY}"
state_dir = "{own}/state"

[gateway]
address = "{gateway}"
server_name = "localhost"
pool_ca_file = "{pool}/{POOL_CA}"

[event_log]
ccel = "{pool}/{CCEL}"
runtime = "{pool}/{RUN_TIME_EVENTS}"
{gpu}{model}"#,
        gpu = gpu(&options.executor)?,
        model = model(options)?,
        executor = match options.executor {
            WorkerExecutor::Cpu => "cpu",
            WorkerExecutor::Cuda { .. } => "cuda",
        },
        id = created.id,
        quote_socket = quote_socket.display(),
        own = own.display(),
        pool = pool.display(),
    );
    write(&own, "worker.toml", &text)
}

/// The worker's table of its GPU, if it has one.
fn gpu(executor: &WorkerExecutor) -> Result<String> {
    let WorkerExecutor::Cuda { device, libraries } = executor else {
        return Ok(String::new());
    };
    let mut table = "\n[gpu]\n".to_owned();
    if let Some(device) = device {
        writeln!(table, "device = \"{device}\"")?;
    }
    if let Some(folder) = libraries {
        let absolute = folder.canonicalize();
        let folder = absolute.with_context(|| format!("no libraries in {}", folder.display()))?;
        writeln!(table, "cuda_libraries = \"{}\"", folder.display())?;
    }
    Ok(table)
}

/// The worker's table of the model, if it is to have one.
fn model(options: &FleetOptions) -> Result<String> {
    let Some(folder) = &options.model else {
        return Ok(String::new());
    };
    let absolute = folder.canonicalize();
    let folder = absolute.with_context(|| format!("no model in {}", folder.display()))?;
    Ok(format!("\n[model]\ndirectory = \"{}\"\n", folder.display()))
}

/// A handle on the API.
pub(super) fn client(folder: &Path, api: SocketAddr, access: &Access) -> Result<Gateway> {
    let pem = std::fs::read(folder.join(API_CA)).context("cannot read the API's CA")?;
    let options = Options {
        address: Address::parse(&format!("https://localhost:{}", api.port()))?,
        access_token: Some(AccessToken::parse(access.reveal())?),
        roots: Roots::Only { pem },
        retries: Retries::default(),
    };
    Gateway::new(options).context("cannot set up the client")
}

fn write(folder: &Path, name: &str, contents: impl AsRef<[u8]>) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))
}

/// A new file that only its owner may read, from the moment it is there.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Runs a command to its end and gives what it printed.
fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} failed ({}): {errors}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_table_says_of_its_gpu_what_is_known() {
        let table = |device: Option<&str>, libraries: Option<&Path>| {
            gpu(&WorkerExecutor::Cuda {
                device: device.map(str::to_owned),
                libraries: libraries.map(Path::to_owned),
            })
        };
        assert_eq!(gpu(&WorkerExecutor::Cpu).unwrap(), "");
        assert_eq!(table(None, None).unwrap(), "\n[gpu]\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let wanted = format!(
            "\n[gpu]\ndevice = \"GPU-1\"\ncuda_libraries = \"{}\"\n",
            path.display()
        );
        assert_eq!(table(Some("GPU-1"), Some(folder.path())).unwrap(), wanted);
        let missing = table(None, Some(&path.join("none"))).unwrap_err();
        assert!(missing.to_string().starts_with("no libraries in "));
    }
}
