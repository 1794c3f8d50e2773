//! How far ahead to lease. Small tasks are worth a full batch; of long ones a worker that hoards them only keeps them from
//! idle workers, and from everybody until their leases run out if it dies.

use std::time::Duration;

/// Work ahead of the executor: hides a round trip and a lost connection's reconnect.
const AHEAD: Duration = Duration::from_secs(2);
/// One that runs and one that is next, however long they take.
const TASKS_MIN: usize = 2;
/// Before the first task has shown how long tasks take.
const TASKS_UNKNOWN: usize = 16;
/// A longer one is a clock that jumped.
const TASK_MS_MAX: u64 = 3_600_000;

/// A moving mean of task durations, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    mean_us: Option<u64>,
}

impl Pace {
    /// A task took so long, by the wall clock.
    pub(super) fn took(&mut self, busy_ms: u64) {
        let us = busy_ms.min(TASK_MS_MAX).saturating_mul(1_000);
        self.mean_us = Some(match self.mean_us {
            // An eighth of the new one: a change shows after about ten tasks.
            Some(mean) => mean.saturating_mul(7).saturating_add(us) / 8,
            None => us,
        });
    }

    /// How many tasks are worth holding, of at most `capacity`.
    pub(super) fn tasks_worth(&self, capacity: usize) -> usize {
        let worth = match self.mean_us {
            Some(mean) => {
                let ahead_us = u64::try_from(AHEAD.as_micros()).unwrap_or(u64::MAX);
                let tasks = ahead_us.checked_div(mean).unwrap_or(u64::MAX);
                usize::try_from(tasks).unwrap_or(usize::MAX)
            }
            None => TASKS_UNKNOWN,
        };
        worth.max(TASKS_MIN).min(capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(durations_ms: &[u64]) -> Pace {
        let mut pace = Pace::default();
        for ms in durations_ms {
            pace.took(*ms);
        }
        pace
    }

    #[test]
    fn small_tasks_come_in_batches_and_long_ones_in_twos() {
        // (durations seen, capacity, tasks worth holding)
        let cases: [(&[u64], usize, usize); 8] = [
            (&[], 64, 16),
            (&[], 4, 4),
            (&[0], 1_000, 1_000),
            (&[2], 1_000, 1_000),
            (&[10], 1_000, 200),
            (&[100], 64, 20),
            (&[60_000], 64, 2),
            (&[60_000], 1, 1),
        ];
        for (durations, capacity, tasks) in cases {
            assert_eq!(
                after(durations).tasks_worth(capacity),
                tasks,
                "{durations:?} {capacity}"
            );
        }
    }

    #[test]
    fn a_change_of_pace_shows_and_a_clock_that_jumps_is_forgiven() {
        let mut durations = vec![0; 20];
        durations.extend([5_000; 20]);
        assert_eq!(after(&durations).tasks_worth(64), 2);
        let mut pace = after(&[1]);
        pace.took(u64::MAX);
        assert_eq!(pace.tasks_worth(64), 2);
        for _ in 0..150 {
            pace.took(0);
        }
        assert_eq!(pace.tasks_worth(64), 64);
    }
}
