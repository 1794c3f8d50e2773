//! `cargo ci faults`: see [`tests::faults`].

use std::process::ExitCode;

use clap::Parser;
use tests::faults::{Arguments, run};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
