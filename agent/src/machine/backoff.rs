//! Waiting longer after each failure, with full jitter: uniform between nothing and a ceiling that doubles, so that ten
//! thousand workers that lost one gateway do not come back as one.

use std::time::Duration;

/// Nothing that these codes stand for changes within a minute (E3xx to E6xx).
pub const SLOW_RETRY: Duration = Duration::from_mins(1);

/// The first reconnect comes within this …
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
/// … and none later than this after the one before it.
const RECONNECT_MAX: Duration = Duration::from_secs(30);
/// A session that lasted this long was a good one: the next failure is the first again.
pub const STEADY: Duration = Duration::from_secs(30);

/// A growing ceiling.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// The first wait is at most `first`, every wait at most `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            failures: 0,
        }
    }

    /// Between connections to a gateway.
    #[must_use]
    pub const fn of_reconnects() -> Self {
        Self::new(RECONNECT_FIRST, RECONNECT_MAX)
    }

    /// How long to wait after one more failure.
    pub fn failed(&mut self, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        jitter(self.first.saturating_mul(factor).min(self.max), random)
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// Uniform from nothing to `ceiling`, in microseconds, as `random` says.
#[must_use]
pub fn jitter(ceiling: Duration, random: u64) -> Duration {
    let micros = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random % micros.saturating_add(1).max(1))
}

/// At least a minute, at most two.
#[must_use]
pub fn slow_retry(random: u64) -> Duration {
    SLOW_RETRY.saturating_add(jitter(SLOW_RETRY, random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_its_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        // One microsecond below a multiple of every ceiling's range is the ceiling itself only for that ceiling.
        let ceilings = [100, 200, 400, 800, 1_000, 1_000];
        for ceiling_ms in ceilings {
            let ceiling = Duration::from_millis(ceiling_ms);
            let random = u64::try_from(ceiling.as_micros()).unwrap();
            assert_eq!(backoff.failed(random), ceiling);
        }
        backoff.succeeded();
        assert!(backoff.failed(u64::MAX) <= Duration::from_millis(100));
    }

    #[test]
    fn jitter_covers_the_whole_range() {
        let ceiling = Duration::from_micros(9);
        let seen: Vec<_> = (0..10)
            .map(|random| jitter(ceiling, random).as_micros())
            .collect();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(jitter(ceiling, 10), Duration::ZERO);
        assert_eq!(jitter(Duration::ZERO, 7), Duration::ZERO);
        assert!(jitter(Duration::MAX, u64::MAX - 1) > Duration::ZERO);
    }

    #[test]
    fn a_hundred_failures_overflow_nothing() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        for random in 0..100 {
            assert!(backoff.failed(random) <= Duration::from_secs(30));
        }
    }

    #[test]
    fn a_slow_retry_takes_a_minute_at_least() {
        for random in [0, 1, u64::MAX] {
            assert!((SLOW_RETRY..=SLOW_RETRY * 2).contains(&slow_retry(random)));
        }
    }
}
