//! The command line: what may be asked, in nouns and verbs.

/// What stands below a command's options: its exit codes, which scripts rely on, and examples.
macro_rules! help {
    (
        yes: $yes:literal,
        findings: $findings:literal,
        $(undecided: $undecided:literal,)?
        examples: $($example:literal),+ $(,)?
    ) => {
        help!(
            yes: $yes,
            findings: $findings,
            unreachable: "reserved (unreachable): this command works offline",
            $(undecided: $undecided,)?
            examples: $($example),+
        )
    };
    (
        yes: $yes:literal,
        findings: $findings:literal,
        unreachable: $unreachable:literal,
        $(undecided: $undecided:literal,)?
        examples: $($example:literal),+ $(,)?
    ) => {
        concat!(
            "Exit codes:\n  0  ", $yes,
            "\n  1  error: bad usage, or a file that cannot be read or parsed",
            "\n  2  findings: ", $findings,
            "\n  3  ", $unreachable,
            "\n  4  reserved (denied)",
            $("\n  5  ", $undecided,)?
            "\n\nExamples:", $("\n  ", $example),+
        )
    };
}

mod bundle;
mod collateral;
mod doctor;
mod explain;
mod inspect;
mod policy;
mod receipt;
mod report_data;
mod shell;
mod verify;

use clap::{Args, Parser, Subcommand};

pub(crate) use {
    bundle::{Bundle, BundleCreate},
    collateral::{Collateral, CollateralExport, CollateralFetch, CollateralImport, CollateralShow},
    doctor::Doctor,
    explain::Explain,
    inspect::{Inspect, Kind},
    policy::{Policy, PolicyDiff, PolicyLint, PolicySimulate},
    receipt::{Receipt, ReceiptVerify},
    report_data::ReportData,
    shell::{Completions, Man, Schema},
    verify::{Given, Manifest, Verify},
};

/// Inspect and verify attestation evidence and receipts, offline.
///
/// Nothing here asks a service for a verdict: evidence, collateral, policy and time go in, and a transcript of every step
/// comes out. Verdicts end in Intel's and NVIDIA's roots; there is no flag for others. `collateral fetch` alone uses a network.
#[derive(Debug, Parser)]
#[command(
    name = "cocoon-attest",
    version,
    after_help = help!(
        yes: "the answer is yes, or the information asked for was printed",
        findings: "the evidence was refused, or a step failed",
        unreachable: "unreachable: no source of collateral had what was asked for",
        examples:
            "cocoon-attest inspect quote.bin",
            "cocoon-attest verify --record record.json --policy appraisal-policy.toml",
            "cocoon-attest doctor",
    )
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) style: Style,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The flags of every command that say how to write.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Style {
    /// Print one JSON object; `cocoon-attest schema` describes it.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// No notes on standard error: answers and errors alone.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Inspect(Inspect),
    Verify(Box<Verify>),
    Explain(Explain),
    /// Offline bundles: evidence with all that its verdict is reached from, in one file.
    #[command(subcommand)]
    Bundle(Bundle),
    /// Appraisal policies: find mistakes, compare, try on stored evidence.
    #[command(subcommand)]
    Policy(Policy),
    ReportData(ReportData),
    /// Receipts of finished tasks.
    #[command(subcommand)]
    Receipt(Receipt),
    /// Intel's collateral: fetch it, show it, carry it from one store to another.
    #[command(subcommand)]
    Collateral(Collateral),
    Doctor(Doctor),
    Schema(Schema),
    Completions(Completions),
    Man(Man),
}
