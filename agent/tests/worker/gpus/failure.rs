//! Each thing that can be wrong has an error of its own, ends nothing, and leaves the GPUs not ready.

use std::time::Duration;

use agent::gpus::{GpuAttester, GpuError};
use attestation::ErrorCode;
use attestation::gpu::GpuTrustAnchor;
use kernels::nvml::NvmlCallError;
use simulator::gpu::{GpuFlaw, GpuOptions};

use super::{Gpus, NONCE, now_s};

/// Has two GPUs, ready until now, attest under these settings.
async fn refused(settings: &str) -> Option<GpuError> {
    let settings = format!("FAKE_NVML_GPUS=2\nFAKE_NVML_READY=1\n{settings}");
    let gpus = Gpus::start(2, "")?;
    gpus.set(&settings);
    let error = gpus.attest().await.unwrap_err();
    assert!(!gpus.are_ready(), "{settings}");
    Some(error)
}

macro_rules! assert_refused {
    ($settings:expr, $pattern:pat) => {
        if let Some(error) = refused($settings).await {
            assert!(matches!(error, $pattern), "{}: {error:?}", $settings);
        }
    };
}

#[tokio::test]
async fn what_nvml_answers_is_refused_by_name() {
    assert_refused!("FAKE_NVML_LOST_GPU=1", GpuError::Lost { index: 1 });
    assert_refused!(
        "FAKE_NVML_NOT_SUPPORTED=nvmlDeviceGetConfComputeGpuAttestationReport",
        GpuError::NotSupported {
            function: "nvmlDeviceGetConfComputeGpuAttestationReport",
            ..
        }
    );
    assert_refused!(
        "FAKE_NVML_NOT_SUPPORTED=nvmlDeviceGetConfComputeGpuCertificate",
        GpuError::NotSupported { .. }
    );
    assert_refused!(
        "FAKE_NVML_REPORT_BYTES=8193",
        GpuError::Call {
            source: NvmlCallError::Length {
                seen_bytes: 8_193,
                ..
            },
            ..
        }
    );
    assert_refused!(
        "FAKE_NVML_REPORT_BYTES=4294967295",
        GpuError::Call {
            source: NvmlCallError::Length {
                seen_bytes: u32::MAX,
                ..
            },
            ..
        }
    );
    assert_refused!(
        "FAKE_NVML_CHAIN_BYTES=4294967295",
        GpuError::Call {
            source: NvmlCallError::Length { .. },
            ..
        }
    );
    assert_refused!("FAKE_NVML_ATTESTER=/nonexistent", GpuError::Call { .. });
    assert_refused!("FAKE_NVML_CHAIN_BYTES=0", GpuError::ChainEmpty { .. });
    assert_refused!("FAKE_NVML_REPORT_BYTES=0", GpuError::Unverified { .. });
    assert_refused!("FAKE_NVML_DEV_TOOLS=1", GpuError::DevTools);
    assert_refused!("FAKE_NVML_MULTI_GPU=7", GpuError::MultiGpuMode(7));
    assert_refused!("FAKE_NVML_GPUS=17", GpuError::TooMany { seen: 17, .. });
}

#[tokio::test]
async fn what_nvml_cannot_say_is_refused_by_name() {
    assert_refused!(
        "FAKE_NVML_NOT_SUPPORTED=nvmlDeviceGetUUID",
        GpuError::Device { index: 0, .. }
    );
    assert_refused!("FAKE_NVML_UUID=\t\t\t\t", GpuError::Name { index: 0 });
    // The chain ends amid its first certificate.
    assert_refused!("FAKE_NVML_CHAIN_BYTES=100", GpuError::ChainPem { .. });
    assert_refused!(
        "FAKE_NVML_SETTINGS=999",
        GpuError::Settings(NvmlCallError::Nvml { .. })
    );
    assert_refused!("FAKE_NVML_ENVIRONMENT=1", GpuError::NotProduction(1));
}

#[tokio::test]
async fn a_ready_state_that_cannot_be_read_or_set_is_refused_by_name() {
    for settings in [
        "FAKE_NVML_SET_READY=999",
        "FAKE_NVML_NOT_SUPPORTED=nvmlSystemGetConfComputeGpusReadyState",
    ] {
        let Some(gpus) = Gpus::start(1, settings) else {
            return;
        };
        let error = gpus.attest().await.unwrap_err();
        assert!(matches!(error, GpuError::Ready(_)), "{settings}: {error:?}");
    }
}

#[tokio::test]
async fn a_machine_without_gpus_or_driver_is_refused_by_name() {
    for settings in ["FAKE_NVML_GPUS=0", "FAKE_NVML_INIT=9"] {
        let Some(gpus) = Gpus::start(0, settings) else {
            return;
        };
        let error = gpus.attest().await.unwrap_err();
        assert!(matches!(error, GpuError::Open(_)), "{error:?}");
    }
}

#[tokio::test]
async fn forged_evidence_is_refused_by_its_code() {
    let flaws = [
        (GpuFlaw::Nonce, ErrorCode::GpuNonceMismatch),
        (GpuFlaw::Signature, ErrorCode::GpuReportSignatureInvalid),
        (GpuFlaw::FirmwareId, ErrorCode::GpuFirmwareIdMismatch),
        (GpuFlaw::ForeignRoot, ErrorCode::GpuChainInvalid),
    ];
    for (flaw, code) in flaws {
        let Some(gpus) = Gpus::start(2, "FAKE_NVML_READY=1") else {
            return;
        };
        gpus.rack.set(GpuOptions {
            flaw: Some(flaw),
            ..GpuOptions::at(now_s())
        });
        let GpuError::Unverified { source, .. } = gpus.attest().await.unwrap_err() else {
            panic!("{flaw:?}")
        };
        assert_eq!(source.code(), code, "{flaw:?}");
        assert!(!gpus.are_ready(), "{flaw:?}");
    }
}

/// What the shipped worker trusts: a simulated GPU is never set ready by it.
#[tokio::test]
async fn under_nvidias_root_a_simulated_gpu_is_not_set_ready() {
    let Some(gpus) = Gpus::start(1, "FAKE_NVML_READY=1") else {
        return;
    };
    let world = gpus.world_under(GpuTrustAnchor::nvidia());
    let attester = GpuAttester::new(&world, None);
    let GpuError::Unverified { source, .. } = attester.attest(NONCE).await.unwrap_err() else {
        panic!()
    };
    assert_eq!(source.code(), ErrorCode::GpuChainInvalid);
    assert!(!gpus.are_ready());
}

#[tokio::test]
async fn without_the_right_to_set_them_ready_gpus_must_be_so_already() {
    let Some(gpus) = Gpus::start(1, "FAKE_NVML_SET_READY=4") else {
        return;
    };
    let error = gpus.attest().await.unwrap_err();
    assert!(matches!(error, GpuError::ReadyPermission), "{error:?}");
    gpus.set("FAKE_NVML_GPUS=1\nFAKE_NVML_SET_READY=4\nFAKE_NVML_READY=1");
    gpus.attest().await.unwrap();
}

#[tokio::test]
async fn a_driver_that_hangs_is_waited_for_but_not_for_ever() {
    let Some(gpus) = Gpus::start(1, "FAKE_NVML_REPORT_MS=3000") else {
        return;
    };
    let limit = Duration::from_millis(200);
    let attester = GpuAttester::new(&gpus.world(), None).with_limit(limit);
    let late = attester.attest(NONCE).await.unwrap_err();
    assert!(matches!(late, GpuError::Deadline(_)), "{late:?}");
    let again = attester.attest(NONCE).await.unwrap_err();
    assert!(matches!(again, GpuError::Busy), "{again:?}");
    assert!(!gpus.are_ready());
}
