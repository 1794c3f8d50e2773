//! `cocoon-attest`: inspect and verify attestation evidence and receipts, offline, under Intel's root.

use std::{
    io,
    time::{SystemTime, UNIX_EPOCH},
};

use attestation::{TrustAnchor, gpu::GpuTrustAnchor};
use attestation_cli::{Exit, World, run};

fn main() -> Exit {
    let world = World {
        anchor: TrustAnchor::intel(),
        gpu_anchor: GpuTrustAnchor::nvidia(),
        now_s: &now_s,
        input: &mut io::stdin().lock(),
        output: &mut io::stdout().lock(),
        errors: &mut io::stderr().lock(),
    };
    run(std::env::args_os(), world)
}

/// The machine's clock, asked only where the user writes `--time now`.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where this process reads the clock"
)]
fn now_s() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |duration| duration.as_secs())
}
