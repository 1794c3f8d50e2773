//! Arguments of `inspect`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The quote: raw, hexadecimal or base64. `-` reads standard input.
    #[arg(value_name = "FILE")]
    pub(crate) quote: PathBuf,
}
