//! cocoon-gateway. Only here are Intel's root and the operating system's clock named.

use std::process::ExitCode;
use std::sync::Arc;

use attestation::{TrustAnchor, gpu::GpuTrustAnchor};
use clap::Parser;
use gateway::Config;
use gateway::commands::{self, Arguments};
use gateway::config::Environment;
use gateway::world::{CollateralFolder, SystemClock, World};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = Environment::read();
    commands::execute(arguments, &environment, world)
}

fn world(config: &Config) -> World {
    World {
        clock: Arc::new(SystemClock::start()),
        trust_anchor: TrustAnchor::intel(),
        gpu_trust_anchor: GpuTrustAnchor::nvidia(),
        collateral: Box::new(CollateralFolder(config.attestation.collateral_dir.clone())),
    }
}
