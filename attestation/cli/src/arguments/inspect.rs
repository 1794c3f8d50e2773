//! Arguments of `inspect`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// Show what a file says, without judging any of it.
///
/// Recognises quotes, TD reports, CMW collections, claims, GPU evidence, reference manifests, event logs, collateral,
/// attestation records and bundles; binary ones also in hexadecimal or base64.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "the file was recognised and printed; nothing in it was verified",
    findings: "never; nothing is judged",
    examples:
        "cocoon-attest inspect quote.bin",
        "cocoon-attest inspect --json record.json",
        "base64 -d quote.b64 | cocoon-attest inspect --kind quote -",
))]
pub(crate) struct Inspect {
    /// What to look at. `-` reads standard input.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// What it is, where its looks do not tell or something else is to be tried.
    #[arg(long, value_enum)]
    pub(crate) kind: Option<Kind>,
}

/// What a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A DCAP quote of a TD (version 4 or 5) or an SGX enclave (version 3).
    Quote,
    /// A TDREPORT: the 1024 bytes that the TDX module gives a TD, for its own machine.
    TdReport,
    /// A CMW collection: the evidence that a worker sends.
    Collection,
    /// The claims of a worker, in CBOR.
    Claims,
    /// Collateral, as PCCS clients write it.
    Collateral,
    /// An attestation record of the gateway.
    Record,
    /// An offline bundle.
    Bundle,
    /// An event log: CCEL, or the evidence's `event-log` member.
    EventLog,
    /// GPU evidence: a worker's (CBOR), JSON of NVIDIA's SDK, or a report.
    GpuEvidence,
    /// A certificate chain in PEM.
    CertificateChain,
    /// A reference manifest (RIM) of NVIDIA's.
    Manifest,
}
