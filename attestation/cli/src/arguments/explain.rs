//! Arguments of `explain`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The log: raw CCEL, the evidence's `event-log` member, an attestation record of the gateway, or dstack's JSON, the
    /// latter two with their quote. `-` reads standard input.
    #[arg(value_name = "LOG")]
    pub(crate) log: PathBuf,

    /// Replay the log and compare with this quote's registers: raw, hexadecimal or base64.
    #[arg(long, value_name = "FILE", conflicts_with = "report")]
    pub(crate) quote: Option<PathBuf>,

    /// Replay the log and compare with this TD report's registers: raw, hexadecimal or base64.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Name the first event that differs from this log's, and its likely cause.
    #[arg(long, value_name = "LOG")]
    pub(crate) reference: Option<PathBuf>,
}
