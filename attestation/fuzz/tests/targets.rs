//! Every target as a property test, without libFuzzer: over its seeds, edits of them, and arbitrary bytes. A target that no
//! longer compiles or reaches its parser is seen in `cargo ci test`, and a failure comes with its smallest input.

use std::{collections::HashSet, path::PathBuf};

use fuzz::{Seeds, TARGETS, Target, edited};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

/// Inputs of each kind and target: enough to catch what breaks at a touch, few enough for every run of the tests.
const CASES_COUNT: u32 = 96;

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration of its own"
)]
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut seeds = Seeds::new(std::env::var_os("COCOON_VECTORS").map(PathBuf::from));
    (target.seeds)(&mut seeds);
    seeds.inputs().to_vec()
}

/// Runs a property of one target; the report of a failure names it.
fn holds<T: std::fmt::Debug>(
    target: &Target,
    inputs: &impl Strategy<Value = T>,
    bytes: impl Fn(&T) -> Vec<u8>,
) {
    let config = Config {
        // A failure becomes a test of its own.
        failure_persistence: None,
        ..Config::with_cases(CASES_COUNT)
    };
    let run = TestRunner::new(config).run(inputs, |input| {
        (target.run)(&bytes(&input));
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{}: {error}", target.name));
}

#[test]
fn every_property_holds_of_seeds_and_their_edits() {
    for target in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{} has no seed", target.name);
        for seed in &seeds {
            (target.run)(seed);
        }
        let script = prop::collection::vec(any::<u8>(), 4..16);
        holds(target, &(any::<Index>(), script), |(index, script)| {
            edited(&seeds[index.index(seeds.len())], script)
        });
    }
}

#[test]
fn every_property_holds_of_arbitrary_bytes() {
    for target in TARGETS {
        (target.run)(&[]);
        let bytes = prop::collection::vec(any::<u8>(), 0..400);
        holds(target, &bytes, Vec::clone);
    }
}

#[test]
fn names_are_distinct_and_find_their_targets() {
    let names: HashSet<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len());
    for name in names {
        assert_eq!(fuzz::target(name).map(|target| target.name), Some(name));
    }
    assert!(fuzz::target("no such target").is_none());
}
