//! Trying again: which calls, after which failures, and after how long.

use std::time::Duration;

use super::GatewayError;

/// Doubles with each retry.
const DELAY_FIRST: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(5);
/// Whoever is told to stay away for longer gets the refusal at once.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);
/// With the delays above, some three seconds until a gateway counts as unreachable.
const RETRIES_DEFAULT: u32 = 4;

/// Whether a call may be made a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It changes nothing, or twice is as once.
    Safe,
    /// Only when the first certainly had no effect.
    OnlyUnsent,
}

/// How often to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    pub count_max: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            count_max: RETRIES_DEFAULT,
        }
    }
}

impl Retries {
    pub(super) fn of(self, repeat: Repeat) -> Attempts {
        Attempts {
            repeat,
            retries: 0,
            count_max: self.count_max,
        }
    }
}

/// The attempts of one call.
#[derive(Debug)]
pub(super) struct Attempts {
    repeat: Repeat,
    retries: u32,
    count_max: u32,
}

impl Attempts {
    /// After a failed attempt: returns when it is time for the next, or the error when there is none.
    pub(super) async fn after(&mut self, error: GatewayError) -> Result<(), GatewayError> {
        let wanted = error.retry_after().unwrap_or_default();
        let is_last = self.retries >= self.count_max || wanted > RETRY_AFTER_MAX;
        if is_last || !self.repeat.permits(&error) {
            return Err(error);
        }
        // Behind what the gateway asked for, the jitter still keeps many clients from coming back together.
        let delay = wanted.saturating_add(delay(self.retries, random_unit()));
        tokio::time::sleep(delay).await;
        self.retries = self.retries.saturating_add(1);
        Ok(())
    }
}

impl Repeat {
    fn permits(self, error: &GatewayError) -> bool {
        match self {
            Self::Safe => error.is_transient(),
            Self::OnlyUnsent => error.had_no_effect(),
        }
    }
}

/// Full jitter: anything from nothing to the doubled delay, so that many clients do not come back together.
fn delay(retries: u32, unit: f64) -> Duration {
    let factor = 2_u32.checked_pow(retries).unwrap_or(u32::MAX);
    DELAY_FIRST
        .saturating_mul(factor)
        .min(DELAY_MAX)
        .mul_f64(unit)
}

/// A number from 0 to 1. Without randomness the delay is the longest: late, never wrong.
fn random_unit() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use protocol::problem::{Problem, ProblemCode};

    use super::*;
    use crate::gateway::AnswerError;

    fn broken(status: u16) -> GatewayError {
        GatewayError::BadAnswer {
            gateway: String::new(),
            action: "test",
            source: AnswerError::Status {
                status,
                excerpt: String::new(),
            },
        }
    }

    fn refused(code: ProblemCode, retry_after_s: Option<u64>) -> GatewayError {
        GatewayError::Refused {
            action: "test",
            problem: Box::new(Problem::new(code, "")),
            retry_after: retry_after_s.map(Duration::from_secs),
        }
    }

    /// How long after the first attempt the second one is made, if it is.
    async fn waited(error: GatewayError) -> Option<Duration> {
        let began = tokio::time::Instant::now();
        let mut attempts = Retries { count_max: 1 }.of(Repeat::OnlyUnsent);
        attempts.after(error).await.ok().map(|()| began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_gateway_asks_for_is_waited_for() {
        for code in [ProblemCode::Overloaded, ProblemCode::TooManyRequests] {
            let waited = waited(refused(code, Some(7))).await.unwrap();
            let seven = Duration::from_secs(7);
            assert!(
                (seven..=seven + DELAY_FIRST).contains(&waited),
                "{waited:?}"
            );
        }
        let unsaid = waited(refused(ProblemCode::TooManyRequests, None)).await;
        assert!(unsaid.unwrap() <= DELAY_FIRST);
        let too_long = waited(refused(ProblemCode::TooManyRequests, Some(61))).await;
        assert_eq!(too_long, None);
        let queue_full = waited(refused(ProblemCode::QuotaExceeded, Some(10))).await;
        assert_eq!(queue_full, None);
    }

    async fn attempts(repeat: Repeat, status: u16) -> u32 {
        let mut attempts = Retries { count_max: 3 }.of(repeat);
        let mut count = 1;
        while attempts.after(broken(status)).await.is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn only_transient_failures_of_safe_calls_are_tried_again() {
        assert_eq!(attempts(Repeat::Safe, 502).await, 4);
        assert_eq!(attempts(Repeat::Safe, 404).await, 1);
        assert_eq!(attempts(Repeat::OnlyUnsent, 502).await, 1);
    }

    /// What was not answered in time may have been done.
    #[tokio::test(start_paused = true)]
    async fn what_may_have_had_its_effect_is_tried_again_only_where_that_is_safe() {
        let late = || refused(ProblemCode::NotInTime, None);
        assert_eq!(waited(late()).await, None);
        let mut attempts = Retries { count_max: 1 }.of(Repeat::Safe);
        assert!(attempts.after(late()).await.is_ok());
    }

    #[test]
    fn delays_grow_and_are_bounded() {
        assert_eq!(delay(0, 1.0), Duration::from_millis(200));
        assert_eq!(delay(2, 0.5), Duration::from_millis(400));
        assert_eq!(delay(40, 1.0), DELAY_MAX);
        assert_eq!(delay(3, 0.0), Duration::ZERO);
    }
}
