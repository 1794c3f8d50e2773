//! Everything outside the process that [`run`](crate::run()) is given: clocks, randomness, and where the executable is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use attestation::gpu::GpuTrustAnchor;
use kernels::executor::Clock;

/// The worker's world. `main` names the real one; tests name their own executable.
#[derive(Clone)]
pub struct World {
    /// Monotonic now.
    pub monotonic: Clock,
    /// Unix milliseconds, for receipts and for the dates of the GPUs' certificates.
    pub wall_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// For jitter alone; nothing secret comes of it.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The executable that is measured, and that runs as the executor child.
    pub executable: PathBuf,
    /// The root that the GPUs' certificates must end in before the GPUs are set ready.
    pub gpu_anchor: GpuTrustAnchor,
    /// Where NVML is; `None`: where the dynamic loader finds it.
    pub nvml_library: Option<PathBuf>,
}

impl World {
    /// The real one, with the root that `main` names. `/proc/self/exe` is the running executable even when its file was replaced meanwhile.
    #[must_use]
    pub fn real(gpu_anchor: GpuTrustAnchor) -> Self {
        Self {
            monotonic: Arc::new(monotonic_now),
            wall_ms: Arc::new(wall_now_ms),
            random: Arc::new(rand::random::<u64>),
            executable: PathBuf::from("/proc/self/exe"),
            gpu_anchor,
            nvml_library: None,
        }
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn unix_s(&self) -> u64 {
        (self.wall_ms)() / 1_000
    }
}

impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("World")
            .field("executable", &self.executable)
            .field("gpu_anchor", &self.gpu_anchor)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the process's one monotonic clock"
)]
fn monotonic_now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the process's one wall clock")]
fn wall_now_ms() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
