//! libFuzzer over one target: `FUZZ_TARGET` names it, everything else is libFuzzer's own command line.
#![no_main]

use std::sync::OnceLock;

use fuzz::{Seeds, Target};
use libfuzzer_sys::fuzz_target;

static CHOSEN: OnceLock<&Target> = OnceLock::new();

#[expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "libFuzzer owns main and the command line"
)]
fn chosen() -> &'static Target {
    CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        fuzz::target(&name).expect("FUZZ_TARGET names a target that exists")
    })
}

/// Runs every seed once before libFuzzer counts: what the targets share (keys, signed collateral) is made by whoever asks
/// first, and no input is to be charged for it.
fn prepare(target: &Target) {
    let mut seeds = Seeds::new(None);
    (target.seeds)(&mut seeds);
    for seed in seeds.inputs() {
        (target.run)(seed);
    }
}

fuzz_target!(init: prepare(chosen()), |input: &[u8]| (chosen().run)(input));
