//! The manifest's table, row by row.

use std::path::{Path, PathBuf};

use attestation::{
    Appraiser, Binding, Collateral, ErrorCode, Evidence, Quote, Role, SuiteHash, TrustAnchor,
    Verifier,
    gpu::{GpuTrustAnchor, GpuVerifier, VerifiedReferences},
};

use crate::{policy::policy_for, support, table::Table};

/// One row of the manifest that holds a quote.
pub(crate) struct Row {
    pub(crate) file: String,
    pub(crate) collateral: String,
    pub(crate) time_s: u64,
    expect: String,
    detail: String,
}

impl Row {
    /// Where its quote and its collateral lie. A synthetic case is a folder.
    pub(crate) fn paths(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let file = directory.join(&self.file);
        if is_case(&self.file) {
            (file.join("quote.bin"), file.join("collateral.json"))
        } else {
            (file, directory.join(&self.collateral))
        }
    }

    /// The root of a synthetic case; the others end in Intel's.
    pub(crate) fn root(&self, directory: &Path) -> Option<PathBuf> {
        is_case(&self.file).then(|| directory.join("peer-generated-phala/root_ca.der"))
    }
}

fn is_case(file: &str) -> bool {
    file.starts_with("peer-generated-phala/") && file.ends_with('/')
}

/// What we make of a row.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The quote verifies, with that TCB status.
    Accept(String),
    /// Refused: while parsing, verifying, or (in the rules that no policy can relax) appraising.
    Reject(ErrorCode),
}

/// The manifest's reasons and our codes. The first beginning that fits counts; every `reject` row must have one.
const CODES: &[(&str, ErrorCode)] = &[
    ("No matching TCB level found", ErrorCode::TcbLevelNotFound),
    (
        "SEPT_VE_DISABLE is not enabled",
        ErrorCode::SeptVeDisableClear,
    ),
    ("Invalid MR service TD", ErrorCode::ServiceTdPresent),
    // Its quote sets bit 29, which was reserved when the case was made and has been MIGRATABLE since.
    ("Reserved bits in TD attributes", ErrorCode::TdMigratable),
    ("CaUsedAsEndEntity", ErrorCode::CollateralChainInvalid),
    (
        "Unsupported DCAP PCK cert format",
        ErrorCode::CertificationDataUnsupported,
    ),
    ("Fmspc mismatch", ErrorCode::TcbInfoMismatch),
    (
        "Certificate chain is too short",
        ErrorCode::CollateralMalformed,
    ),
    (
        "Failed to decode QeIdentity",
        ErrorCode::CollateralMalformed,
    ),
    ("Failed to decode TcbInfo", ErrorCode::CollateralMalformed),
    (
        "Signature is invalid for qe_identity",
        ErrorCode::CollateralSignatureInvalid,
    ),
    (
        "Signature is invalid for tcb_info",
        ErrorCode::CollateralSignatureInvalid,
    ),
    (
        "Signature is invalid for qe_report",
        ErrorCode::QeReportSignatureInvalid,
    ),
    ("Failed to decode quote", ErrorCode::QuoteMalformed),
    ("Verification failed", ErrorCode::QuoteMalformed),
    (
        "SGX TEE quote must have version 3",
        ErrorCode::QuoteMalformed,
    ),
    ("Not enough data", ErrorCode::QuoteMalformed),
    ("Unsupported quote version", ErrorCode::QuoteMalformed),
    (
        "Unsupported DCAP attestation key type",
        ErrorCode::QuoteKeyUnsupported,
    ),
    (
        "ISV enclave report signature",
        ErrorCode::QuoteSignatureInvalid,
    ),
    ("QE ATTRIBUTES mismatch", ErrorCode::QeIdentityMismatch),
    ("QE ISVPRODID mismatch", ErrorCode::QeIdentityMismatch),
    ("QE MISCSELECT mismatch", ErrorCode::QeIdentityMismatch),
    ("QE MRSIGNER mismatch", ErrorCode::QeIdentityMismatch),
    ("QE report hash mismatch", ErrorCode::AttestationKeyUnbound),
    ("QE Identity expired", ErrorCode::CollateralExpired),
    ("TCBInfo expired", ErrorCode::CollateralExpired),
    (
        "QE Identity issue date is in the future",
        ErrorCode::CollateralNotYetValid,
    ),
    (
        "TCBInfo issue date is in the future",
        ErrorCode::CollateralNotYetValid,
    ),
    ("TCB status is invalid: Revoked", ErrorCode::TcbRevoked),
    (
        "SGX quote with non-SGX TCB info",
        ErrorCode::CollateralMalformed,
    ),
    (
        "TDX component count mismatch",
        ErrorCode::CollateralMalformed,
    ),
    (
        "Unsupported QE Identity id/version",
        ErrorCode::CollateralMalformed,
    ),
];

#[test]
fn every_quote_gives_the_verdict_of_the_manifest() {
    let Some(directory) = support::directory("every_quote_gives_the_verdict_of_the_manifest")
    else {
        return;
    };
    let mut table = Table::default();
    for row in rows(&directory) {
        let got = judge(&directory, &row);
        let fits = fits(&row, &got);
        let got = match got {
            Ok(Verdict::Accept(status)) => format!("accept {status}"),
            Ok(Verdict::Reject(code)) => format!("reject {code} {}", code.title()),
            Err(parsed) => parsed,
        };
        let expected = format!("{} {}", row.expect, row.detail);
        table.row(&row.file, expected.trim(), &got, fits);
    }
    table.close(80);
}

/// A `parse` row answers with what was parsed, as an `Err`; the others with a verdict.
fn judge(directory: &Path, row: &Row) -> Result<Verdict, String> {
    let (quote, collateral) = row.paths(directory);
    let anchor = match row.root(directory) {
        Some(root) => support::root(root),
        None => TrustAnchor::intel(),
    };
    let quote = Quote::parse(&support::read(quote));
    if row.expect == "parse" {
        return Err(quote.map_or_else(
            |error| error.to_string(),
            |quote| format!("parsed version {}", quote.version()),
        ));
    }
    let quote = match quote {
        Ok(quote) => quote,
        Err(error) => return Ok(Verdict::Reject(error.code())),
    };
    let Ok(collateral) = Collateral::from_json(&support::read(collateral)) else {
        return Ok(Verdict::Reject(ErrorCode::CollateralMalformed));
    };
    let verifier = Verifier::new(anchor);
    Ok(match verifier.verify(&quote, &collateral, row.time_s) {
        Err(error) => Verdict::Reject(error.code()),
        Ok(found) => match refused_by_every_policy(&verifier, &collateral, &quote, row.time_s) {
            Some(code) => Verdict::Reject(code),
            None => Verdict::Accept(found.tcb().status.to_string()),
        },
    })
}

/// Appraise under a policy that fits the quote. What is refused then, beside report data and claims, which are not of
/// a connection of ours, no policy can allow. An enclave's quote never comes that far; its debug bit is looked at here.
fn refused_by_every_policy(
    verifier: &Verifier,
    collateral: &Collateral,
    quote: &Quote,
    now_s: u64,
) -> Option<ErrorCode> {
    if let attestation::QuoteBody::Sgx(enclave) = quote.body() {
        return enclave.debug().then_some(ErrorCode::QuoteNotTd);
    }
    let policy = policy_for(quote);
    let evidence = Evidence {
        quote: quote.bytes().to_vec(),
        claims: vec![0xa0],
        event_log: None,
        device_evidence: None,
    };
    let binding = Binding {
        role: Role::Client,
        hash: SuiteHash::Sha256,
        exported: [0; 32],
        attester_spki: Vec::new(),
        peer_spki: Vec::new(),
    };
    let transcript = Appraiser {
        verifier,
        gpu_verifier: &GpuVerifier::new(GpuTrustAnchor::nvidia()),
        policy: &policy,
        collateral,
        references: &VerifiedReferences::default(),
    }
    .audit(&evidence, &binding, now_s);
    let mut codes = transcript.steps.iter().filter_map(|step| step.code);
    assert_eq!(
        codes.next(),
        Some(ErrorCode::ReportDataMismatch),
        "{transcript}"
    );
    let code = codes.find(|&code| code != ErrorCode::ClaimsMalformed);
    code.inspect(|code| assert!(code.as_str().starts_with("E5"), "{transcript}"))
}

fn fits(row: &Row, got: &Result<Verdict, String>) -> bool {
    match (row.expect.as_str(), got) {
        ("parse", Err(parsed)) => parsed.starts_with("parsed"),
        // Synthetic rows say `ACCEPT (…)` instead of a status.
        ("accept", Ok(Verdict::Accept(status))) => {
            row.detail == *status || row.detail.starts_with("ACCEPT")
        }
        ("reject", Ok(Verdict::Reject(code))) => wanted_codes(row).contains(code),
        _ => false,
    }
}

fn wanted_codes(row: &Row) -> Vec<ErrorCode> {
    let reason = row.detail.trim_start_matches("REJECT: ");
    if reason.starts_with("Debug mode is enabled") {
        // A debug TD, an enclave that is debuggable (no enclave is ever admitted), a debuggable quoting enclave.
        return vec![
            ErrorCode::TdDebuggable,
            ErrorCode::QuoteNotTd,
            ErrorCode::QeIdentityMismatch,
        ];
    }
    CODES
        .iter()
        .filter(|(beginning, _)| reason.starts_with(beginning))
        .map(|(_, code)| *code)
        .collect()
}

pub(crate) fn rows(directory: &Path) -> Vec<Row> {
    support::manifest(directory)
        .iter()
        .filter(|row| row["file"].starts_with("quotes/") || is_case(&row["file"]))
        .map(|row| Row {
            file: row["file"].clone(),
            collateral: row["collateral"].clone(),
            time_s: row["time"].parse().unwrap_or_default(),
            expect: row["expect"].clone(),
            detail: row["detail"].clone(),
        })
        .collect()
}
