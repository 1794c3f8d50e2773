//! `/metrics`, `/healthz` and `/readyz` on a loopback listener.

mod gauges;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kernels::executor::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use gauges::{Gauges, Shown};

use crate::machine::QuarantineReason;

/// A scraper, a health probe and a person.
const CONNECTIONS_MAX: usize = 16;
/// A request is one line and a few headers.
const HEADER_LIMIT: Duration = Duration::from_secs(5);
/// The driver turns at least every five seconds; after this many it hangs.
const DRIVER_SILENCE_MAX: Duration = Duration::from_secs(30);
/// Rest after a failed accept, so that a full descriptor table is not met with a busy loop.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// In the state directory: where harnesses and operators find a listener whose port the system chose.
const LISTENING_FILE: &str = "listening.json";
/// What Prometheus expects of its text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the driver says of itself, for probes.
#[derive(Debug, Default)]
pub struct Health {
    ready: AtomicBool,
    quarantine: Mutex<Option<QuarantineReason>>,
    /// Milliseconds since the agent's start.
    turned_ms: AtomicU64,
}

impl Health {
    /// The driver turned at `now`.
    pub fn turned(&self, now: Duration, shown: Shown) {
        self.turned_ms.store(millis(now), Ordering::Relaxed);
        *self.quarantine() = shown.quarantine;
        self.ready.store(shown.ready, Ordering::Relaxed);
    }

    fn quarantine(&self) -> MutexGuard<'_, Option<QuarantineReason>> {
        self.quarantine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_alive(&self, now: Duration) -> bool {
        let silent_ms = millis(now).saturating_sub(self.turned_ms.load(Ordering::Relaxed));
        silent_ms <= millis(DRIVER_SILENCE_MAX)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Answers probes and scrapers.
#[derive(Clone)]
pub struct Probes {
    pub health: Arc<Health>,
    pub gauges: Arc<Gauges>,
    pub clock: Clock,
    pub started: std::time::Instant,
}

impl std::fmt::Debug for Probes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Probes")
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

/// Binds, and says in the state directory where.
pub async fn bind(address: SocketAddr, state_dir: &Path) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let text = format!("{}\n", serde_json::json!({ "metrics": bound.to_string() }));
    std::fs::create_dir_all(state_dir)?;
    // In one step: whoever waits for the file never reads half of it.
    let (path, new) = (
        state_dir.join(LISTENING_FILE),
        state_dir.join("listening.json.new"),
    );
    std::fs::write(&new, text)?;
    std::fs::rename(&new, &path)?;
    tracing::info!(metrics = %bound, "listening");
    Ok(listener)
}

impl Probes {
    /// Serves until `shutdown`, then drops every connection.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let mut connections = JoinSet::new();
        while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(self.clone().converse(stream));
                }
                Ok(_) => tracing::warn!(CONNECTIONS_MAX, "too many probes; dropped one"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a probe");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
        connections.shutdown().await;
    }

    async fn converse(self, stream: TcpStream) {
        let service = service_fn(move |request| {
            std::future::ready(Ok::<_, Infallible>(self.answer(&request)))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_LIMIT)
            .keep_alive(true)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a probe's connection ended");
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        let now = (self.clock)().saturating_duration_since(self.started);
        match request.uri().path() {
            "/metrics" => text(StatusCode::OK, self.gauges.render()),
            "/healthz" if self.health.is_alive(now) => text(StatusCode::OK, "alive\n"),
            "/healthz" => text(StatusCode::SERVICE_UNAVAILABLE, "the driver hangs\n"),
            "/readyz" if self.health.ready.load(Ordering::Relaxed) => {
                text(StatusCode::OK, "ready\n")
            }
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, self.not_ready()),
            _ => text(
                StatusCode::NOT_FOUND,
                "there is /metrics, /healthz and /readyz\n",
            ),
        }
    }
}

impl Probes {
    fn not_ready(&self) -> String {
        match *self.health.quarantine() {
            Some(reason) => format!(
                "not ready: the executor is in quarantine, because {}\n",
                reason.as_str()
            ),
            None => "not ready: no admitted connection, no executor, or stopping\n".to_owned(),
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(METRICS_TYPE),
    );
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::World;

    async fn get(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn probes_see_what_the_driver_says() {
        let world = World::real(attestation::gpu::GpuTrustAnchor::nvidia());
        let folder = tempfile::tempdir().unwrap();
        let health = Arc::new(Health::default());
        let probes = Probes {
            health: Arc::clone(&health),
            gauges: Arc::new(Gauges::new()),
            clock: Arc::clone(&world.monotonic),
            started: (world.monotonic)(),
        };
        let listener = bind("127.0.0.1:0".parse().unwrap(), folder.path())
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let written = std::fs::read_to_string(folder.path().join("listening.json")).unwrap();
        assert!(written.contains(&address.to_string()), "{written}");
        let (shutdown, mut serving) = (CancellationToken::new(), JoinSet::new());
        serving.spawn(probes.serve(listener, shutdown.clone()));
        let path =
            |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(
            get(address, &path("/healthz"))
                .await
                .starts_with("HTTP/1.1 200")
        );
        assert!(
            get(address, &path("/readyz"))
                .await
                .starts_with("HTTP/1.1 503")
        );
        let shown = |ready, quarantine| Shown {
            ready,
            quarantine,
            ..Shown::default()
        };
        for reason in QuarantineReason::ALL {
            health.turned(Duration::ZERO, shown(false, Some(reason)));
            let answer = get(address, &path("/readyz")).await;
            assert!(answer.contains("quarantine") && answer.contains(reason.as_str()));
        }
        health.turned(Duration::ZERO, shown(true, None));
        assert!(
            get(address, &path("/readyz"))
                .await
                .starts_with("HTTP/1.1 200")
        );
        assert!(
            get(address, &path("/metrics"))
                .await
                .contains("cocoon_worker_tasks_held")
        );
        assert!(
            get(address, &path("/else"))
                .await
                .starts_with("HTTP/1.1 404")
        );
        assert!(
            get(address, "nonsense\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 400")
        );
        let post = "POST /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert!(get(address, post).await.starts_with("HTTP/1.1 405"));
        shutdown.cancel();
        serving.join_next().await.unwrap().unwrap();
    }

    #[test]
    fn a_driver_that_hangs_is_not_alive() {
        let health = Health::default();
        assert!(health.is_alive(DRIVER_SILENCE_MAX));
        assert!(!health.is_alive(DRIVER_SILENCE_MAX + Duration::from_millis(1)));
    }
}
