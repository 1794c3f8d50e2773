//! What one GPU costs the gateway: the whole verification, the P-384 signature that it consists of, by both libraries, and the
//! reference manifests, which are verified once and then found.
//!
//! Reads a real report from the directory that `COCOON_VECTORS` names, and measures only manifests, simulated ones, without.

use std::{hint::black_box, path::PathBuf};

use attestation::gpu::{
    ConfidentialMode, DeviceKind, DeviceReport, GpuTrustAnchor, GpuVerifier, MultiGpuMode,
    VerifiedReferences, rim::ReferenceManifest,
};
use criterion::{Criterion, criterion_group, criterion_main};
use simulator::gpu::{GpuOptions, SimulatedGpu, simulated_gpu_anchor};
use x509_parser::{certificate::X509Certificate, pem::Pem, prelude::FromDer};

/// 2025-10-09; the chain is valid from 2022 to 9999.
const NOW_S: u64 = 1_760_000_000;

type BenchError = Box<dyn std::error::Error>;

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark has no configuration of its own"
)]
fn device() -> Result<Option<DeviceReport>, BenchError> {
    let Some(directory) = std::env::var_os("COCOON_VECTORS").map(PathBuf::from) else {
        return Ok(None);
    };
    let evidence = directory.join("nvidia/evidence");
    let report = std::fs::read_to_string(evidence.join("trustee__hopperAttestationReport.txt"))?;
    let chain = std::fs::read(evidence.join("trustee__hopper_cert_chain_case1.txt"))?;
    Ok(Some(DeviceReport {
        kind: DeviceKind::Gpu,
        uuid: "GPU-bench".to_owned(),
        report: hex::decode(report.trim())?,
        certificates: Pem::iter_from_buffer(&chain)
            .map(|pem| Ok(pem?.contents))
            .collect::<Result<_, BenchError>>()?,
        ocsp_responses: Vec::new(),
        mode: ConfidentialMode {
            feature_on: true,
            dev_tools_on: false,
            multi_gpu_mode: MultiGpuMode::None,
        },
    }))
}

fn verification(criterion: &mut Criterion, device: &DeviceReport) -> Result<(), BenchError> {
    let verifier = GpuVerifier::new(GpuTrustAnchor::nvidia());
    verifier.verify(device, None, NOW_S)?;
    criterion.bench_function("verify a GPU's evidence", |bencher| {
        bencher.iter(|| verifier.verify(black_box(device), None, NOW_S).is_ok());
    });
    Ok(())
}

fn signatures(criterion: &mut Criterion, device: &DeviceReport) -> Result<(), BenchError> {
    let leaf = device.certificates.first().ok_or("no certificate")?;
    let (_, certificate) = X509Certificate::from_der(leaf)?;
    let point = &*certificate.public_key().subject_public_key.data;
    let (message, signature) = device.report.split_last_chunk::<96>().ok_or("short")?;
    let ring =
        ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P384_SHA384_FIXED, point);
    let aws_lc = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED,
        point,
    );
    criterion.bench_function("verify a P-384 signature, ring", |bencher| {
        bencher.iter(|| ring.verify(black_box(message), signature).is_ok());
    });
    criterion.bench_function("verify a P-384 signature, AWS-LC", |bencher| {
        bencher.iter(|| aws_lc.verify(black_box(message), signature).is_ok());
    });
    Ok(())
}

fn manifests(criterion: &mut Criterion) -> Result<(), BenchError> {
    const SEED: u64 = 1;
    let gpu = SimulatedGpu::new(SEED, 0);
    let anchor = simulated_gpu_anchor(SEED);
    let references = gpu.references();
    let id = references.ids().next().ok_or("no manifest")?;
    let manifest = references.find(id).ok_or("no manifest")?;
    ReferenceManifest::verify(manifest, &anchor, NOW_S)?;
    criterion.bench_function("verify a reference manifest", |bencher| {
        bencher.iter(|| ReferenceManifest::verify(black_box(manifest), &anchor, NOW_S).is_ok());
    });
    let verified = VerifiedReferences::verify(&references, &anchor);
    let device = gpu.report(&[0; 32], &GpuOptions::at(NOW_S));
    let device = GpuVerifier::new(anchor).verify(&device, None, NOW_S)?;
    device.match_references(&verified, NOW_S)?;
    criterion.bench_function("match a GPU's measurements with two manifests", |bencher| {
        bencher.iter(|| device.match_references(black_box(&verified), NOW_S).is_ok());
    });
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "the benchmark says why it measures nothing"
)]
fn gpu(criterion: &mut Criterion) {
    let outcome = manifests(criterion)
        .and_then(|()| device())
        .and_then(|device| {
            let Some(device) = device else {
                eprintln!("SKIPPED: COCOON_VECTORS names no directory of vectors");
                return Ok(());
            };
            verification(criterion, &device)?;
            signatures(criterion, &device)
        });
    if let Err(error) = outcome {
        eprintln!("FAILED: {error}");
    }
}

criterion_group!(benches, gpu);
criterion_main!(benches);
