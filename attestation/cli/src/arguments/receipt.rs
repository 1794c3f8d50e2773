//! Arguments of `receipt`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The verbs of `receipt`.
#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    Verify(ReceiptVerify),
}

/// Verify a receipt: signature, receipt key, claims, report data, and Intel's root.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "the receipt holds, and the attestation behind its key was accepted",
    findings: "a step of the receipt failed, or the attestation was refused",
    examples:
        "cocoon-attest receipt verify --receipt receipt.json --attestation record.json",
        "cocoon-attest receipt verify --receipt r.json --attestation record.json --policy p.toml",
))]
pub(crate) struct ReceiptVerify {
    /// The receipt, as the gateway's API returned it.
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: PathBuf,

    /// The attestation record that the receipt points at.
    #[arg(long, value_name = "RECORD.json")]
    pub(crate) attestation: PathBuf,

    /// Appraise by this policy instead of the record's own.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Appraise at this time instead of the record's own: RFC 3339, a date, seconds since the epoch, or `now`.
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
}
