//! The runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Builder;

use super::dice::Dice;
use super::plan::{Plan, Sabotage};
use super::tally::Tally;
use super::{Outcome, Simulation};

/// Of one test run.
const SEEDS: u64 = 1_000;
/// Runs of one seed alone, with all that happens in it.
const SEED_VARIABLE: &str = "COCOON_FAULTS_SEED";
/// Another number of seeds.
const SEEDS_VARIABLE: &str = "COCOON_FAULTS_SEEDS";
/// What happened before a violation; more nobody reads.
const LINES_SHOWN_MAX: usize = 200;

fn run(plan: Plan, dice: Dice, is_traced: bool) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Simulation::new(plan, dice, is_traced).await.run().await })
}

fn run_seed(seed: u64, is_traced: bool) -> Outcome {
    let (plan, dice) = Plan::draw(seed);
    run(plan, dice, is_traced)
}

/// Runs the seed once more to see how it came about, and fails.
fn fail(seed: u64, violation: &str) -> ! {
    let trace = run_seed(seed, true).trace;
    let shown = &trace[trace.len().saturating_sub(LINES_SHOWN_MAX)..];
    panic!(
        "{}\nseed {seed}: {violation}\nagain: {SEED_VARIABLE}={seed} cargo test --package gateway simulation",
        shown.join("\n")
    );
}

#[expect(clippy::disallowed_methods, reason = "a test is told what to run")]
fn wanted(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

/// Runs the seeds on every core.
fn run_all(seeds: u64) -> Tally {
    let (next, total) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let cores = std::thread::available_parallelism().unwrap().get();
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            return;
        }
        let outcome = run_seed(seed, false);
        if let Err(violation) = outcome.verdict {
            fail(seed, &violation.0);
        }
        total.lock().unwrap().add(&outcome.tally);
    };
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    total.into_inner().unwrap()
}

#[test]
fn a_thousand_pools_keep_their_word() {
    if let Some(seed) = wanted(SEED_VARIABLE) {
        let outcome = run_seed(seed, true);
        println!("{}\n{:#?}", outcome.trace.join("\n"), outcome.tally);
        assert!(
            outcome.verdict.is_ok(),
            "seed {seed}: {:?}",
            outcome.verdict
        );
        return;
    }
    let seeds = wanted(SEEDS_VARIABLE).unwrap_or(SEEDS);
    let tally = run_all(seeds);
    println!("{seeds} seeds: {tally:?}");
    for (what, count) in tally.counts() {
        assert!(count > 0, "no run met `{what}`");
    }
}

/// One seed, with the gateway dying after each of its writes in turn.
#[test]
fn the_gateway_may_die_at_every_write() {
    let dying = |seed, writes: Vec<u64>| {
        let (mut plan, dice) = Plan::draw(seed);
        plan.crash_after_writes = writes;
        run(plan, dice, false)
    };
    let runs = (1..100).map(|seed| (seed, dying(seed, Vec::new()).writes));
    let busy: Vec<_> = runs.filter(|(_, writes)| *writes > 60).take(2).collect();
    assert_eq!(busy.len(), 2, "a hundred seeds write little");
    for (seed, writes) in busy {
        for write in 1..=writes {
            let outcome = dying(seed, vec![write]);
            if let Err(violation) = outcome.verdict {
                panic!("seed {seed}, dead after write {write}: {}", violation.0);
            }
        }
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..10 {
        let (one, other) = (run_seed(seed, false), run_seed(seed, false));
        assert_eq!(
            (one.writes, one.tally),
            (other.writes, other.tally),
            "seed {seed}"
        );
    }
}

/// What a gateway that breaks its word is found out by.
#[test]
fn broken_words_are_noticed() {
    let cases = [
        (Sabotage::ForgetsAck, "must be (Succeeded"),
        (Sabotage::ForgetsSubmission, "lost: "),
        (Sabotage::ForgetsKey, "became"),
        (
            Sabotage::AcceptsTwice,
            "was answered with Accepted, not Superseded",
        ),
        (Sabotage::NeverExpires, "never come to an end"),
        (Sabotage::KeepsLeases, "asked to renew"),
    ];
    for (sabotage, wanted) in cases {
        let violations = (1..=80).filter_map(|seed| {
            let (mut plan, dice) = Plan::draw(seed);
            plan.sabotage = Some(sabotage);
            run(plan, dice, false).verdict.err()
        });
        let violations: Vec<_> = violations.map(|violation| violation.0).take(20).collect();
        assert!(
            violations
                .iter()
                .any(|violation| violation.contains(wanted)),
            "{sabotage:?} was not noticed: {violations:#?}"
        );
    }
}
