//! NVIDIA's reference manifests out of their folder, read again while the gateway runs.

use std::fs;
use std::time::Duration;

use simulator::gpu::SimulatedGpu;

use crate::pool::{Pool, SEED, hang_up};

#[tokio::test]
async fn manifests_are_verified_when_they_come_and_counted() {
    let pool = Pool::start_with(|config| {
        let folder = config.state_dir.join("gpu-references");
        fs::create_dir_all(&folder).unwrap();
        config.attestation.gpu_references_dir = Some(folder);
    })
    .await;
    let folder = pool.dir.path().join("state/gpu-references");
    let references = SimulatedGpu::new(SEED, 0).references();
    for id in references.ids() {
        fs::write(
            folder.join(format!("{id}.swidtag")),
            references.find(id).unwrap(),
        )
        .unwrap();
    }
    fs::write(
        folder.join("NV_GPU_DRIVER_GH100_1.2.3.xml"),
        b"<no-manifest/>",
    )
    .unwrap();
    hang_up();
    let mut text = String::new();
    for _ in 0..1_000 {
        text = pool.metrics("/metrics").await.text();
        if text.contains(r#"cocoon_gateway_gpu_references{standing="usable"} 4"#) {
            assert!(text.contains(r#"cocoon_gateway_gpu_references{standing="refused"} 1"#));
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the manifests are not in\n{text}");
}
