//! What goes wrong in one run, and how often.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::dice::Dice;

/// A pool of a few workers and tasks, and its misfortunes.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) workers: usize,
    pub(super) tasks: usize,
    pub(super) lease: Duration,
    /// How long a message is under way when nothing is wrong with the network.
    pub(super) delay_ms: RangeInclusive<u64>,
    /// Messages that never arrive, that arrive twice, that arrive much later: so many in a thousand.
    pub(super) lost: u64,
    pub(super) copied: u64,
    pub(super) late: u64,
    /// Between two of the faults that are drawn.
    pub(super) fault_ms: RangeInclusive<u64>,
    /// The gateway dies right after its write of each of these numbers, before anybody hears of it.
    pub(super) crash_after_writes: Vec<u64>,
    /// It dies when a worker has been told of a new task and nothing of that is on disk: at so many submissions in a thousand.
    pub(super) dies_before_flush: u64,
    /// The executor runs works one after another, as on the CPU.
    pub(super) in_order: bool,
    /// Workers show (simulated) evidence, and the real relying party appraises it. Elsewhere sessions are simply opened, which
    /// takes a hundredth of the time.
    pub(super) is_attested: bool,
    pub(super) sabotage: Option<Sabotage>,
}

/// A gateway that breaks its word, so that the ledger is seen to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Confirms an ack and forgets it.
    ForgetsAck,
    /// Confirms a submission and forgets it.
    ForgetsSubmission,
    /// Forgets that a key was used.
    ForgetsKey,
    /// Says that an output was accepted which was superseded.
    AcceptsTwice,
    /// Takes no lease back that runs out.
    NeverExpires,
    /// Has the tasks of a worker that is taken out run on.
    KeepsLeases,
}

/// One run in so many is attested.
const ATTESTED_EVERY: u64 = 50;

impl Plan {
    pub(super) fn draw(seed: u64) -> (Self, Dice) {
        let mut dice = Dice::new(seed);
        let slow = dice.in_1000(200);
        let mut crash_after_writes: Vec<u64> = (0..dice.between(0..=2))
            .map(|_| dice.between(1..=150))
            .collect();
        crash_after_writes.sort_unstable();
        let plan = Self {
            workers: 1 + dice.index(3),
            tasks: 3 + dice.index(6),
            lease: Duration::from_secs(dice.between(3..=15)),
            delay_ms: if slow { 50..=2_000 } else { 1..=60 },
            lost: dice.between(0..=120),
            copied: dice.between(0..=120),
            late: dice.between(0..=80),
            fault_ms: 1_000..=dice.between(3_000..=12_000),
            crash_after_writes,
            dies_before_flush: dice.between(0..=80),
            in_order: dice.in_1000(700),
            is_attested: seed.is_multiple_of(ATTESTED_EVERY),
            sabotage: None,
        };
        (plan, dice)
    }
}
