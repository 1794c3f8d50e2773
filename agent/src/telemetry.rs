//! What NVML says of the GPUs: read by one thread, every reading optional, nothing where there is no GPU.
//!
//! The agent itself never initialises CUDA; NVML alone does not touch a device's contexts. The same thread notices when the
//! GPUs are not those any more that the worker attested.

mod nvml;

use std::future::pending;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use protocol::telemetry::GpuTelemetry;
use tokio::sync::watch;

use crate::config::chain;
use crate::world::World;
pub(crate) use nvml::printable;
pub use nvml::{Gpus, GpusIdentity, TelemetryError};

/// Often enough for a dashboard, rarely enough to cost nothing.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The latest readings. Dropping it ends the sampling thread.
#[derive(Debug)]
pub struct Telemetry {
    latest: Arc<Mutex<Vec<GpuTelemetry>>>,
    identity: watch::Receiver<GpusIdentity>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Telemetry {
    /// Starts to sample, if there is anything to sample.
    #[must_use]
    pub fn start(world: &World) -> Self {
        match Gpus::open(world.nvml_library.as_deref()) {
            Ok(gpus) => Self::sample(gpus, world.nvml_library.clone()),
            Err(error) => {
                tracing::info!(reason = chain(&error), "no GPU telemetry");
                Self::absent()
            }
        }
    }

    fn absent() -> Self {
        Self {
            latest: Arc::default(),
            identity: watch::channel(GpusIdentity::default()).1,
            stop: None,
            thread: None,
        }
    }

    fn sample(gpus: Gpus, library: Option<PathBuf>) -> Self {
        let latest = Arc::new(Mutex::new(gpus.read()));
        let (stop, stopped) = mpsc::channel();
        let (seen, identity) = watch::channel(gpus.identity());
        let mut sampler = Sampler {
            library,
            gpus: Some(gpus),
            latest: Arc::clone(&latest),
            identity: seen,
        };
        let thread = std::thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || {
                // A driver that is being reloaded makes NVML hang for seconds: nobody but this thread waits for it.
                while let Err(mpsc::RecvTimeoutError::Timeout) =
                    stopped.recv_timeout(SAMPLE_INTERVAL)
                {
                    sampler.sample();
                }
            });
        Self {
            latest,
            identity,
            stop: Some(stop),
            thread: thread.ok(),
        }
    }

    /// The readings of the last second; empty without a GPU.
    #[must_use]
    pub fn latest(&self) -> Vec<GpuTelemetry> {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until the driver or a GPU is another than before: lost, reset, exchanged, reloaded. Changes that nobody
    /// waited for count as one. Never, where there is no GPU. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.identity.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

/// What the thread works with.
struct Sampler {
    library: Option<PathBuf>,
    gpus: Option<Gpus>,
    latest: Arc<Mutex<Vec<GpuTelemetry>>>,
    identity: watch::Sender<GpusIdentity>,
}

impl Sampler {
    fn sample(&mut self) {
        if self.gpus.is_none() {
            self.gpus = Gpus::open(self.library.as_deref()).ok();
        }
        let (identity, readings) = self
            .gpus
            .as_ref()
            .map(|gpus| (gpus.identity(), gpus.read()))
            .unwrap_or_default();
        if !identity.is_whole() {
            // A handle does not survive a reset or a reload. NVML counts who uses it, so it starts afresh only after
            // everybody has let go.
            self.gpus = None;
        }
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = readings;
        self.identity.send_if_modified(|known| {
            let changed = *known != identity;
            if changed {
                tracing::warn!(before = %known, after = %identity, "the GPUs changed");
                *known = identity;
            }
            changed
        });
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Not joined: NVML may hang, and the process is about to end.
        drop(self.thread.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_nvml_has_no_gpus() {
        let world = World {
            nvml_library: Some("/nonexistent/libnvidia-ml.so".into()),
            ..World::real(attestation::gpu::GpuTrustAnchor::nvidia())
        };
        let telemetry = Telemetry::start(&world);
        assert!(telemetry.latest().is_empty());
    }
}
