//! GPUs that are others than before: noticed within seconds, attested anew at once.

use std::time::Duration;

use agent::telemetry::Telemetry;
use tokio::time::timeout;

use super::Gpus;
use crate::gateway::lock;
use crate::pool::Pool;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_lost_an_exchanged_and_a_new_gpu_and_another_driver_are_noticed() {
    let Some(gpus) = Gpus::start(2, "") else {
        return;
    };
    let mut telemetry = Telemetry::start(&gpus.world());
    for settings in [
        "FAKE_NVML_LOST_GPU=1",
        "FAKE_NVML_GPUS=2",
        "FAKE_NVML_UUID=beef",
        "FAKE_NVML_UUID=beef\nFAKE_NVML_GPUS=3",
        "FAKE_NVML_DRIVER=999.1",
    ] {
        gpus.set(settings);
        let noticed = timeout(LIMIT, telemetry.changed()).await;
        assert!(noticed.is_ok(), "{settings}");
    }
    let quiet = timeout(Duration::from_millis(2_500), telemetry.changed()).await;
    assert!(quiet.is_err(), "nothing changed");
}

#[tokio::test]
async fn a_machine_without_gpus_never_changes() {
    let world = agent::World {
        nvml_library: Some("/nonexistent/libnvidia-ml.so".into()),
        ..agent::World::real(attestation::gpu::GpuTrustAnchor::nvidia())
    };
    let mut telemetry = Telemetry::start(&world);
    let changed = timeout(Duration::from_millis(50), telemetry.changed()).await;
    assert!(changed.is_err());
}

/// A worker that was admitted once with two GPUs; nothing where the library is not built.
async fn admitted() -> Option<(Gpus, Pool)> {
    let gpus = Gpus::start(2, "")?;
    let configured = |config: String| gpus.configured(&config);
    let mut pool = Pool::start_in(gpus.world(), configured, |_| {}).await;
    pool.until("admission", |gateway| lock(&gateway.evidence).len() == 1)
        .await;
    Some((gpus, pool))
}

#[tokio::test]
async fn a_worker_whose_gpus_changed_attests_anew() {
    let Some((gpus, mut pool)) = admitted().await else {
        return;
    };
    gpus.set("FAKE_NVML_GPUS=2\nFAKE_NVML_UUID=beef");
    pool.until("the next admission", |gateway| {
        lock(&gateway.evidence).len() == 2
    })
    .await;
    let claims = pool.state().claims();
    assert!(claims.gpus.iter().all(|gpu| gpu.uuid.contains("-beef-")));
    pool.stop().await;
}

#[tokio::test]
async fn a_worker_that_lost_a_gpu_is_not_connected_until_it_is_back() {
    let Some((gpus, mut pool)) = admitted().await else {
        return;
    };
    gpus.set("FAKE_NVML_LOST_GPU=0");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(lock(&pool.state().evidence).len(), 1);
    assert!(!gpus.are_ready());
    gpus.set("FAKE_NVML_GPUS=2");
    pool.until("the next admission", |gateway| {
        lock(&gateway.evidence).len() > 1
    })
    .await;
    assert!(gpus.are_ready());
    pool.stop().await;
}
