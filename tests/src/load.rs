//! `cargo ci load`: a load generator in one process, against a real gateway in a process of its own. Its workers attest with
//! simulated quotes over the attested channel, lease, digest in this process and sign receipts with the agent's own code; its
//! clients submit over the HTTPS API. Numbers to read, never part of green.

mod clock;
mod crew;
mod disk;
mod figures;
mod gateway;
mod latency;
mod metrics;
mod postgres;
mod submitting;
mod throughput;
mod worker;
mod workers;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use gateway::LoadedGateway;
pub use submitting::task;

/// Load on one gateway of this machine. SIMULATED quotes; everything else is what ships.
#[derive(Debug, Parser)]
#[command(name = "cargo ci load", bin_name = "cargo ci load")]
pub struct Arguments {
    #[command(subcommand)]
    load: Load,
    #[command(flatten)]
    common: Common,
}

/// What every kind of load knows.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Print the figures as one JSON object.
    #[arg(long, global = true)]
    json: bool,
    /// Where the gateway's files go while it runs: a new folder is made in this one. On a tmpfs a flush costs nothing.
    #[arg(long, global = true, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Keep everything in a PostgreSQL server that is started for it, from the binaries that are installed. Otherwise in SQLite.
    #[arg(long, global = true)]
    postgres: bool,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// Tasks a second, from submitted to acknowledged, with what each costs; also against a backlog.
    Throughput(throughput::Options),
    /// From when a task's submission is due to its result confirmed, at a fixed rate whatever the gateway does.
    Latency(latency::Options),
    /// Many attested workers on one gateway: memory, CPU at rest, and their return after a restart.
    Workers(workers::Options),
}

/// Runs one kind of load and prints its figures; what goes on meanwhile is on standard error.
pub async fn run(arguments: Arguments) -> Result<()> {
    let common = &arguments.common;
    let mut gateway = LoadedGateway::start(common, arguments.load.workers()).await?;
    let ran = match &arguments.load {
        Load::Throughput(options) => throughput::run(options, &mut gateway).await,
        Load::Latency(options) => latency::run(options, &mut gateway).await,
        Load::Workers(options) => workers::run(options, &mut gateway).await,
    };
    // Its folder goes with it, and whatever failed may have its cause there.
    let figures = ran.with_context(|| gateway.log_end())?;
    gateway.stop().await?;
    figures.print(common.json)
}

impl Load {
    fn workers(&self) -> u32 {
        match self {
            Self::Throughput(options) => options.workers.into(),
            Self::Latency(options) => options.workers.into(),
            Self::Workers(options) => options.count,
        }
    }
}

/// A line about what goes on.
fn say(text: &str) {
    eprintln!("• {text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
