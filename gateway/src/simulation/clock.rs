//! Time that the simulation moves on: a monotonic clock that never goes back, and a wall clock that jumps.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::world::Clock;

/// When every run begins, Unix milliseconds.
pub(super) const EPOCH_MS: u64 = 1_700_000_000_000;

/// Both clocks of the gateway's machine.
#[derive(Debug, Default)]
pub(super) struct SimulatedClock {
    now_ms: AtomicU64,
    offset_ms: AtomicI64,
}

impl SimulatedClock {
    pub(super) fn advance(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The wall clock is wrong by so much from now on.
    pub(super) fn jump(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// What the wall clock shows, Unix milliseconds.
    pub(super) fn wall_ms(&self) -> u64 {
        let now_ms = EPOCH_MS + self.now_ms.load(Ordering::Relaxed);
        now_ms.saturating_add_signed(self.offset_ms.load(Ordering::Relaxed))
    }
}

impl Clock for SimulatedClock {
    fn now_us(&self) -> u64 {
        self.wall_ms() * 1_000
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now_ms.load(Ordering::Relaxed))
    }
}
