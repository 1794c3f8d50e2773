//! Every choice of a run, out of its seed.

use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The same seed gives the same choices.
pub(super) struct Dice(StdRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub(super) fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.random_range(range)
    }

    /// True so often in a thousand.
    pub(super) fn in_1000(&mut self, times: u64) -> bool {
        self.between(0..=999) < times
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.random()
    }

    pub(super) fn index(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }
}
