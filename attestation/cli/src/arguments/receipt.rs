//! Arguments of `receipt`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::EXIT_CODES;

/// The verbs of `receipt`.
#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// Verify a receipt: signature, receipt key, claims, report data, and Intel's root.
    #[command(after_help = EXIT_CODES)]
    Verify(ReceiptVerify),
}

/// Arguments of `receipt verify`.
#[derive(Debug, Args)]
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

    /// Appraise at this time instead of the record's own: RFC 3339, seconds since the epoch, or `now`.
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
}
