//! The gateway's development twin: the shipped gateway's every line, with the simulator's root as its trust anchor.
//! INSECURE, never shipped.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use gateway::commands;
use gateway::config::{Config, Environment};
use gateway::world::{CollateralFolder, SystemClock, World};
use simulator::SimulatedPlatform;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// INSECURE: a gateway that trusts the simulator's root instead of Intel's.
#[derive(Debug, Parser)]
#[command(name = "devnet-gateway")]
struct Twin {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Seed of the simulated platform whose root is trusted.
    #[arg(long)]
    seed: u64,
}

fn main() -> ExitCode {
    let twin = Twin::parse();
    let arguments = commands::Arguments::parse_from([
        "cocoon-gateway".as_ref(),
        "run".as_ref(),
        "--config".as_ref(),
        twin.config.as_os_str(),
    ]);
    commands::execute(arguments, &Environment::read(), |config| {
        world(config, twin.seed)
    })
}

fn world(config: &Config, seed: u64) -> World {
    World {
        clock: Arc::new(SystemClock::start()),
        trust_anchor: SimulatedPlatform::from_seed(seed).trust_anchor(),
        gpu_trust_anchor: SimulatedPlatform::from_seed(seed).gpu_trust_anchor(),
        collateral: Box::new(CollateralFolder(config.attestation.collateral_dir.clone())),
    }
}
