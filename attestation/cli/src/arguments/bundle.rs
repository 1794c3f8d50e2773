//! Arguments of `bundle`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueHint};

use super::Given;

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
    group = ArgGroup::new("complete").args(["record"]),
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
    #[command(flatten)]
    pub(crate) given: Given,

    /// Where to write the bundle; `-` is standard output. A file that is there already is not overwritten.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
}
