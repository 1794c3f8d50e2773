//! Arguments of `verify`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The quote: raw, hexadecimal or base64. `-` reads standard input.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "record",
        conflicts_with = "record"
    )]
    pub(crate) quote: Option<PathBuf>,

    /// Intel's collateral for the quote's platform, as JSON. A record brings its own.
    #[arg(long, value_name = "FILE", required_unless_present = "record")]
    pub(crate) collateral: Option<PathBuf>,

    /// The appraisal policy, as TOML. A record brings its own.
    #[arg(long, value_name = "FILE", required_unless_present = "record")]
    pub(crate) policy: Option<PathBuf>,

    /// The time to verify at: RFC 3339, seconds since the epoch, or `now`. A record brings its own.
    #[arg(long, value_name = "TIME", required_unless_present = "record")]
    pub(crate) time: Option<String>,

    /// The report data that the quote must carry, 128 hexadecimal digits. Without it, its freshness is not judged.
    #[arg(long, value_name = "HEX", conflicts_with = "record")]
    pub(crate) report_data: Option<String>,

    /// An attestation record of the gateway: appraises it again, whole.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}
