//! Arguments of `explain`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Show what an event log says was measured; hold it against a TD's registers, and against another log.
///
/// Nobody signs a log: it counts only as far as it replays to registers that a quote signs.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "nothing that was compared differs",
    findings: "a register or an event differs, or the log is not closed as it should be",
    examples:
        "cocoon-attest explain ccel.bin",
        "cocoon-attest explain record.json",
        "cocoon-attest explain ccel.bin --quote quote.bin --reference predicted.bin",
))]
pub(crate) struct Explain {
    /// The log: raw CCEL, the evidence's `event-log` member, an attestation record of the gateway, or dstack's JSON, the
    /// latter two with their quote. `-` reads standard input.
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub(crate) log: PathBuf,

    /// Replay the log and compare with this quote's registers: raw, hexadecimal or base64.
    #[arg(long, value_name = "FILE", conflicts_with = "report", value_hint = ValueHint::FilePath)]
    pub(crate) quote: Option<PathBuf>,

    /// Replay the log and compare with this TD report's registers: raw, hexadecimal or base64.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,

    /// Name the first event that differs from this log's, and its likely cause.
    #[arg(long, value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub(crate) reference: Option<PathBuf>,
}
