//! Arguments of `report-data`.

use std::path::PathBuf;

use clap::Args;

/// Recompute report data and GPU nonce from the facts of a connection.
///
/// The facts stand in a file, or each in a flag.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "the values were printed",
    findings: "never; nothing is judged",
    examples:
        "cocoon-attest report-data facts.json",
        "cocoon-attest report-data --json - < facts.json",
))]
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
