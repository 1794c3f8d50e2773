//! Tasks at a fixed rate, whose submitters wait for their outputs: which is due when, and how long each took.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::work::now;

/// What a cold connection or an empty cache costs is no latency.
const WARM_UP: Duration = Duration::from_secs(2);

/// From when a task was due to when its submitter had its output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

#[derive(Debug)]
pub struct Awaited {
    starts_at: Instant,
    interval: Duration,
    /// Number of the task that is due next.
    due: AtomicU32,
    /// By task, how long it took.
    took: Mutex<Vec<(u32, Duration)>>,
}

impl Awaited {
    pub fn new(starts_at: Instant, interval: Duration) -> Self {
        Self {
            starts_at,
            interval,
            due: AtomicU32::new(0),
            took: Mutex::default(),
        }
    }

    /// Waits until the next task is due; its number.
    pub async fn due(&self) -> u32 {
        let number = self.due.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep_until(self.due_at(number).into()).await;
        number
    }

    fn due_at(&self, number: u32) -> Instant {
        self.starts_at + self.interval * number
    }

    /// What goes to a task's submitter: the task's number, as its input begins with, and the digest.
    pub fn output(input: &[u8], digest: &[u8]) -> Vec<u8> {
        let number = input.first_chunk::<4>().copied().unwrap_or_default();
        [&number, digest].concat()
    }

    /// A submitter has an output, which is on disk.
    pub fn told(&self, output: &[u8]) -> Result<()> {
        let number = output.first_chunk().context("an output without a number")?;
        let number = u32::from_le_bytes(*number);
        let took = now().saturating_duration_since(self.due_at(number));
        let mut all = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((number, took));
        Ok(())
    }

    /// How many outputs submitters have.
    pub fn count(&self) -> usize {
        let took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        took.len()
    }

    /// Of the tasks that were due once all was warm; none, where there were none.
    pub fn latency(&self) -> Option<Latency> {
        let all = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        let is_warm = |number| self.interval * number >= WARM_UP;
        let warm = all.iter().filter(|(number, _)| is_warm(*number));
        let mut took: Vec<_> = warm.map(|(_, took)| *took).collect();
        took.sort_unstable();
        // The least that so many of a hundred did not exceed.
        let part = |percent: usize| {
            let position = (took.len() * percent).div_ceil(100).checked_sub(1)?;
            Some(took.get(position)?.as_secs_f64() * 1e3)
        };
        Some(Latency {
            p50_ms: part(50)?,
            p99_ms: part(99)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_once_all_was_warm_counts() {
        let awaited = Awaited::new(now(), Duration::from_secs(1));
        assert_eq!(awaited.latency(), None);
        for (number, ms) in [(0_u32, 900), (1, 900), (2, 10), (3, 30), (4, 20)] {
            let took = (number, Duration::from_millis(ms));
            awaited.took.lock().unwrap().push(took);
        }
        let expected = Latency {
            p50_ms: 20.0,
            p99_ms: 30.0,
        };
        assert_eq!(awaited.latency(), Some(expected));
    }

    #[tokio::test]
    async fn an_output_says_whose_it_is() {
        let awaited = Awaited::new(now(), Duration::from_millis(1));
        assert_eq!((awaited.due().await, awaited.due().await), (0, 1));
        let output = Awaited::output(&crate::work::payload(1), b"digest");
        assert_eq!(output, b"\x01\0\0\0digest");
        awaited.told(&output).unwrap();
        assert_eq!(awaited.count(), 1);
        assert!(awaited.told(b"\x01").is_err());
    }
}
