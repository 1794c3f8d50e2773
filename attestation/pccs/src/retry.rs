//! After how long a request is made again.

use std::time::Duration;

use crate::limits::RETRY_AFTER_MAX;

/// What a source asked for, or anything up to the doubled delay: full jitter, so that gateways that failed together do not
/// come back together. `None`: it asked for longer than anybody here waits.
pub(crate) fn delay(
    first: Duration,
    retries: u32,
    asked: Option<Duration>,
    random: u16,
) -> Option<Duration> {
    let doubled = first.saturating_mul(2_u32.saturating_pow(retries));
    let jitter = doubled.min(RETRY_AFTER_MAX).mul_f64(share(random));
    match asked {
        Some(asked) if asked > RETRY_AFTER_MAX => None,
        // Never before it asked for, and not all at that very moment.
        Some(asked) => Some(asked.saturating_add(jitter)),
        None => Some(jitter),
    }
}

/// Uniform in 0 to 1.
fn share(random: u16) -> f64 {
    f64::from(random) / f64::from(u16::MAX)
}

/// A uniformly distributed value. Without one from the system the delay is the longest, which harms nobody.
pub(crate) fn random_u16() -> u16 {
    let mut bytes = [0; 2];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u16::from_be_bytes(bytes),
        Err(_) => u16::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);

    #[test]
    fn delays_double_up_to_a_bound() {
        let longest = |retries| delay(FIRST, retries, None, u16::MAX).unwrap();
        assert_eq!(longest(0), FIRST);
        assert_eq!(longest(2), FIRST * 4);
        assert_eq!(longest(u32::MAX), RETRY_AFTER_MAX);
        assert_eq!(delay(FIRST, 5, None, 0).unwrap(), Duration::ZERO);
    }

    #[test]
    fn a_source_is_given_the_time_that_it_asks_for() {
        let asked = Duration::from_secs(7);
        assert_eq!(delay(FIRST, 0, Some(asked), 0), Some(asked));
        assert_eq!(delay(FIRST, 0, Some(asked), u16::MAX), Some(asked + FIRST));
        assert_eq!(delay(FIRST, 0, Some(Duration::from_hours(1)), 0), None);
    }
}
