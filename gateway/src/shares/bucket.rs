//! A token bucket as one moment: when it would be full again (GCRA, the generic cell rate algorithm of ATM). The crate
//! `governor` is the same with clocks and tables of its own, which the gateway has already.

use std::time::Duration;

use crate::config::UserLimits;

/// Full, until something is taken.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// By the gateway's monotonic clock.
    full_at: Duration,
}

/// What is left of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) left: u32,
    pub(crate) full_in: Duration,
}

impl Bucket {
    /// Takes one, or answers how long to wait for it.
    pub(crate) fn take(&mut self, now: Duration, limits: UserLimits) -> Result<Standing, Duration> {
        let of_one = Duration::from_secs(1) / limits.requests_per_s.max(1);
        let of_all = of_one.saturating_mul(limits.burst_max);
        let full_at = self.full_at.max(now).saturating_add(of_one);
        let full_in = full_at.saturating_sub(now);
        let Some(rest) = of_all.checked_sub(full_in) else {
            return Err(full_in.saturating_sub(of_all));
        };
        self.full_at = full_at;
        let left = rest.as_nanos().checked_div(of_one.as_nanos());
        Ok(Standing {
            left: left
                .and_then(|left| u32::try_from(left).ok())
                .unwrap_or(limits.burst_max),
            full_in,
        })
    }
}
