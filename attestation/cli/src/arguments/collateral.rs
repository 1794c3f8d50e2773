//! Arguments of `collateral`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueHint};

/// The verbs of `collateral`.
#[derive(Debug, Subcommand)]
pub(crate) enum Collateral {
    Fetch(Box<CollateralFetch>),
    Show(CollateralShow),
    Import(CollateralImport),
    Export(CollateralExport),
}

/// Fetch a platform family's collateral from Intel or a PCCS, verify it and keep it.
#[derive(Debug, Args)]
#[command(
    after_help = help!(
        yes: "it was fetched and verified, and is where it was wanted",
        findings: "what came does not verify, or is older than what is there",
        unreachable: "unreachable: no source had what was asked for",
        examples:
            "cocoon-attest collateral fetch --fmspc b0c06f000000 --store collateral/",
            "cocoon-attest collateral fetch --quote quote.bin --output collateral.json",
    ),
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
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) quote: Option<PathBuf>,

    /// Whom to ask, in this order: Intel's service or a PCCS. Intel's without any.
    #[arg(long = "url", value_name = "URL", default_value = pccs::Source::INTEL)]
    pub(crate) urls: Vec<pccs::Source>,

    /// The CA (PEM) of a PCCS whose certificate is not from a public one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) pccs_ca: Option<PathBuf>,

    /// Ask for the TCB levels that will be in force later, instead of those that are.
    #[arg(long, conflicts_with = "evaluation_number")]
    pub(crate) early: bool,

    /// Ask for the TCB levels of this `tcbEvaluationDataNumber`.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) evaluation_number: Option<u32>,

    /// The file to write. One that holds newer collateral is left as it is.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// The store to write to: a folder, such as the gateway's `collateral_dir`.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) store: Option<PathBuf>,
}

/// Show for which platforms collateral is, and until when each part of it counts.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "all of it verifies and is in date",
    findings: "some of it does not verify, or is out of date; or there is none",
    examples:
        "cocoon-attest collateral show collateral/",
        "cocoon-attest collateral show collateral.json --time 2026-01-31T12:00:00Z",
))]
pub(crate) struct CollateralShow {
    /// A store's folder, a bundle, or one file of collateral.
    #[arg(value_name = "FILE|FOLDER")]
    pub(crate) path: PathBuf,

    /// The time to look at it from: RFC 3339, a date, seconds since the epoch, or `now`.
    #[arg(long, value_name = "TIME", default_value = "now")]
    pub(crate) time: String,
}

/// Put the entries of an exported file into a store: those that verify and are not older than what is there.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "all of it is in the store",
    findings: "an entry does not verify, or is older than what is there; or there is none",
    examples: "cocoon-attest collateral import store.json --store collateral/",
))]
pub(crate) struct CollateralImport {
    /// The bundle.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) bundle: PathBuf,

    /// The store to write to: a folder, such as the gateway's `collateral_dir`.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) store: PathBuf,
}

/// Write a whole store into one file, for a pool without a network.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "all of it was written, and would be taken now",
    findings: "some of what was written does not verify, or is out of date",
    examples: "cocoon-attest collateral export --store collateral/ --output store.json",
))]
pub(crate) struct CollateralExport {
    /// The store: a folder, such as the gateway's `collateral_dir`.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) store: PathBuf,

    /// The bundle to write.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
}
