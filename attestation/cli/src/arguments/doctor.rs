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
    unreachable: "reserved (unreachable): a service that does not answer is a finding here",
    examples:
        "sudo cocoon-attest doctor",
        "sudo cocoon-attest doctor --url https://pccs.example:8081 --pccs-ca pccs-ca.pem",
        "cocoon-attest doctor --collateral collateral.json --require-gpu --json",
))]
pub(crate) struct Doctor {
    /// The quote broker's socket.
    #[arg(long, value_name = "PATH", default_value = "/run/cocoon/quote.sock", value_hint = ValueHint::FilePath)]
    pub(crate) socket: PathBuf,

    /// Collateral for this machine's platform: verifies the quote, and compares the clock with its dates.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) collateral: Option<PathBuf>,

    /// A PCCS, or Intel's service: fetches this platform's collateral and verifies the quote with it.
    #[arg(long, value_name = "URL", conflicts_with = "collateral")]
    pub(crate) url: Option<pccs::Source>,

    /// The CA (PEM) of a PCCS whose certificate is not from a public one.
    #[arg(long, value_name = "FILE", requires = "url", value_hint = ValueHint::FilePath)]
    pub(crate) pccs_ca: Option<PathBuf>,

    /// Fail where there is no GPU that is ready for confidential work, instead of skipping.
    #[arg(long)]
    pub(crate) require_gpu: bool,
}
