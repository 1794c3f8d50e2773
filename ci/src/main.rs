//! `cargo ci <job>`: the one definition of green. `.ci/run` and the README call exactly these jobs.

mod check;
mod command;
mod devnet;
mod faults;
mod fuzz;
mod gpu;
mod instrumented;
mod kernels;
mod load;
mod peers;
mod postgres;
mod sanitize;
mod test;
mod vectors;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The jobs that decide whether a change is good; CI runs the same commands.
#[derive(Debug, Parser)]
#[command(name = "cargo ci", bin_name = "cargo ci")]
struct Arguments {
    #[command(subcommand)]
    job: Job,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Formatting, lints, documentation, licences and bans.
    Check,
    /// Every test: unit, property, end to end, documentation. Uses cargo-nextest where it is installed.
    Test,
    /// Every benchmark, for numbers to read; never part of green.
    Bench {
        /// Only benchmarks whose name contains this.
        filter: Option<String>,
    },
    /// Load on one gateway, in release builds: throughput, latency, many workers. Numbers to read, never part of green.
    #[command(disable_help_flag = true)]
    Load {
        /// The load generator's own; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The same work through the gateway and through what a team would use instead, of what is installed here, as one table.
    #[command(disable_help_flag = true)]
    Peers {
        /// The measurement's own; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// libFuzzer over every parser of untrusted bytes, under AddressSanitizer.
    Fuzz(fuzz::Options),
    /// The parsers' tests under AddressSanitizer, and the kernels on the CPU under every sanitizer.
    Sanitize {
        /// Only these.
        only: Option<sanitize::Subject>,
    },
    /// What only a GPU can show: conformance of the fake driver, parity, faults and a benchmark, as binaries that can be carried.
    Gpu(gpu::Options),
    /// The GPU code that ships, compiled from its sources and compared byte for byte.
    Kernels(kernels::Options),
    /// Conformance with real evidence, in the directory that `COCOON_VECTORS` names, as one table.
    Vectors,
    /// A pool of real processes, killed and stopped at random under load; whatever was confirmed must be there, once and right.
    #[command(disable_help_flag = true)]
    Faults {
        /// The run's own, as in `--seconds 600 --log FILE`; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// A gateway and two simulated workers on this machine, with real tasks; the same as `cargo devnet`.
    #[command(disable_help_flag = true)]
    Devnet {
        /// The devnet's own; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(job: Job) -> Result<()> {
    match job {
        Job::Check => check::run(),
        Job::Test => test::run(),
        Job::Bench { filter } => test::bench(filter.as_deref()),
        Job::Load { arguments } => load::run(&arguments),
        Job::Peers { arguments } => peers::run(&arguments),
        Job::Fuzz(options) => fuzz::run(&options),
        Job::Sanitize { only } => sanitize::run(only),
        Job::Gpu(options) => gpu::run(&options),
        Job::Kernels(options) => kernels::run(&options),
        Job::Vectors => vectors::run(),
        Job::Faults { arguments } => faults::run(&arguments),
        Job::Devnet { arguments } => devnet::run(&arguments),
    }
}
