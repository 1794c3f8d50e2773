//! Reading the files of evidence: JSON in the forms of NVIDIA's SDK and of Google's PPCIE data, reports and certificates alone.

use std::path::Path;

use attestation::gpu::{
    ConfidentialMode, DeviceKind, DeviceReport, GpuError, GpuTrustAnchor, GpuVerifier,
    MultiGpuMode, VerifiedGpu,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use x509_parser::pem::Pem;

use crate::support::read;

/// 2025-10-09; every device chain of the vectors is valid from 2023 to 9999.
pub(crate) const NOW_S: u64 = 1_760_000_000;
/// What may stand in front of a request's nonce: version, code and parameters.
const NONCE_AT: std::ops::Range<usize> = 4..36;

const MODE: ConfidentialMode = ConfidentialMode {
    feature_on: true,
    dev_tools_on: false,
    multi_gpu_mode: MultiGpuMode::None,
};

fn device(
    kind: DeviceKind,
    uuid: &str,
    report: Vec<u8>,
    certificates: Vec<Vec<u8>>,
) -> DeviceReport {
    DeviceReport {
        kind,
        uuid: uuid.to_owned(),
        report,
        certificates,
        ocsp_responses: Vec::new(),
        mode: MODE,
    }
}

pub(crate) fn verify(device: &DeviceReport) -> Result<VerifiedGpu, GpuError> {
    let nonce = device.report[NONCE_AT].try_into().unwrap();
    GpuVerifier::new(GpuTrustAnchor::nvidia()).verify(device, Some(&nonce), NOW_S)
}

fn der(pem: &[u8]) -> Vec<Vec<u8>> {
    Pem::iter_from_buffer(pem)
        .map(|pem| pem.unwrap().contents)
        .collect()
}

fn base64(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// Hexadecimal digits, or base64.
fn report(path: &Path) -> Vec<u8> {
    let text = String::from_utf8(read(path)).unwrap();
    hex::decode(text.trim()).unwrap_or_else(|_| BASE64_STANDARD.decode(text.trim()).unwrap())
}

/// The forms of NVIDIA's SDK (a list) and of Google's PPCIE data (pickled Python objects); `None` for other JSON.
pub(crate) fn devices(json: &Value) -> Option<Vec<DeviceReport>> {
    if let Some(list) = json.as_array() {
        return list.iter().map(sdk_device).collect();
    }
    let gpus = json["gpus"].as_array()?.iter().map(|gpu| {
        let chain = &gpu["CertificateChains"]["GpuAttestationCertificateChain"];
        let report = base64(&gpu["AttestationReport"]["py/b64"]);
        let uuid = gpu["UUID"].as_str().unwrap();
        device(DeviceKind::Gpu, uuid, report, pickled_chain(chain))
    });
    let switches = json["nvswitches"].as_array()?.iter().map(|nv_switch| {
        let chain = &nv_switch["attestation_cert_chain"];
        let report = base64(&nv_switch["attestation_report"]["py/b64"]);
        let uuid = nv_switch["uuid"].as_str().unwrap();
        device(DeviceKind::NvSwitch, uuid, report, pickled_chain(chain))
    });
    Some(gpus.chain(switches).collect())
}

fn sdk_device(entry: &Value) -> Option<DeviceReport> {
    let kind = match entry.get("arch")?.as_str()? {
        "LS10" => DeviceKind::NvSwitch,
        _ => DeviceKind::Gpu,
    };
    let report = base64(&entry["evidence"]);
    assert_eq!(
        hex::encode(&report[NONCE_AT]),
        entry["nonce"].as_str().unwrap(),
        "the nonce is echoed"
    );
    Some(device(
        kind,
        "none",
        report,
        der(&base64(&entry["certificate"])),
    ))
}

fn pickled_chain(chain: &Value) -> Vec<Vec<u8>> {
    let certificates = chain.as_array().unwrap().iter();
    certificates
        .flat_map(|certificate| der(&base64(&certificate["pem"])))
        .collect()
}

/// Which chain belongs to a report, and which report proves a chain.
pub(crate) const PAIRS: &[(&str, &str, DeviceKind)] = &[
    (
        "attestation-sdk__hopperAttestationReport.txt",
        "attestation-sdk__hopperCertChain.txt",
        DeviceKind::Gpu,
    ),
    (
        "attestation-sdk__switchAttestationReport.txt",
        "attestation-sdk__switchCertChain.txt",
        DeviceKind::NvSwitch,
    ),
    (
        "attestation-sdk__sample_blackwellAttestationReport.txt",
        "attestation-sdk__sample_blackwellCertChain.txt",
        DeviceKind::Gpu,
    ),
    (
        "attestation-sdk__sample_hopperAttestationReport.txt",
        "attestation-sdk__sample_hopperCertChain.txt",
        DeviceKind::Gpu,
    ),
    (
        "attestation-sdk__sample_hopperAttestationReportInvalidSignature.txt",
        "attestation-sdk__sample_hopperCertChain.txt",
        DeviceKind::Gpu,
    ),
    (
        "attestation-sdk__sample_switchAttestationReportInvalidSignature.txt",
        "attestation-sdk__switchCertChain.txt",
        DeviceKind::NvSwitch,
    ),
    (
        "trustee__hopperAttestationReport.txt",
        "trustee__hopper_cert_chain_case1.txt",
        DeviceKind::Gpu,
    ),
    (
        "trustee__hopperAttestationReport.txt",
        "trustee__hopper_cert_chain_case2.txt",
        DeviceKind::Gpu,
    ),
    (
        "trustee__hopperAttestationReport.txt",
        "trustee__hopper_cert_chain_case3.txt",
        DeviceKind::Gpu,
    ),
    (
        "trustee__hopperAttestationReport.txt",
        "trustee__hopper_cert_chain_case4.txt",
        DeviceKind::Gpu,
    ),
    (
        "trustee__hopperAttestationReport.txt",
        "confidentsecurity__invalidCertChain.txt",
        DeviceKind::Gpu,
    ),
];

/// A report and a chain of [`PAIRS`].
pub(crate) fn pair(
    evidence: &Path,
    (report_file, chain_file, kind): &(&str, &str, DeviceKind),
) -> DeviceReport {
    let certificates = der(&read(evidence.join(chain_file)));
    device(
        *kind,
        "none",
        report(&evidence.join(report_file)),
        certificates,
    )
}
