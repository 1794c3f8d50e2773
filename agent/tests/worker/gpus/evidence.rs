//! GPUs in good order.

use agent::telemetry::Telemetry;
use attestation::gpu::{ConfidentialMode, DeviceEvidence, GpuVerifier, MultiGpuMode};
use protocol::Sha256Digest;
use simulator::gpu::simulated_gpu_anchor;

use super::{Gpus, NONCE, SEED, now_s};
use crate::gateway::lock;
use crate::pool::Pool;

#[tokio::test]
async fn what_nvml_says_is_passed_on() {
    let Some(gpus) = Gpus::start(2, "") else {
        return;
    };
    let telemetry = Telemetry::start(&gpus.world());
    let readings = telemetry.latest();
    assert_eq!(readings.len(), 2);
    for reading in &readings {
        assert!(reading.uuid.starts_with("GPU-") && !reading.name.is_empty());
        assert!(
            reading.memory_total_bytes.is_some() && reading.utilisation_percent.is_some(),
            "{reading:?}"
        );
    }
    assert_ne!(readings[0].uuid, readings[1].uuid);
}

#[tokio::test]
async fn one_two_and_eight_gpus_attest_and_are_set_ready() {
    for count in [1, 2, 8] {
        let Some(gpus) = Gpus::start(count, "FAKE_NVML_MULTI_GPU=2") else {
            return;
        };
        assert!(!gpus.are_ready());
        let attested = gpus.attest().await.unwrap();
        assert!(gpus.are_ready());
        assert_eq!(attested.reports.len(), usize::from(count));
        let verifier = GpuVerifier::new(simulated_gpu_anchor(SEED));
        for (claim, report) in attested.claims.iter().zip(&attested.reports) {
            assert_eq!(claim.uuid, report.uuid);
            let mode = ConfidentialMode {
                feature_on: true,
                dev_tools_on: false,
                multi_gpu_mode: MultiGpuMode::Nvle,
            };
            assert_eq!(report.mode, mode);
            let gpu = verifier.verify(report, Some(&NONCE), now_s()).unwrap();
            assert!(gpu.trust_anchor().starts_with("NOT NVIDIA"));
        }
        let devices = attested.reports;
        let encoded = DeviceEvidence { devices }.encode().unwrap();
        println!("{count} GPUs: {} bytes of device evidence", encoded.len());
    }
}

#[tokio::test]
async fn the_drivers_library_is_claimed_with_its_digest() {
    let Some(gpus) = Gpus::start(1, "FAKE_NVML_DRIVER=570.1") else {
        return;
    };
    let attested = gpus.attest().await.unwrap();
    let [library] = &attested.libraries[..] else {
        panic!("{:?}", attested.libraries)
    };
    let file = std::fs::read(gpus.world().nvml_library.unwrap()).unwrap();
    assert_eq!(
        (library.name.as_str(), library.version.as_str()),
        ("libnvidia-ml", "570.1")
    );
    assert_eq!(library.digest, *Sha256Digest::of(&file).as_bytes());
}

#[tokio::test]
async fn without_confidential_computing_gpus_are_claimed_but_show_nothing() {
    for settings in [
        "FAKE_NVML_CC=0",
        "FAKE_NVML_NOT_SUPPORTED=nvmlSystemGetConfComputeSettings",
    ] {
        let Some(gpus) = Gpus::start(2, settings) else {
            return;
        };
        let attested = gpus.attest().await.unwrap();
        assert_eq!((attested.claims.len(), attested.reports.len()), (2, 0));
        assert!(!gpus.are_ready(), "nobody asked for it");
    }
}

/// The whole worker: claims, device evidence over the connection's nonce, and a quote over both.
#[tokio::test]
async fn a_worker_shows_its_gpus_to_the_gateway() {
    let Some(gpus) = Gpus::start(2, "") else {
        return;
    };
    let configured = |config: String| gpus.configured(&config);
    let mut pool = Pool::start_in(gpus.world(), configured, |_| {}).await;
    pool.until("admission", |gateway| !lock(&gateway.evidence).is_empty())
        .await;
    let claimed = pool.state().claims();
    let (evidence, nonce) = {
        let presented = lock(&pool.state().evidence);
        let presented = presented.last().unwrap();
        (
            presented.evidence.unpack().unwrap(),
            presented.binding.gpu_nonce(),
        )
    };
    let devices = DeviceEvidence::decode(evidence.device_evidence_bytes()).unwrap();
    let verifier = GpuVerifier::new(simulated_gpu_anchor(SEED));
    for device in &devices.devices {
        verifier.verify(device, Some(&nonce), now_s()).unwrap();
    }
    let claimed: Vec<_> = claimed.gpus.iter().map(|gpu| &gpu.uuid).collect();
    let shown: Vec<_> = devices.devices.iter().map(|device| &device.uuid).collect();
    assert_eq!(claimed, shown);
    assert!(gpus.are_ready());
    pool.stop().await;
}
