//! The load generator's clocks: it measures time, which nothing else here may.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "a load generator measures time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// For receipts, which carry the worker's own wall time.
#[expect(
    clippy::disallowed_methods,
    reason = "the wall clock of the simulated workers"
)]
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Microseconds of each of so many, of what all took together.
pub(super) fn us_each(all: Duration, count: u32) -> f64 {
    all.as_secs_f64() * 1e6 / f64::from(count.max(1))
}

pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
