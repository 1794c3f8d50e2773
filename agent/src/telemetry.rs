//! What NVML says of the GPUs: read by one thread, every reading optional, nothing where there is no GPU.
//!
//! The agent itself never initialises CUDA; NVML alone does not touch a device's contexts.

mod nvml;

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use attestation::GpuClaim;
use protocol::telemetry::GpuTelemetry;

use crate::config::chain;
use crate::world::World;
pub use nvml::{Gpus, TelemetryError};

/// Often enough for a dashboard, rarely enough to cost nothing.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The latest readings. Dropping it ends the sampling thread.
#[derive(Debug)]
pub struct Telemetry {
    latest: Arc<Mutex<Vec<GpuTelemetry>>>,
    claims: Vec<GpuClaim>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Telemetry {
    /// Starts to sample, if there is anything to sample.
    #[must_use]
    pub fn start(world: &World) -> Self {
        match Gpus::open(world.nvml_library.as_deref()) {
            Ok(gpus) => Self::sample(gpus),
            Err(error) => {
                tracing::info!(reason = chain(&error), "no GPU telemetry");
                Self::absent()
            }
        }
    }

    fn absent() -> Self {
        Self {
            latest: Arc::default(),
            claims: Vec::new(),
            stop: None,
            thread: None,
        }
    }

    fn sample(gpus: Gpus) -> Self {
        let claims = gpus.claims();
        let latest = Arc::new(Mutex::new(gpus.read()));
        let (stop, stopped) = mpsc::channel();
        let written = Arc::clone(&latest);
        let thread = std::thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || {
                // A driver that is being reloaded makes NVML hang for seconds: nobody but this thread waits for it.
                while let Err(mpsc::RecvTimeoutError::Timeout) =
                    stopped.recv_timeout(SAMPLE_INTERVAL)
                {
                    let read = gpus.read();
                    *written.lock().unwrap_or_else(PoisonError::into_inner) = read;
                }
            });
        Self {
            latest,
            claims,
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

    /// The GPUs as the worker claims them.
    #[must_use]
    pub fn claims(&self) -> &[GpuClaim] {
        &self.claims
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
            ..World::real()
        };
        let telemetry = Telemetry::start(&world);
        assert!(telemetry.latest().is_empty() && telemetry.claims().is_empty());
    }
}
