//! Everything outside the process that [`crate::run()`] is given: the clock, the trust anchor, the source of collateral.
//! Only `main` says which.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestation::{TrustAnchor, gpu::GpuTrustAnchor};

/// The gateway's surroundings.
#[derive(Debug)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub trust_anchor: TrustAnchor,
    pub gpu_trust_anchor: GpuTrustAnchor,
    pub collateral: Box<dyn CollateralSource>,
}

/// Where the gateway takes time from.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Wall clock, microseconds since the Unix epoch. May jump.
    fn now_us(&self) -> u64;

    /// Time since some fixed moment. Never goes back; ages of sessions are counted by it.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock of the process's world"
    )]
    pub fn start() -> Self {
        Self {
            started: std::time::Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock of the process's world"
    )]
    fn now_us(&self) -> u64 {
        // A clock before 1970 or after the year 500,000 makes every certificate out of date, which is the right answer.
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|since| u64::try_from(since.as_micros()).ok())
            .unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Where Intel's collateral is kept. Read in the background, never while a worker waits.
pub trait CollateralSource: Send + Sync + fmt::Debug + 'static {
    /// Everything there is now. May block.
    fn read(&self) -> pccs::Reading;
}

/// A folder of `*.json`, each one platform family's collateral.
#[derive(Debug)]
pub struct CollateralFolder(pub PathBuf);

impl CollateralSource for CollateralFolder {
    fn read(&self) -> pccs::Reading {
        pccs::CollateralStore::at(&self.0).read()
    }
}
