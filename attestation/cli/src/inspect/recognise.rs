//! Tells by its looks what a file is.

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::{
    arguments::Kind,
    bundle,
    devices::{EVIDENCE_HEAD, PEM_HEAD, REPORT_HEAD},
    input,
};

/// TDX Module ABI (348551), `REPORTTYPE`: 0x81 says TDX.
const TD_REPORT_TYPE: u8 = 0x81;
const TD_REPORT_BYTES: usize = 1024;
/// The `SignatureData` of the first event of every TCG2 log.
const EVENT_LOG_SIGNATURE: &[u8] = b"Spec ID Event03";
/// Register index, event type, SHA-1 digest and length stand before it.
const EVENT_LOG_SIGNATURE_AT: usize = 32;
/// CBOR text of five bytes: the label of a collection's first member.
const QUOTE_LABEL: &[u8] = b"\x65quote";
/// A CBOR map of eleven entries, the first under key 0.
const CLAIMS_HEAD: &[u8] = &[0xab, 0x00];
/// A CBOR map of two entries, the first a byte string under key 0.
const EVENT_LOG_HEAD: &[u8] = &[0xa2, 0x00];
/// So many bytes tell a person what a file is.
const SHOWN_BYTES: usize = 16;

/// The kind of `input`, and its bytes out of whatever spelling. A kind that is given is believed.
pub(super) fn recognise(input: Vec<u8>, given: Option<Kind>) -> anyhow::Result<(Kind, Vec<u8>)> {
    ensure!(!input.is_empty(), "it is empty");
    let opens = input.iter().find(|byte| !byte.is_ascii_whitespace());
    let is_json = matches!(opens, Some(b'{' | b'['));
    match given {
        Some(kind) if is_read_as_it_is(kind) => Ok((kind, input)),
        Some(kind) => Ok((kind, input::decode_binary(noun(kind), input)?)),
        None if is_json => Ok((of_json(&input)?, input)),
        None if input.starts_with(PEM_HEAD) => Ok((Kind::CertificateChain, input)),
        None if opens == Some(&b'<') => Ok((Kind::Manifest, input)),
        None => {
            let bytes = input::decode_binary("file", input)?;
            Ok((of_binary(&bytes)?, bytes))
        }
    }
}

/// Text, or in forms that its reader tells apart itself.
const fn is_read_as_it_is(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Collateral
            | Kind::Record
            | Kind::Bundle
            | Kind::GpuEvidence
            | Kind::CertificateChain
            | Kind::Manifest
    )
}

fn of_json(input: &[u8]) -> anyhow::Result<Kind> {
    let value: Value = serde_json::from_slice(input).context("it begins like JSON")?;
    let has = |member: &str| value.get(member).is_some();
    if value.get("schema").and_then(Value::as_str) == Some(bundle::SCHEMA) {
        Ok(Kind::Bundle)
    } else if has("evidence") && has("transcript") {
        Ok(Kind::Record)
    } else if has("tcb_info") && has("qe_identity") {
        Ok(Kind::Collateral)
    } else if value
        .get(0)
        .is_some_and(|first| first.get("evidence").is_some())
    {
        Ok(Kind::GpuEvidence)
    } else {
        bail!(
            "it is JSON, but neither a bundle, nor an attestation record, nor collateral, nor GPU evidence of NVIDIA's SDK"
        )
    }
}

fn of_binary(bytes: &[u8]) -> anyhow::Result<Kind> {
    let event_log = bytes
        .get(EVENT_LOG_SIGNATURE_AT..)
        .is_some_and(|rest| rest.starts_with(EVENT_LOG_SIGNATURE));
    Ok(match bytes {
        _ if event_log => Kind::EventLog,
        [TD_REPORT_TYPE, ..] if bytes.len() == TD_REPORT_BYTES => Kind::TdReport,
        [0xa2..=0xa4, rest @ ..] if rest.starts_with(QUOTE_LABEL) => Kind::Collection,
        _ if bytes.starts_with(EVIDENCE_HEAD) || bytes.starts_with(REPORT_HEAD) => {
            Kind::GpuEvidence
        }
        _ if bytes.starts_with(CLAIMS_HEAD) => Kind::Claims,
        _ if bytes.starts_with(EVENT_LOG_HEAD) => Kind::EventLog,
        // The version, little-endian: quotes have known 1 to 5.
        [1..=9, 0, ..] => Kind::Quote,
        [TD_REPORT_TYPE, ..] => bail!(
            "it begins like a TD report, but has {} bytes instead of {TD_REPORT_BYTES}",
            bytes.len()
        ),
        _ => bail!(
            "it has {} bytes and begins with {}; name what it should be with --kind",
            bytes.len(),
            hex::encode(bytes.get(..SHOWN_BYTES).unwrap_or(bytes))
        ),
    })
}

/// What a person calls it.
pub(super) const fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Quote => "a quote",
        Kind::TdReport => "a TD report",
        Kind::Collection => "a CMW collection",
        Kind::Claims => "a worker's claims",
        Kind::Collateral => "collateral",
        Kind::Record => "an attestation record",
        Kind::Bundle => "a bundle",
        Kind::EventLog => "an event log",
        Kind::GpuEvidence => "GPU evidence",
        Kind::CertificateChain => "a certificate chain",
        Kind::Manifest => "a reference manifest",
    }
}

/// What programs call it.
pub(super) const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Quote => "quote",
        Kind::TdReport => "td-report",
        Kind::Collection => "collection",
        Kind::Claims => "claims",
        Kind::Collateral => "collateral",
        Kind::Record => "record",
        Kind::Bundle => "bundle",
        Kind::EventLog => "event-log",
        Kind::GpuEvidence => "gpu-evidence",
        Kind::CertificateChain => "certificate-chain",
        Kind::Manifest => "manifest",
    }
}
