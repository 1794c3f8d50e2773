//! What one GPU costs the gateway, in CPU time of the thread: the whole verification, of certificates and OCSP responses that
//! are new to the verifier or known to it; the P-384 signature that it consists of, by both libraries; and the reference
//! manifests, which are verified once and then found.
//!
//! The GPU with OCSP and the manifests are simulated. The other GPU is real, from the directory that `COCOON_VECTORS` names, and
//! is left out without one.

use std::{hint::black_box, path::PathBuf, time::Duration};

use attestation::gpu::{
    ConfidentialMode, DeviceKind, DeviceReport, GpuTrustAnchor, GpuVerifier, MultiGpuMode,
    VerifiedReferences, rim::ReferenceManifest,
};
use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use simulator::gpu::{GpuOptions, SimulatedGpu, simulated_gpu_anchor};
use x509_parser::{certificate::X509Certificate, pem::Pem, prelude::FromDer};

/// 2025-10-09; the chain is valid from 2022 to 9999.
const NOW_S: u64 = 1_760_000_000;

/// Of the simulated GPU.
const SEED: u64 = 7;

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

/// Each call by itself under the clock of this thread, since other work shares the machine's cores.
fn measure<T>(
    criterion: &mut Criterion,
    name: &str,
    set_up: impl Fn() -> T,
    call: impl Fn(&T) -> bool,
) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            let times = (0..count).map(|_| {
                let subject = set_up();
                let before = cpu_time();
                let outcome = call(black_box(&subject));
                let spent = cpu_time().saturating_sub(before);
                black_box(outcome);
                spent
            });
            times.sum()
        });
    });
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime)
        .try_into()
        .unwrap_or_default()
}

/// By a new verifier each time, and by one that has verified the device before.
fn verification(
    criterion: &mut Criterion,
    name: &str,
    anchor: &GpuTrustAnchor,
    device: &DeviceReport,
) -> Result<(), BenchError> {
    let verify = |verifier: &GpuVerifier| verifier.verify(device, None, NOW_S).is_ok();
    let cold = || GpuVerifier::new(anchor.clone());
    let known = cold();
    known.verify(device, None, NOW_S)?;
    measure(criterion, &format!("{name}, cold"), cold, verify);
    measure(
        criterion,
        &format!("{name}, known certificates"),
        || known.clone(),
        verify,
    );
    Ok(())
}

/// A GPU with a response for each certificate that NVIDIA's responder answers for.
fn with_ocsp(criterion: &mut Criterion) -> Result<(), BenchError> {
    let device = SimulatedGpu::new(SEED, 0).report(&[0x42; 32], &GpuOptions::at(NOW_S));
    verification(
        criterion,
        "one GPU with OCSP",
        &simulated_gpu_anchor(SEED),
        &device,
    )
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
    let signed = || message;
    measure(criterion, "one P-384 signature, ring", signed, |message| {
        ring.verify(message, signature).is_ok()
    });
    measure(
        criterion,
        "one P-384 signature, AWS-LC",
        signed,
        |message| aws_lc.verify(message, signature).is_ok(),
    );
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
    reason = "the benchmark says what it does not measure"
)]
fn gpu(criterion: &mut Criterion) {
    let outcome = with_ocsp(criterion)
        .and_then(|()| manifests(criterion))
        .and_then(|()| {
            let Some(device) = device()? else {
                eprintln!("SKIPPED the real GPU: COCOON_VECTORS names no directory of vectors");
                return Ok(());
            };
            verification(criterion, "one GPU", &GpuTrustAnchor::nvidia(), &device)?;
            signatures(criterion, &device)
        });
    if let Err(error) = outcome {
        eprintln!("FAILED: {error}");
    }
}

criterion_group!(benches, gpu);
criterion_main!(benches);
