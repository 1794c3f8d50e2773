//! Conformance with evidence of real GPUs and switches: every file under `nvidia/evidence` gives the verdict of the manifest.
//!
//! A file holds evidence (JSON, in the forms of NVIDIA's SDK and of Google's PPCIE data), a report alone or certificates alone;
//! the latter two are verified in pairs. `nvidia/google-spt-full-set` and `nvidia/google-rim-negatives`, which the manifest
//! lists, are not in the directory.

mod measurements;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use attestation::{
    ErrorCode,
    gpu::{
        Architecture, ConfidentialMode, Details, DeviceEvidence, DeviceKind, DeviceReport,
        GpuError, GpuTrustAnchor, GpuVerifier, MultiGpuMode, NvLinks, OcspStanding, VerifiedGpu,
        WiringError,
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use x509_parser::pem::Pem;

use crate::{
    support::{directory, manifest, read},
    table::Table,
};

/// 2025-10-09; every device chain of the vectors is valid from 2023 to 9999.
const NOW_S: u64 = 1_760_000_000;
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
    let verifier = GpuVerifier::new(GpuTrustAnchor::nvidia());
    let [cold, warm] = [(); 2].map(|()| verifier.verify(device, Some(&nonce), NOW_S));
    assert_eq!(format!("{cold:?}"), format!("{warm:?}"));
    warm
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
fn devices(json: &Value) -> Option<Vec<DeviceReport>> {
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

/// The verdict on each file: `accept`, a code, or `parse` where it holds no evidence.
fn verdicts(evidence: &Path) -> BTreeMap<String, String> {
    let mut verdicts = BTreeMap::new();
    for entry in fs::read_dir(evidence).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let json = serde_json::from_slice(&read(&path)).unwrap();
            let devices = devices(&json);
            let verdict = devices.as_deref().map_or("parse".to_owned(), |devices| {
                let refused = devices.iter().find_map(|device| verify(device).err());
                refused.map_or("accept".to_owned(), |error| error.code().to_string())
            });
            verdicts.insert(name, verdict);
        }
    }
    for paired in PAIRS {
        let outcome = verify(&pair(evidence, paired));
        let verdict =
            outcome.map_or_else(|error| error.code().to_string(), |_| "accept".to_owned());
        let (report_file, chain_file, _) = *paired;
        // A report that two chains are tried with stands for the good one.
        for file in [report_file, chain_file] {
            let known = verdicts
                .entry(file.to_owned())
                .or_insert_with(|| verdict.clone());
            if verdict == "accept" {
                known.clone_from(&verdict);
            }
        }
    }
    verdicts
}

#[test]
fn every_file_gives_the_verdict_of_the_manifest() {
    let Some(directory) = directory("nvidia evidence") else {
        return;
    };
    let verdicts = verdicts(&directory.join("nvidia/evidence"));
    let mut table = Table::default();
    for row in manifest(&directory) {
        let (file, expected) = (&row["file"], row["expect"].as_str());
        let Some(name) = file.strip_prefix("nvidia/evidence/") else {
            continue;
        };
        let got = verdicts.get(name).map_or("not read", String::as_str);
        let fits = match expected {
            "accept" => got == "accept",
            "reject" => got.starts_with("E7"),
            _ => ["accept", "parse"].contains(&got),
        };
        table.row(file, &format!("{expected} {}", row["detail"]), got, fits);
    }
    // Each file of the folder is in the manifest.
    table.close(verdicts.len());
    for absent in ["nvidia/google-spt-full-set", "nvidia/google-rim-negatives"] {
        println!("SKIPPED {absent}: not in the directory of vectors");
        assert!(
            !directory.join(absent).exists(),
            "{absent} is there: read it"
        );
    }
}

#[test]
fn refusals_have_the_reason_that_the_manifest_gives() {
    let Some(directory) = directory("nvidia refusals") else {
        return;
    };
    let evidence = directory.join("nvidia/evidence");
    for paired in PAIRS {
        let code = verify(&pair(&evidence, paired))
            .err()
            .map(|error| error.code());
        let expected = match *paired {
            (report, _, _) if report.contains("InvalidSignature") => {
                Some(ErrorCode::GpuReportSignatureInvalid)
            }
            (_, chain, _) if chain.contains("invalid") || chain.contains("case") => {
                (!chain.contains("case1")).then_some(ErrorCode::GpuChainInvalid)
            }
            _ => None,
        };
        assert_eq!(code, expected, "{paired:?}");
    }
}

#[test]
fn what_a_hopper_gpu_says_is_read() {
    let Some(directory) = directory("hopper report") else {
        return;
    };
    let evidence = directory.join("nvidia/evidence");
    let verified = verify(&pair(&evidence, &PAIRS[6])).unwrap();
    assert_eq!(verified.trust_anchor(), "NVIDIA Device Identity CA");
    assert_eq!(verified.architecture(), Architecture::Hopper);
    assert_eq!(verified.chip(), "GH100");
    assert_eq!(verified.device_serial(), "41431d480fe5e87274");
    assert_eq!(verified.driver_version().unwrap().to_string(), "550.90.07");
    assert_eq!(verified.vbios_version().to_string(), "96.00.9F.00.01");
    assert_eq!(verified.measurements().len(), 64);
    assert!(verified.measurements().keys().copied().eq(0..64));
    let gpu = verified.gpu().unwrap();
    assert_eq!(
        (gpu.nvdec0, gpu.protected_pcie, gpu.mode),
        (false, Some(false), None)
    );
    assert_eq!(verified.ocsp(), &[OcspStanding::NotStapled; 4]);
    let missing = verified.require_ocsp(NOW_S, 0).unwrap_err();
    assert_eq!(missing.code(), ErrorCode::GpuOcspMissing);
    assert!(
        serde_json::to_string(&verified)
            .unwrap()
            .contains("\"96.00.9F.00.01\"")
    );
}

#[test]
fn blackwell_differs_in_firmware_id_and_chip() {
    let Some(directory) = directory("blackwell report") else {
        return;
    };
    let verified = verify(&pair(&directory.join("nvidia/evidence"), &PAIRS[2])).unwrap();
    assert_eq!(verified.architecture(), Architecture::Blackwell);
    assert_eq!(verified.chip(), "GB100");
    assert_eq!(verified.driver_version().unwrap().to_string(), "575.32");
    assert_eq!(verified.vbios_version().to_string(), "97.00.88.00.0F");
}

/// Eight GPUs and four switches of one machine: they know each other, and they fit the evidence's limit.
#[test]
fn a_protected_pcie_machine_fits_and_is_wired_together() {
    let Some(directory) = directory("protected PCIe machine") else {
        return;
    };
    let path = directory.join("nvidia/evidence/google__hopper_ppcie_8gpu_4switch.json");
    let mut devices = devices(&serde_json::from_slice(&read(path)).unwrap()).unwrap();
    let verified: Vec<_> = devices
        .iter()
        .map(|device| verify(device).unwrap())
        .collect();
    let of_kind = |kind| {
        let devices = verified.iter().filter(move |device| device.kind() == kind);
        devices
            .map(|device| device.pdi().unwrap())
            .collect::<BTreeSet<_>>()
    };
    let (gpus, switches) = (of_kind(DeviceKind::Gpu), of_kind(DeviceKind::NvSwitch));
    assert_eq!(
        (gpus.len(), switches.len()),
        (8, 4),
        "each has an identity of its own"
    );
    for device in &verified {
        match device.details() {
            Details::Gpu(details) => {
                assert_eq!(details.switch_pdis, switches);
                assert_eq!(details.protected_pcie, Some(true));
            }
            Details::NvSwitch(details) => {
                assert_eq!(details.gpu_pdis, gpus);
                assert_eq!(details.device_pdi, device.pdi());
            }
        }
    }
    wiring(&verified);
    // Real responses have 1,005 to 1,090 bytes; three certificates of a chain have one.
    for device in &mut devices {
        device.ocsp_responses = vec![vec![0x30; 1100]; 3];
    }
    let bytes = DeviceEvidence { devices }.encode().unwrap();
    println!(
        "8 GPUs and 4 switches: {} bytes of device evidence",
        bytes.len()
    );
}

/// What a real machine says of its links holds as a whole, and not with any one device less.
fn wiring(machine: &[VerifiedGpu]) {
    let links = NvLinks::verify(machine).unwrap().unwrap();
    assert_eq!(links.switches_count(), 4);
    for left_out in 0..machine.len() {
        let mut fewer = machine.to_vec();
        let device = fewer.remove(left_out);
        let refused = NvLinks::verify(&fewer).unwrap_err();
        let as_expected = match device.kind() {
            DeviceKind::Gpu => matches!(refused, WiringError::GpuForeign(_)),
            DeviceKind::NvSwitch => matches!(refused, WiringError::SwitchMissing(_)),
        };
        assert!(as_expected, "{refused}");
    }
}

#[test]
fn a_report_answers_one_nonce() {
    let Some(directory) = directory("GPU nonce") else {
        return;
    };
    let device = pair(&directory.join("nvidia/evidence"), &PAIRS[0]);
    let verifier = GpuVerifier::new(GpuTrustAnchor::nvidia());
    let refused = verifier.verify(&device, Some(&[7; 32]), NOW_S).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::GpuNonceMismatch);
    assert!(verifier.verify(&device, None, NOW_S).is_ok());
}

#[test]
fn a_device_is_what_its_certificates_say() {
    let Some(directory) = directory("GPU kind") else {
        return;
    };
    let evidence = directory.join("nvidia/evidence");
    let gpu = pair(&evidence, &PAIRS[0]);
    let nv_switch = pair(&evidence, &PAIRS[1]);
    let mixed = DeviceReport {
        certificates: nv_switch.certificates,
        ..gpu
    };
    let refused = verify(&mixed).unwrap_err();
    assert!(matches!(refused, GpuError::Kind { .. }), "{refused}");
}
