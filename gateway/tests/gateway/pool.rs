//! One door for every test: a pool in a temporary folder, with a running gateway on ports of its own.

use std::sync::Arc;
use std::time::Duration;

use gateway::access::AccessToken;
use gateway::init::{Initialise, initialise};
use gateway::store::{AccessRole, Location, NewAccessToken, Store};
use gateway::world::{Clock, CollateralFolder, SystemClock};
use gateway::{Config, Listening, RunError, World};
use protocol::Sha256Digest;
use serde_json::json;
use simulator::{CollateralOptions, SimulatedPlatform};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::https::{Answer, Https};

/// The root under which every test's evidence is forged.
pub(crate) const SEED: u64 = 2026;

pub(crate) struct Pool {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) listening: Listening,
    pub(crate) platform: Arc<SimulatedPlatform>,
    pub(crate) operator: String,
    config: Config,
    shutdown: CancellationToken,
    running: JoinSet<Result<(), RunError>>,
}

impl Pool {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let platform = Arc::new(SimulatedPlatform::from_seed(SEED));
        let options = Initialise {
            dir: dir.path().to_owned(),
            hostname: "localhost".parse().unwrap(),
            worker_port: 0,
            api_port: 0,
        };
        let text = initialise(&options).await.unwrap();
        let operator = text
            .split_whitespace()
            .find(|word| word.starts_with("ccn_"));
        let operator = operator.unwrap().to_owned();
        std::fs::write(
            dir.path().join("appraisal-policy.toml"),
            platform.policy_toml(),
        )
        .unwrap();
        let now_s = SystemClock::start().now_us() / 1_000_000;
        let collateral = platform.collateral_json(&CollateralOptions::at(now_s));
        std::fs::write(dir.path().join("collateral/simulated.json"), collateral).unwrap();

        let mut config = Config::from_file(&dir.path().join("gateway.toml")).unwrap();
        for address in [
            &mut config.worker.address,
            &mut config.api.address,
            &mut config.metrics_address,
        ] {
            *address = "127.0.0.1:0".parse().unwrap();
        }
        change(&mut config);
        if let Location::Server(_) = config.database {
            // Its first access token is in the file that it was made with.
            record_token(&config, "operator", AccessRole::Operator, &operator).await;
        }
        let (running, shutdown, listening) = run(&config, &platform).await;
        Self {
            dir,
            listening,
            platform,
            operator,
            config,
            shutdown,
            running,
        }
    }

    /// A client's access token for this user.
    pub(crate) async fn client(&self, user: &str) -> String {
        let token = AccessToken::generate().unwrap();
        record_token(&self.config, user, AccessRole::Client, token.expose()).await;
        token.expose().to_owned()
    }

    /// A second gateway of the same pool, on the same database.
    pub(crate) async fn second(&self) -> Self {
        let config = Config {
            state_dir: self.dir.path().join("second"),
            ..self.config.clone()
        };
        let (running, shutdown, listening) = run(&config, &self.platform).await;
        Self {
            dir: Arc::clone(&self.dir),
            listening,
            platform: Arc::clone(&self.platform),
            operator: self.operator.clone(),
            config,
            shutdown,
            running,
        }
    }

    /// HTTPS with this access token.
    pub(crate) fn https(&self, token: &str) -> Https {
        let ca = std::fs::read(self.dir.path().join("tls/api-ca.pem")).unwrap();
        Https::new(self.listening.api, &ca, Some(token))
    }

    /// HTTPS as the operator.
    pub(crate) fn operator(&self) -> Https {
        self.https(&self.operator)
    }

    /// Enrols a worker and answers its secret.
    pub(crate) async fn enrol(&self, id: &str) -> Vec<u8> {
        let answer = self
            .operator()
            .post("/v1/workers", &json!({ "id": id }))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        hex::decode(answer.json()["enrolment_secret"].as_str().unwrap()).unwrap()
    }

    /// Replaces the appraisal policy's file.
    pub(crate) fn write_policy(&self, text: &str) {
        std::fs::write(self.dir.path().join("appraisal-policy.toml"), text).unwrap();
    }

    /// Replaces the policy, and has the gateway read it.
    pub(crate) async fn reload_policy(&self, text: &str) {
        self.write_policy(text);
        let path = "/v1/appraisal-policy:reload";
        let answer = self.operator().post(path, &serde_json::Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let sha256 = Sha256Digest::of(text.as_bytes()).to_string();
        assert_eq!(answer.json()["sha256"], sha256);
    }

    /// Replaces the collateral's file, or removes it, and has the gateway read it.
    pub(crate) fn replace_collateral(&self, collateral: Option<&str>) {
        let file = self.dir.path().join("collateral/simulated.json");
        match collateral {
            Some(json) => std::fs::write(file, json).unwrap(),
            None => std::fs::remove_file(file).unwrap(),
        }
        hang_up();
    }

    /// One of the simulated machines that the policy enrols.
    pub(crate) fn machine(number: u16) -> Arc<SimulatedPlatform> {
        Arc::new(SimulatedPlatform::machine(SEED, number))
    }

    /// The gateway's database, beside the gateway.
    pub(crate) fn database(&self) -> std::path::PathBuf {
        self.config.state_dir.join(gateway::config::DATABASE)
    }

    /// Metrics by plain HTTP.
    pub(crate) async fn metrics(&self, path: &str) -> Answer {
        Https::plain(self.listening.metrics).get(path).await
    }

    /// Stops in order; what `run` answered.
    pub(crate) async fn stop(&mut self) -> Result<(), RunError> {
        self.shutdown.cancel();
        self.running.join_next().await.unwrap().unwrap()
    }

    /// Begins to stop, without waiting.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.cancel();
    }

    /// Starts again on the same folder.
    pub(crate) async fn restart(&mut self) {
        let (running, shutdown, listening) = run(&self.config, &self.platform).await;
        (self.running, self.shutdown, self.listening) = (running, shutdown, listening);
    }
}

async fn record_token(config: &Config, user: &str, role: AccessRole, text: &str) {
    let store = Store::open_beside(config.database.clone()).await.unwrap();
    let record = NewAccessToken {
        sha256: Sha256Digest::of(text.as_bytes()),
        user: user.parse().unwrap(),
        role,
        created_ms: 1,
    };
    store.create_access_token(record).await.unwrap();
    store.close().await;
}

/// SIGHUP to this very process: every gateway in it reads its files again, and most find nothing new.
pub(crate) fn hang_up() {
    let myself = std::process::id().to_string();
    let hangup = std::process::Command::new("kill")
        .args(["-HUP", &myself])
        .status();
    assert!(hangup.unwrap().success());
}

async fn run(
    config: &Config,
    platform: &SimulatedPlatform,
) -> (JoinSet<Result<(), RunError>>, CancellationToken, Listening) {
    let shutdown = CancellationToken::new();
    let world = World {
        clock: Arc::new(SystemClock::start()),
        trust_anchor: platform.trust_anchor(),
        gpu_trust_anchor: simulator::gpu::simulated_gpu_anchor(SEED),
        collateral: Box::new(CollateralFolder(config.attestation.collateral_dir.clone())),
    };
    let mut running = JoinSet::new();
    running.spawn(gateway::run(config.clone(), world, shutdown.clone()));
    for _ in 0..1_000 {
        if let Some(listening) = Listening::read(&config.state_dir) {
            return (running, shutdown, listening);
        }
        if let Some(ended) = running.try_join_next() {
            panic!("{ended:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the gateway does not listen");
}

/// Submits one `sha256_batch` task over these bytes; its id.
pub(crate) async fn submit(https: &Https, input: &[u8]) -> String {
    let answer = https.post("/v1/tasks", &hash_task(input)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The body of a `sha256_batch` task over these bytes.
pub(crate) fn hash_task(input: &[u8]) -> serde_json::Value {
    json!({ "operation": "sha256_batch", "inputs": [{ "data": base64(input) }] })
}

/// Standard base64, by hand: the gateway itself depends on no encoder.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * position) & 63).unwrap();
            let letter = if position <= chunk.len() {
                ALPHABET[index]
            } else {
                b'='
            };
            text.push(char::from(letter));
        }
    }
    text
}
