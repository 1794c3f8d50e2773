//! GPU evidence: its CBOR, and in place of the true ones a report, a certificate or an OCSP response.

use attestation::gpu::{DeviceEvidence, DeviceReport};

use crate::{Seeds, Target, scene::SCENE};

pub(crate) const EVIDENCE: Target = Target {
    name: "device-evidence",
    run: evidence,
    seeds: evidence_seeds,
    dictionary: &[b"GPU-"],
};

pub(crate) const REPORT: Target = Target {
    name: "gpu-report",
    run: report,
    seeds: report_seeds,
    // SPDM 1.1: a request and a response of measurements, and the head of a block.
    dictionary: &[
        b"\x11\xe0\x01\xff",
        b"\x11\x60\x00\x00",
        b"\x01\x01\x33\x00",
    ],
};

pub(crate) const CERTIFICATE: Target = Target {
    name: "gpu-certificate",
    run: certificate,
    seeds: certificate_seeds,
    // P-384, ECDSA with SHA-384, and TCG DICE.
    dictionary: &[
        b"\x06\x05\x2b\x81\x04\x00\x22",
        b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
        b"\x06\x06\x67\x81\x05\x05\x04\x01",
    ],
};

pub(crate) const OCSP: Target = Target {
    name: "ocsp",
    run: ocsp,
    seeds: ocsp_seeds,
    // id-pkix-ocsp-basic, and the three standings.
    dictionary: &[
        b"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01",
        b"\x80\x00",
        b"\xa1\x11\x18\x0f",
        b"\x82\x00",
    ],
};

fn evidence(bytes: &[u8]) {
    let Ok(evidence) = DeviceEvidence::decode(bytes) else {
        return;
    };
    assert_eq!(evidence.encode().expect("what decodes encodes"), bytes);
    for device in &evidence.devices {
        SCENE.verify_gpu(device);
    }
}

fn evidence_seeds(seeds: &mut Seeds) {
    let one = vec![SCENE.device.clone()];
    let bare = DeviceReport {
        certificates: vec![vec![0x30]],
        ocsp_responses: Vec::new(),
        ..SCENE.device.clone()
    };
    for devices in [one, vec![bare.clone(), bare]] {
        seeds.add(
            DeviceEvidence { devices }
                .encode()
                .expect("device evidence encodes"),
        );
    }
}

fn report(bytes: &[u8]) {
    let device = DeviceReport {
        report: bytes.to_vec(),
        ..SCENE.device.clone()
    };
    means_what_was_signed(&device);
}

fn report_seeds(seeds: &mut Seeds) {
    seeds.add(SCENE.device.report.clone());
    seeds.add_vectors("nvidia/evidence", |text| {
        hex::decode(String::from_utf8(text).ok()?.trim()).ok()
    });
}

/// The first byte says which certificate of the chain the rest stands for.
fn certificate(input: &[u8]) {
    let Some((first, certificate)) = input.split_first() else {
        return;
    };
    let mut device = SCENE.device.clone();
    let place = usize::from(*first) % device.certificates.len();
    device.certificates[place] = certificate.to_vec();
    means_what_was_signed(&device);
}

fn certificate_seeds(seeds: &mut Seeds) {
    for (place, certificate) in (0_u8..).zip(&SCENE.device.certificates) {
        seeds.add([&[place], certificate.as_slice()].concat());
    }
}

/// The first byte says which response the rest stands for.
fn ocsp(input: &[u8]) {
    let Some((first, response)) = input.split_first() else {
        return;
    };
    let mut device = SCENE.device.clone();
    let place = usize::from(*first) % device.ocsp_responses.len();
    device.ocsp_responses[place] = response.to_vec();
    means_what_was_signed(&device);
}

fn ocsp_seeds(seeds: &mut Seeds) {
    for (place, response) in (0_u8..).zip(&SCENE.device.ocsp_responses) {
        seeds.add([&[place], response.as_slice()].concat());
    }
}

fn means_what_was_signed(device: &DeviceReport) {
    if let Some(verified) = SCENE.verify_gpu(device) {
        assert_eq!(verified, SCENE.gpu_meaning);
    }
}
