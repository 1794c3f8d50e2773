//! Tasks at a fixed rate, whose submitters wait for their outputs: which is due when, and how long each took.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;

use crate::work::now;

/// What a cold connection or an empty cache costs is none of the figures.
const WARM_UP_S: u32 = 2;
/// Tasks that are due and not taken up: a second of the highest rate.
const DUE_MAX: usize = 10_000;

/// From when a task was due to when its output was told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

#[derive(Debug)]
pub struct Awaited {
    starts_at: Instant,
    interval: Duration,
    /// So many come before those that count.
    cold: usize,
    /// Numbers of the tasks that are due.
    due: tokio::sync::Mutex<mpsc::Receiver<u32>>,
    ends: Mutex<Ends>,
}

#[derive(Debug)]
struct Ends {
    /// By task, how long it took.
    took: Vec<Option<Duration>>,
    told: usize,
}

impl Awaited {
    /// So many tasks a second, from now on, for so many seconds behind the time to warm up.
    pub fn new(rate: u32, seconds: u32) -> Self {
        let (starts_at, interval) = (now(), Duration::from_secs(1) / rate);
        let (cold, count) = (rate * WARM_UP_S, rate * (WARM_UP_S + seconds));
        let (due, dues) = mpsc::channel(DUE_MAX);
        // On a thread of its own, as in the load generator: the runtime's timer counts in milliseconds.
        std::thread::spawn(move || pace(starts_at, interval, count, &due));
        Self {
            starts_at,
            interval,
            cold: cold as usize,
            due: dues.into(),
            ends: Mutex::new(Ends {
                took: vec![None; count as usize],
                told: 0,
            }),
        }
    }

    /// Waits until the next task is due; its number. None where all were.
    pub async fn due(&self) -> Option<u32> {
        self.due.lock().await.recv().await
    }

    /// Waits until what follows counts.
    pub async fn warm(&self) {
        let warm_at = self.starts_at + Duration::from_secs(WARM_UP_S.into());
        tokio::time::sleep(warm_at.saturating_duration_since(now())).await;
    }

    /// What tells of a task: its number, as its input begins with, and the digest.
    pub fn output(input: &[u8], digest: &[u8]) -> Result<Vec<u8>> {
        let number: &[u8; 4] = input.first_chunk().context("an input without a number")?;
        Ok([number, digest].concat())
    }

    /// The output of a task that was told, and is on disk. It may be told again.
    pub fn told(&self, output: &[u8]) -> Result<()> {
        let number = output.first_chunk().context("an output without a number")?;
        let number = u32::from_le_bytes(*number);
        let took = (self.starts_at + self.interval * number).elapsed();
        let mut ends = self.ends();
        let Some(end) = ends.took.get_mut(number as usize) else {
            bail!("an output of task {number}, which was not sent");
        };
        if end.is_none() {
            *end = Some(took);
            ends.told += 1;
        }
        Ok(())
    }

    /// How many tasks' outputs were told.
    pub fn count(&self) -> usize {
        self.ends().told
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the tasks that were due once all was warm.
    pub fn latency(&self) -> Option<Latency> {
        let ends = self.ends();
        let warm = ends.took.iter().skip(self.cold);
        let mut took: Vec<_> = warm.flatten().copied().collect();
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

/// Ends early where nobody asks any more.
fn pace(starts_at: Instant, interval: Duration, count: u32, due: &mpsc::Sender<u32>) {
    for number in 0..count {
        let at = starts_at + interval * number;
        std::thread::sleep(at.saturating_duration_since(now()));
        if due.blocking_send(number).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::payload;

    #[test]
    fn what_was_due_once_all_was_warm_counts() {
        let awaited = Awaited::new(100, 2);
        assert_eq!(awaited.latency(), None);
        for (number, took) in awaited.ends().took.iter_mut().enumerate() {
            let ms = if number < 200 { 900 } else { number - 199 };
            *took = Some(Duration::from_millis(ms as u64));
        }
        let expected = Latency {
            p50_ms: 100.0,
            p99_ms: 198.0,
        };
        assert_eq!(awaited.latency(), Some(expected));
    }

    #[tokio::test]
    async fn an_output_counts_once_and_from_when_its_task_was_due() {
        let awaited = Awaited::new(100, 0);
        let mut due = None;
        while let Some(number) = awaited.due().await {
            assert_eq!(number, due.map_or(0, |due| due + 1));
            due = Some(number);
        }
        assert_eq!(due, Some(199));
        let since = awaited.starts_at.elapsed();
        assert!(since >= Duration::from_millis(1_990));
        let output = Awaited::output(&payload(50), b"digest").unwrap();
        assert_eq!(output, b"\x32\0\0\0digest");
        for _ in 0..2 {
            awaited.told(&output).unwrap();
            assert_eq!(awaited.count(), 1);
        }
        let took = awaited.ends().took[50].unwrap();
        assert!(took + Duration::from_millis(500) >= since, "{took:?}");
        assert!(took < awaited.starts_at.elapsed());
    }

    #[tokio::test]
    async fn what_is_of_no_task_is_an_error() {
        let awaited = Awaited::new(100, 0);
        assert!(Awaited::output(b"\x01", b"digest").is_err());
        assert!(awaited.told(b"\x01").is_err());
        assert!(awaited.told(&200_u32.to_le_bytes()).is_err());
        assert!(awaited.told(&199_u32.to_le_bytes()).is_ok());
    }
}
