//! NVIDIA's reference manifests out of their folder, read again while the gateway runs.

use std::fs;
use std::time::Duration;

use attestation::gpu::GpuVerifier;
use attestation::{ErrorCode, Verifier};
use gateway::world::{Clock, SystemClock};
use serde_json::{Value, json};
use simulator::gpu::{GpuOptions, SimulatedGpu, simulated_gpu_anchor};

use crate::pool::{Pool, SEED, hang_up};
use crate::reappraisal::{record, until, view};
use crate::worker::{TestAttester, connect};

pub(crate) const RULES: &str = r#"gpu = "if-claimed"

[gpu]
driver_version_min = "550.54.14"
driver_versions_denied = []
vbios_versions_min = { hopper = "96.00.9F.00.01" }
reference_measurements = "required"
ocsp = "required"
ocsp_grace_hours = 0
enrolled = "any"
revoked = []
"#;

/// A pool whose folder has the manifests of the simulated GPUs.
pub(crate) async fn pool() -> Pool {
    Pool::start_with(|config| {
        let folder = config.state_dir.join("gpu-references");
        fs::create_dir_all(&folder).unwrap();
        let references = SimulatedGpu::new(SEED, 0).references();
        for id in references.ids() {
            let manifest = references.find(id).unwrap();
            fs::write(folder.join(format!("{id}.swidtag")), manifest).unwrap();
        }
        config.attestation.gpu_references_dir = Some(folder);
    })
    .await
}

/// Until the metrics have this line.
async fn seen(pool: &Pool, line: &str) -> String {
    let mut text = String::new();
    for _ in 0..1_000 {
        text = pool.metrics("/metrics").await.text();
        if text.contains(line) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{line} is not in\n{text}");
}

#[tokio::test]
async fn manifests_are_verified_when_they_come_and_counted() {
    let pool = pool().await;
    let folder = pool.dir.path().join("state/gpu-references");
    fs::write(
        folder.join("NV_GPU_DRIVER_GH100_1.2.3.xml"),
        b"<no-manifest/>",
    )
    .unwrap();
    hang_up();
    let usable = r#"cocoon_gateway_gpu_references{standing="usable"} 4"#;
    let refused = r#"cocoon_gateway_gpu_references{standing="refused"} 1"#;
    assert!(seen(&pool, refused).await.contains(usable));
}

#[tokio::test]
async fn a_session_admitted_without_gpu_rules_is_held_against_new_ones_and_audits() {
    let pool = pool().await;
    let secret = pool.enrol("worker-1").await;
    let now_s = SystemClock::start().now_us() / 1_000_000;
    let gpu = SimulatedGpu::new(SEED, 0);
    let (uuid, serial) = (gpu.uuid(), gpu.serial());
    let attester = TestAttester {
        gpu: Some(Box::new((gpu, GpuOptions::at(now_s)))),
        ..TestAttester::new(&pool, "worker-1", &secret)
    };
    let worker = connect(&pool, attester).await.unwrap();
    let mut control = worker.control().await;
    control.renew(Vec::new()).await;
    let admitted = view(&pool, "worker-1").await;
    assert_eq!(admitted["session"]["gpus_attested"], Value::Null);

    let policy = pool.platform.policy_toml();
    let policy = policy.replace("gpu = \"not-required\"\n", RULES);
    pool.reload_policy(&policy).await;
    let reappraised = |view: &Value| view["session"]["reappraisals"] == 1;
    let stands = until(&pool, "worker-1", reappraised).await;
    assert_eq!(stands["session"]["gpus_attested"], json!([uuid]));
    assert_eq!(audited(&pool).await, None);

    let rules = RULES.replace("revoked = []", &format!("revoked = [\"{serial}\"]"));
    pool.reload_policy(&policy.replace(RULES, &rules)).await;
    assert_eq!(control.refusal().await, ErrorCode::GpuNotEnrolled);
    assert_eq!(audited(&pool).await, Some(ErrorCode::GpuNotEnrolled));
}

/// The verdict that an auditor comes to over the latest record.
async fn audited(pool: &Pool) -> Option<ErrorCode> {
    let record = record(pool, "worker-1").await;
    assert_eq!(record.references().ids().count(), 2, "driver and VBIOS");
    let verifier = Verifier::new(pool.platform.trust_anchor());
    let gpu_verifier = GpuVerifier::new(simulated_gpu_anchor(SEED));
    let transcript = record.audit(&verifier, &gpu_verifier).unwrap();
    assert_eq!(transcript.refusal(), record.transcript().refusal());
    transcript.refusal()
}
