//! A worker in this process, with a quote broker and a configuration file of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::config::Config;
use agent::quote::broker::{Broker, QuoteSource, Rules};
use agent::{RunError, World};
use attestation::ReportData;
use attestation::broker::Failure;
use attestation::gpu::GpuTrustAnchor;
use protocol::lease::{Lease, LeaseInput};
use protocol::task::{InputDescriptor, TaskBody};
use protocol::{FencingToken, TaskId};
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::gateway::{self, Gateway, Running};

/// Debug builds on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// A quote that is its own report data.
struct Echo;

impl QuoteSource for Echo {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, Failure> {
        Ok(report_data.bytes().to_vec())
    }
}

pub(crate) struct Pool {
    folder: tempfile::TempDir,
    pub(crate) gateway: Running,
    pub(crate) shutdown: CancellationToken,
    worker: JoinSet<Result<(), RunError>>,
    _broker: JoinSet<()>,
}

impl Pool {
    /// A gateway, a broker, and a worker that is on its way to them.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(prepare: impl FnOnce(&Gateway)) -> Self {
        let world = World::real(GpuTrustAnchor::nvidia());
        Self::start_in(world, |config| config, prepare).await
    }

    /// A worker with a changed configuration, in a world of the test's making.
    pub(crate) async fn start_in(
        world: World,
        change: impl FnOnce(String) -> String,
        prepare: impl FnOnce(&Gateway),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway = gateway::start().await;
        prepare(&gateway.state);
        let broker = serve_quotes(folder.path());
        let config = write_config(folder.path(), &gateway);
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, change(text)).unwrap();
        let config = Config::load(&config).unwrap();
        let world = World {
            executable: env!("CARGO_BIN_EXE_cocoon-worker").into(),
            ..world
        };
        let shutdown = CancellationToken::new();
        let mut worker = JoinSet::new();
        worker.spawn(agent::run(config, world, shutdown.clone()));
        Self {
            folder,
            gateway,
            shutdown,
            worker,
            _broker: broker,
        }
    }

    pub(crate) fn state(&self) -> &Arc<Gateway> {
        &self.gateway.state
    }

    /// Waits until it holds; a test that waits longer than a minute has failed.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Gateway) -> bool) {
        let waiting = async {
            while !holds(&self.gateway.state) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ended = self.worker.join_next() => panic!("the worker ended: {ended:?}"),
            waited = tokio::time::timeout(LIMIT, waiting) => waited.unwrap_or_else(|_| panic!("{what} did not happen")),
        }
    }

    /// What the worker's metrics listener answers.
    pub(crate) async fn asked(&self, path: &str) -> String {
        let listening = std::fs::read_to_string(self.folder.path().join("listening.json")).unwrap();
        let listening: serde_json::Value = serde_json::from_str(&listening).unwrap();
        let address = listening["metrics"].as_str().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(LIMIT, self.worker.join_next()).await;
        ended
            .expect("the worker stops when it is told to")
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

/// A broker on `quote.sock` in this folder.
pub(crate) fn serve_quotes(folder: &Path) -> JoinSet<()> {
    let mut serving = JoinSet::new();
    let listener = UnixListener::bind(folder.join("quote.sock")).unwrap();
    let rules = Rules {
        allowed_uids: [rustix::process::getuid().as_raw()].into(),
        deadline: LIMIT,
        waiting_max: 4,
    };
    serving.spawn(Broker::new(Echo, rules).serve(listener, CancellationToken::new()));
    serving
}

/// Everything that a worker needs; its enrolment secret is 0x42 32 times.
pub(crate) fn write_config(folder: &Path, gateway: &Running) -> std::path::PathBuf {
    std::fs::write(folder.join("secret"), "42".repeat(32)).unwrap();
    std::fs::write(folder.join("ca.pem"), &gateway.pool_ca_pem).unwrap();
    let path = folder.join("worker.toml");
    let (folder, address) = (folder.display(), gateway.address);
    let text = format!(
        r#"
        worker_id = "worker-1"
        enrolment_secret_file = "{folder}/secret"
        quote_socket = "{folder}/quote.sock"
        executor = "cpu"
        metrics_listen = "127.0.0.1:0"
        state_dir = "{folder}"
        capacity = 32
        [gateway]
        address = "{address}"
        server_name = "localhost"
        pool_ca_file = "{folder}/ca.pem"
        "#
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// `sha256_batch` over these messages.
pub(crate) fn hash_task(number: u64, messages: &[&[u8]]) -> Lease {
    lease(number, "sha256_batch", serde_json::json!({}), messages)
}

/// A one-row transpose: the output is the input.
pub(crate) fn copy_task(number: u64, input: &[u8]) -> Lease {
    lease(
        number,
        "transpose",
        serde_json::json!({"rows": 1, "columns": input.len() / 4}),
        &[input],
    )
}

/// The product of two square matrices of ones.
pub(crate) fn product_task(number: u64, side: usize) -> Lease {
    let ones: Vec<u8> = std::iter::repeat_n(1.0_f32.to_le_bytes(), side * side)
        .flatten()
        .collect();
    let parameters = serde_json::json!({"m": side, "n": side, "k": side});
    lease(number, "gemm", parameters, &[&ones, &ones])
}

pub(crate) fn lease(
    number: u64,
    operation: &str,
    parameters: serde_json::Value,
    inputs: &[&[u8]],
) -> Lease {
    let body = TaskBody {
        operation: operation.to_owned(),
        version: 1,
        parameters: serde_json::from_value(parameters).unwrap(),
        inputs: inputs
            .iter()
            .map(|input| InputDescriptor::of(input))
            .collect(),
    };
    Lease {
        task: TaskId::from_parts(number, 0),
        attempt: 1,
        fencing_token: FencingToken(number),
        lease_duration_ms: 30_000,
        body: ByteBuf::from(body.canonical().unwrap()),
        inputs: inputs
            .iter()
            .map(|input| LeaseInput::Inline(ByteBuf::from(*input)))
            .collect(),
    }
}
