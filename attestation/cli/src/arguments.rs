//! The command line: what may be asked, in nouns and verbs.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// What the exit codes mean; scripts rely on them.
const EXIT_CODES: &str = "\
Exit codes:
  0  the answer is yes, or the information asked for was printed
  1  bad usage, or a file that cannot be read or parsed
  2  findings: the evidence was refused, or a step failed
  3, 4  reserved (unreachable, denied): this tool works offline";

/// Inspect and verify attestation evidence and receipts, offline.
#[derive(Debug, Parser)]
#[command(name = "cocoon-attest", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a quote says, without judging any of it.
    #[command(after_help = EXIT_CODES)]
    Inspect(Inspect),
    /// Show what an event log says was measured; hold it against a TD's registers, and against another log.
    #[command(after_help = EXIT_CODES)]
    Explain(Explain),
    /// Verify a quote and appraise it by a policy; print the transcript.
    #[command(after_help = EXIT_CODES)]
    Verify(Verify),
    /// Recompute report data and GPU nonce from the facts of a connection.
    #[command(after_help = EXIT_CODES)]
    ReportData(ReportData),
    /// Receipts of finished tasks.
    #[command(subcommand)]
    Receipt(Receipt),
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The quote: raw, hexadecimal or base64. `-` reads standard input.
    #[arg(value_name = "FILE")]
    pub(crate) quote: PathBuf,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The log: raw CCEL, the evidence's `event-log` member, an attestation record of the gateway, or dstack's JSON, the
    /// latter two with their quote. `-` reads standard input.
    #[arg(value_name = "LOG")]
    pub(crate) log: PathBuf,

    /// Replay the log and compare with this quote's registers: raw, hexadecimal or base64.
    #[arg(long, value_name = "FILE", conflicts_with = "report")]
    pub(crate) quote: Option<PathBuf>,

    /// Replay the log and compare with this TD report's registers: raw, hexadecimal or base64.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Name the first event that differs from this log's, and its likely cause.
    #[arg(long, value_name = "LOG")]
    pub(crate) reference: Option<PathBuf>,
}

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

/// Arguments of `report-data`: a file, or every fact on the command line.
#[derive(Debug, Args)]
pub(crate) struct ReportData {
    /// The facts as JSON: `binding` with the five members that flags name below, `device_evidence`, `claims`; bytes in
    /// hexadecimal. `-` reads standard input.
    #[arg(value_name = "FILE", conflicts_with_all = ["role", "hash", "exported", "attester_spki", "peer_spki"])]
    pub(crate) facts: Option<PathBuf>,

    /// Who attests: `client` or `server` of the TLS connection.
    #[arg(long, required_unless_present = "facts")]
    pub(crate) role: Option<String>,

    /// Hash of the negotiated cipher suite: `sha256` or `sha384`.
    #[arg(long, required_unless_present = "facts")]
    pub(crate) hash: Option<String>,

    /// The exporter's 32 bytes.
    #[arg(long, value_name = "HEX", required_unless_present = "facts")]
    pub(crate) exported: Option<String>,

    /// SPKI (DER) of the attester's leaf certificate.
    #[arg(long, value_name = "HEX", required_unless_present = "facts")]
    pub(crate) attester_spki: Option<String>,

    /// SPKI (DER) of the peer's leaf certificate.
    #[arg(long, value_name = "HEX", required_unless_present = "facts")]
    pub(crate) peer_spki: Option<String>,

    /// Device evidence as sent; absent means none was sent.
    #[arg(long, value_name = "HEX", default_value = "", conflicts_with = "facts")]
    pub(crate) device_evidence: String,

    /// Claims as sent; absent means none were sent.
    #[arg(long, value_name = "HEX", default_value = "", conflicts_with = "facts")]
    pub(crate) claims: String,
}

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
