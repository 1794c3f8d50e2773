//! Arguments of `doctor`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Examine the machine that a worker is to run on: trust domain, quotes, event log, GPU.
///
/// Run it on the trust domain as root, or as the user whose processes may ask the quote broker. It changes nothing; each failure
/// comes with its remedy. On a machine that is no trust domain it says so.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "nothing failed; what does not apply was skipped",
    findings: "at least one examination failed",
    examples:
        "sudo cocoon-attest doctor",
        "cocoon-attest doctor --collateral collateral.json --json",
))]
pub(crate) struct Doctor {
    /// The quote broker's socket.
    #[arg(long, value_name = "PATH", default_value = "/run/cocoon/quote.sock", value_hint = ValueHint::FilePath)]
    pub(crate) socket: PathBuf,

    /// Collateral for this machine's platform: verifies the quote, and compares the clock with its dates.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) collateral: Option<PathBuf>,

    /// Fail where there is no GPU that is ready for confidential work, instead of skipping.
    #[arg(long)]
    pub(crate) require_gpu: bool,
}
