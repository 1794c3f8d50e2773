//! What GPUs and switches say of themselves, and what NVIDIA's manifests say of what they should measure.

use anyhow::Context;
use attestation::{
    gpu::{Details, DeviceReport, UnverifiedReport, rim::UnverifiedManifest},
    rfc_3339,
};
use serde_json::{Value, json};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::{
    devices::{self, Devices, Form},
    output::Section,
};

const NOT_VERIFIED: &str = "no; `cocoon-attest verify --gpu` does that";

pub(super) fn sections(bytes: &[u8]) -> anyhow::Result<Vec<Section>> {
    let devices = devices::parse(bytes.to_vec())?;
    let mut sections = vec![
        Section::new("device_evidence")
            .field("devices", devices.reports.len())
            .field("length_bytes", bytes.len())
            .field("verified", NOT_VERIFIED),
    ];
    for (index, report) in devices.reports.iter().enumerate() {
        let section = device(index, report, &devices);
        sections.push(section.with_context(|| format!("device {index} ({})", report.uuid))?);
    }
    Ok(sections)
}

fn device(index: usize, device: &DeviceReport, devices: &Devices) -> anyhow::Result<Section> {
    let report = UnverifiedReport::inspect(device).context("its report cannot be parsed")?;
    let certificates: Vec<Value> = device
        .certificates
        .iter()
        .map(|der| certificate(der))
        .collect::<Result<_, _>>()?;
    let section = Section::new(format!("device_{index}"))
        .field("kind", device.kind.to_string())
        .field("uuid", device.uuid.clone())
        .bytes("nonce", report.nonce)
        .field("vbios_version", report.vbios_version.to_string());
    let section = match &report.details {
        Details::Gpu(gpu) => section
            .field("driver_version", gpu.driver_version.to_string())
            .field(
                "board",
                format!(
                    "{}_{}_{}",
                    gpu.board.project, gpu.board.project_sku, gpu.board.chip_sku
                ),
            )
            .field("mode", json!(gpu.mode)),
        Details::NvSwitch(_) => section,
    };
    let manifests: Vec<_> = report.reference_ids.into_iter().map(|one| one.id).collect();
    let mode = (devices.form == Form::Worker).then(|| json!(device.mode));
    Ok(section
        .field("enrol_as", report.device_serial)
        .field("measurements", report.measurements.len())
        .field("manifests_wanted", manifests)
        .field("certificates", certificates)
        .field("ocsp_responses", device.ocsp_responses.len())
        .field("nvml_says", mode.unwrap_or(Value::Null)))
}

/// A chain by itself.
pub(super) fn chain(pem: &[u8]) -> anyhow::Result<Section> {
    let ders = devices::certificates(pem)?;
    let certificates: Vec<Value> = ders
        .iter()
        .map(|der| certificate(der))
        .collect::<Result<_, _>>()?;
    Ok(Section::new("certificate_chain")
        .field("certificates", certificates)
        .field("verified", NOT_VERIFIED))
}

fn certificate(der: &[u8]) -> anyhow::Result<Value> {
    let (_, certificate) =
        X509Certificate::from_der(der).context("a certificate cannot be parsed")?;
    let date = |seconds: i64| match u64::try_from(seconds) {
        Ok(seconds) => rfc_3339(seconds),
        Err(_) => seconds.to_string(),
    };
    Ok(json!({
        "subject": certificate.subject().to_string(),
        "issuer": certificate.issuer().to_string(),
        "serial": hex::encode(certificate.raw_serial()),
        "not_before": date(certificate.validity().not_before.timestamp()),
        "not_after": date(certificate.validity().not_after.timestamp()),
    }))
}

pub(super) fn manifest(bytes: &[u8]) -> anyhow::Result<Section> {
    let manifest = UnverifiedManifest::inspect(bytes).context("the manifest cannot be parsed")?;
    Ok(Section::new("reference_manifest")
        .field("identifier", manifest.identifier())
        .field("describes", manifest.kind.to_string())
        .field("product", manifest.product)
        .field("version", manifest.version)
        .field("measurements", manifest.measurements_count)
        .field("active_measurements", manifest.active_measurements_count)
        .field("signer", manifest.signer_subject)
        .field("signer_not_before", rfc_3339(manifest.signer_not_before_s))
        .field("signer_not_after", rfc_3339(manifest.signer_not_after_s))
        .field("length_bytes", bytes.len())
        .field("verified", NOT_VERIFIED))
}
