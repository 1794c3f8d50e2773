//! What only a GPU can show, as one binary to carry to a machine that has one: no toolchain and no network is needed
//! there. `cargo ci gpu` builds it, and runs it where there is a driver.
//!
//! | command | what it shows |
//! |---|---|
//! | `parity` | every operation against its CPU definition; `embed` where a model is given |
//! | `faults` | children killed at work: nothing is lost |
//! | `bench` | a table: copies, launches, kernels against the copy bandwidth, products and `PyTorch`'s, small tasks |
//!
//! It executes itself as the executor child, as `cocoon-worker` does.

#![expect(
    clippy::print_stdout,
    reason = "results are what this program is for; progress goes to standard error"
)]

mod bench;
mod child;
mod device;
mod faults;
mod numbers;
mod parity;
mod works;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use device::Device;

/// Parity, faults and a benchmark on this machine's GPU. Without a command: all three.
#[derive(Debug, Parser)]
#[command(name = "gpu", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The GPU, as NVIDIA writes it (`GPU-…`); the first one where it is not said.
    #[arg(long, global = true, value_name = "UUID")]
    device: Option<String>,
    /// The folder of all-MiniLM-L6-v2; without it `embed` is left out.
    #[arg(long, global = true, value_name = "FOLDER")]
    model: Option<PathBuf>,
    /// Small shapes and few repetitions: whether everything runs, not how fast.
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every operation against its CPU definition.
    Parity,
    /// Children killed at work.
    Faults,
    /// The benchmark alone.
    Bench,
    /// The executor child; started by this program.
    #[command(hide = true)]
    Executor {
        /// The GPU to compute on.
        #[arg(long)]
        cuda: String,
        /// The model that `embed` computes with.
        #[arg(long = "with-model", value_name = "FOLDER")]
        model: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(Command::Executor { cuda, model }) = &arguments.command {
        return child::serve(cuda, model.as_deref());
    }
    let device = Device::find(arguments.device.as_deref(), arguments.model.clone())?;
    eprintln!("── {device}");
    let quick = arguments.quick;
    match arguments.command {
        Some(Command::Parity) => parity::run(&device, quick),
        Some(Command::Faults) => faults::run(&device, quick),
        Some(Command::Bench) => bench::run(&device, quick),
        Some(Command::Executor { .. }) | None => {
            parity::run(&device, quick)?;
            faults::run(&device, quick)?;
            bench::run(&device, quick)
        }
    }
}
