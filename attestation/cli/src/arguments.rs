//! The command line: what may be asked, in nouns and verbs.

mod collateral;
mod explain;
mod inspect;
mod receipt;
mod report_data;
mod verify;

use clap::{Parser, Subcommand};

pub(crate) use {
    collateral::{Collateral, CollateralExport, CollateralFetch, CollateralImport, CollateralShow},
    explain::Explain,
    inspect::Inspect,
    receipt::{Receipt, ReceiptVerify},
    report_data::ReportData,
    verify::Verify,
};

/// What the exit codes mean; scripts rely on them.
const EXIT_CODES: &str = "\
Exit codes:
  0  the answer is yes, or the information asked for was printed
  1  bad usage, or a file that cannot be read or parsed
  2  findings: the evidence was refused, or a step failed
  3  unreachable: no source of collateral had what was asked for
  4  reserved (denied)";

/// Inspect and verify attestation evidence and receipts, offline. `collateral fetch` alone uses a network.
#[derive(Debug, Parser)]
#[command(name = "cocoon-attest", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a quote says, without judging any of it.
    #[command(after_help = EXIT_CODES)]
    Inspect(Inspect),
    /// Show what an event log says was measured; hold it against a TD's registers, and against another log.
    #[command(after_help = EXIT_CODES)]
    Explain(Explain),
    /// Verify a quote and appraise it by a policy; print the transcript.
    #[command(after_help = EXIT_CODES)]
    Verify(Verify),
    /// Recompute report data and GPU nonce from the facts of a connection.
    #[command(after_help = EXIT_CODES)]
    ReportData(ReportData),
    /// Receipts of finished tasks.
    #[command(subcommand)]
    Receipt(Receipt),
    /// Intel's collateral: fetch it, show it, carry it from one store to another.
    #[command(subcommand)]
    Collateral(Collateral),
}
