//! Reading GPU evidence in whatever form it comes: our CBOR, the JSON of NVIDIA's SDK, or a report with its chain in PEM.

use anyhow::{Context, bail, ensure};
use attestation::gpu::{
    ConfidentialMode, DEVICES_COUNT_MAX, DeviceEvidence, DeviceKind, DeviceReport, MultiGpuMode,
    UnverifiedReport,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use x509_parser::pem::Pem;

use crate::input;

/// SPDM 1.1, `GET_MEASUREMENTS`: the request that every report opens with.
pub(crate) const REPORT_HEAD: &[u8] = &[0x11, 0xe0];
/// A CBOR map of one entry, under key 0.
pub(crate) const EVIDENCE_HEAD: &[u8] = &[0xa1, 0x00];
pub(crate) const PEM_HEAD: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Devices, none of them believed yet.
#[derive(Debug)]
pub(crate) struct Devices {
    pub(crate) reports: Vec<DeviceReport>,
    pub(crate) form: Form,
}

/// How the devices came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A worker's. It alone carries what NVML says of confidential mode; of the others `mode` means nothing.
    Worker,
    /// JSON of NVIDIA's SDK.
    Sdk,
    /// A report by itself, which brings no certificates.
    Report,
}

/// One device in the form of NVIDIA's SDK.
#[derive(Deserialize)]
struct SdkDevice {
    arch: String,
    /// The chain in PEM, in base64.
    certificate: String,
    /// The report in base64.
    evidence: String,
}

/// The devices in `input`. A bare report has no certificates; [`Devices::certified`] gives it some.
pub(crate) fn parse(input: Vec<u8>) -> anyhow::Result<Devices> {
    let opens = input.iter().find(|byte| !byte.is_ascii_whitespace());
    if opens == Some(&b'[') {
        return sdk(&input);
    }
    let bytes = input::decode_binary("GPU evidence", input)?;
    if bytes.starts_with(EVIDENCE_HEAD) {
        let evidence = DeviceEvidence::decode(&bytes)?;
        return Ok(Devices {
            reports: evidence.devices,
            form: Form::Worker,
        });
    }
    ensure!(
        bytes.starts_with(REPORT_HEAD),
        "it is neither device evidence in CBOR, nor JSON of NVIDIA's SDK, nor a report"
    );
    let kind = if UnverifiedReport::is_of(DeviceKind::Gpu, &bytes) {
        DeviceKind::Gpu
    } else {
        DeviceKind::NvSwitch
    };
    Ok(Devices {
        reports: vec![device(kind, 0, bytes, Vec::new())],
        form: Form::Report,
    })
}

impl Devices {
    /// With the certificates that a bare report needs and nothing else takes.
    pub(crate) fn certified(mut self, chain: Option<&[u8]>) -> anyhow::Result<Self> {
        match (self.form, chain) {
            (Form::Report, Some(pem)) => {
                let chain = certificates(pem).context("--gpu-chain is no certificate chain")?;
                for report in &mut self.reports {
                    report.certificates.clone_from(&chain);
                }
            }
            (Form::Report, None) => bail!("a bare report needs its certificates: --gpu-chain FILE"),
            (Form::Worker | Form::Sdk, Some(_)) => {
                bail!("it brings its own certificates; --gpu-chain is for a bare report")
            }
            (Form::Worker | Form::Sdk, None) => {}
        }
        Ok(self)
    }
}

fn sdk(input: &[u8]) -> anyhow::Result<Devices> {
    let entries: Vec<SdkDevice> =
        serde_json::from_slice(input).context("it is not the JSON of NVIDIA's SDK")?;
    ensure!(!entries.is_empty(), "it names no device");
    ensure!(
        entries.len() <= DEVICES_COUNT_MAX,
        "it names {} devices, more than {DEVICES_COUNT_MAX}",
        entries.len()
    );
    let mut reports = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let kind = if entry.arch == "LS10" {
            DeviceKind::NvSwitch
        } else {
            DeviceKind::Gpu
        };
        let decode = |text: &str| BASE64_STANDARD.decode(text).context("it is not base64");
        let report = decode(&entry.evidence).with_context(|| format!("report {index}"))?;
        let chain = decode(&entry.certificate).with_context(|| format!("chain {index}"))?;
        reports.push(device(kind, index, report, certificates(&chain)?));
    }
    Ok(Devices {
        reports,
        form: Form::Sdk,
    })
}

/// NVIDIA's forms name no UUID; the place in the file stands for it.
fn device(
    kind: DeviceKind,
    index: usize,
    report: Vec<u8>,
    certificates: Vec<Vec<u8>>,
) -> DeviceReport {
    DeviceReport {
        kind,
        uuid: format!("device-{index}"),
        report,
        certificates,
        ocsp_responses: Vec::new(),
        mode: ConfidentialMode {
            feature_on: false,
            dev_tools_on: false,
            multi_gpu_mode: MultiGpuMode::None,
        },
    }
}

/// The certificates (DER) of a chain in PEM, which may stand within something else, such as a quote.
pub(crate) fn certificates(bytes: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut heads = bytes.windows(PEM_HEAD.len());
    let start = heads.position(|window| window == PEM_HEAD);
    // The parser looks for a head at the beginnings of lines alone.
    let pem = start.and_then(|start| bytes.get(start..));
    let mut certificates = Vec::new();
    for block in Pem::iter_from_buffer(pem.unwrap_or_default()) {
        let number = certificates.len();
        certificates.push(
            block
                .with_context(|| format!("certificate {number} is no PEM"))?
                .contents,
        );
    }
    if certificates.is_empty() {
        bail!("there is no certificate in PEM");
    }
    Ok(certificates)
}
