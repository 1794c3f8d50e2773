//! Arguments of `bundle`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueHint};

use super::Facts;

/// The verbs of `bundle`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    Create(Box<BundleCreate>),
}

/// Put evidence, collateral, policy and time into one file, for `verify --bundle` on another machine.
///
/// Nothing is judged. A bundle is worth no more than its author: time, policy and connection in it are the author's word, and
/// only quote and collateral are signed by others.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("evidenced").required(true).args(["quote", "evidence", "record"]),
    after_help = help!(
        yes: "the bundle was written",
        findings: "never; nothing is judged",
        examples:
            "cocoon-attest bundle create --record record.json --policy mine.toml -o bundle.json",
            "cocoon-attest bundle create --record record.json --output bundle.json",
            "cocoon-attest verify --bundle bundle.json",
    )
)]
pub(crate) struct BundleCreate {
    /// A quote: raw, hexadecimal or base64. `-` reads standard input.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) quote: Option<PathBuf>,

    /// A CMW collection that a worker sent: raw, hexadecimal or base64.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) evidence: Option<PathBuf>,

    /// An attestation record of the gateway, which brings everything.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) record: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) facts: Facts,

    /// Intel's collateral for the quote's platform, as JSON.
    #[arg(long, value_name = "FILE", required_unless_present = "record", value_hint = ValueHint::FilePath)]
    pub(crate) collateral: Option<PathBuf>,

    /// The appraisal policy, as TOML.
    #[arg(long, value_name = "FILE", required_unless_present = "record", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Option<PathBuf>,

    /// The time to verify at: RFC 3339, seconds since the epoch, or `now`.
    #[arg(long, value_name = "TIME", required_unless_present = "record")]
    pub(crate) time: Option<String>,

    /// Where to write the bundle; `-` is standard output. A file that is there already is not overwritten.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
}
