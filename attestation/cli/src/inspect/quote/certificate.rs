//! The PCK certificate of a quote: its names, its dates and Intel's SGX extension.

use anyhow::Context;
use dcap_qvl::{intel, quote::Quote};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::output::Section;

/// Certification types 4 and 5 carry the certificate; the others only name the platform.
const CERTIFICATION_WITH_CERTIFICATE: [u16; 2] = [4, 5];

/// The section on the PCK certificate, where the quote carries one.
pub(super) fn section(quote: &Quote) -> anyhow::Result<Option<Section>> {
    if !CERTIFICATION_WITH_CERTIFICATE.contains(&quote.inner_cert_type()) {
        return Ok(None);
    }
    let chain =
        intel::extract_cert_chain(quote).context("the PCK certificate chain cannot be parsed")?;
    let leaf = chain
        .first()
        .context("the PCK certificate chain is empty")?;
    let (_, certificate) =
        X509Certificate::from_der(leaf).context("the PCK certificate cannot be parsed")?;
    let extension = intel::parse_pck_extension(leaf)
        .context("the PCK certificate's SGX extension cannot be parsed")?;
    let sgx_type = match extension.sgx_type {
        0 => "standard",
        1 => "scalable",
        2 => "scalable with integrity",
        _ => "unknown",
    };
    Ok(Some(
        Section::new("pck_certificate")
            .field("subject", certificate.subject().to_string())
            .field("issuer", certificate.issuer().to_string())
            .field("serial", certificate.raw_serial_as_string())
            .field(
                "not_before",
                date(certificate.validity().not_before.timestamp()),
            )
            .field(
                "not_after",
                date(certificate.validity().not_after.timestamp()),
            )
            .bytes("fmspc", extension.fmspc)
            .bytes("ppid", &extension.ppid)
            .bytes("pce_id", &extension.pce_id)
            .bytes("cpu_svn", extension.cpu_svn)
            .field("pce_svn", extension.pce_svn)
            .field("sgx_type", format!("{} ({sgx_type})", extension.sgx_type))
            .field(
                "platform_instance_id",
                extension.platform_instance_id.map(hex::encode),
            )
            .field("dynamic_platform", extension.dynamic_platform)
            .field("cached_keys", extension.cached_keys)
            .field("smt_enabled", extension.smt_enabled)
            .field("chain_length", chain.len()),
    ))
}

fn date(seconds: i64) -> String {
    u64::try_from(seconds).map_or_else(|_| seconds.to_string(), attestation::rfc_3339)
}
