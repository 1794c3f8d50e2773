//! Arguments of `collateral`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::EXIT_CODES;

/// The verbs of `collateral`.
#[derive(Debug, Subcommand)]
pub(crate) enum Collateral {
    /// Fetch a platform family's collateral from Intel or a PCCS, verify it and keep it.
    #[command(after_help = EXIT_CODES)]
    Fetch(CollateralFetch),
    /// Show for which platforms collateral is, and until when each part of it counts.
    #[command(after_help = EXIT_CODES)]
    Show(CollateralShow),
    /// Put the entries of a bundle into a store: those that verify and are not older than what is there.
    #[command(after_help = EXIT_CODES)]
    Import(CollateralImport),
    /// Write a whole store into one file, for a pool without a network.
    #[command(after_help = EXIT_CODES)]
    Export(CollateralExport),
}

/// Arguments of `collateral fetch`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("family").required(true).args(["fmspc", "quote"])),
    group(ArgGroup::new("into").required(true).args(["output", "store"])),
)]
pub(crate) struct CollateralFetch {
    /// The platform family, 12 hexadecimal digits, as `inspect` shows it.
    #[arg(long, value_name = "HEX")]
    pub(crate) fmspc: Option<String>,

    /// Which of Intel's CAs issued the platform's PCK certificate: `platform` (every server with TDX) or `processor`.
    #[arg(long, default_value = "platform", conflicts_with = "quote")]
    pub(crate) ca: attestation::PckCa,

    /// A quote of the platform, which names family and CA: raw, hexadecimal or base64. `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) quote: Option<PathBuf>,

    /// Whom to ask, in this order: Intel's service or a PCCS. Intel's without any.
    #[arg(long = "url", value_name = "URL", default_value = pccs::Source::INTEL)]
    pub(crate) urls: Vec<pccs::Source>,

    /// The CA (PEM) of a PCCS whose certificate is not from a public one.
    #[arg(long, value_name = "FILE")]
    pub(crate) pccs_ca: Option<PathBuf>,

    /// Ask for the TCB levels that will be in force later, instead of those that are.
    #[arg(long, conflicts_with = "evaluation_number")]
    pub(crate) early: bool,

    /// Ask for the TCB levels of this `tcbEvaluationDataNumber`.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) evaluation_number: Option<u32>,

    /// The file to write. One that holds newer collateral is left as it is.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// The store to write to: a folder, such as the gateway's `collateral_dir`.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: Option<PathBuf>,
}

/// Arguments of `collateral show`.
#[derive(Debug, Args)]
pub(crate) struct CollateralShow {
    /// A store's folder, a bundle, or one file of collateral.
    #[arg(value_name = "FILE|FOLDER")]
    pub(crate) path: PathBuf,

    /// The time to look at it from: RFC 3339, seconds since the epoch, or `now`.
    #[arg(long, value_name = "TIME", default_value = "now")]
    pub(crate) time: String,
}

/// Arguments of `collateral import`.
#[derive(Debug, Args)]
pub(crate) struct CollateralImport {
    /// The bundle.
    #[arg(value_name = "FILE")]
    pub(crate) bundle: PathBuf,

    /// The store to write to: a folder, such as the gateway's `collateral_dir`.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: PathBuf,
}

/// Arguments of `collateral export`.
#[derive(Debug, Args)]
pub(crate) struct CollateralExport {
    /// The store: a folder, such as the gateway's `collateral_dir`.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: PathBuf,

    /// The bundle to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}
