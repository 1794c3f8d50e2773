//! Telemetry against the fake NVML of `kernels/fakes`, where it has been built (`cargo build -p fakes`).

use std::path::PathBuf;

use agent::World;
use agent::telemetry::Telemetry;

fn library() -> Option<PathBuf> {
    let mut folder = std::env::current_exe().unwrap();
    while folder.pop() {
        let library = folder.join("libnvidia_ml.so");
        if library.exists() {
            return Some(library);
        }
    }
    println!("skipped: there is no libnvidia_ml.so; build it with `cargo build -p fakes`");
    None
}

#[test]
fn what_nvml_says_is_passed_on() {
    let Some(library) = library() else { return };
    let telemetry = Telemetry::start(&World {
        nvml_library: Some(library),
        ..World::real()
    });
    let (claims, gpus) = (telemetry.claims(), telemetry.latest());
    assert_eq!((claims.len(), gpus.len()), (2, 2), "the fake's default");
    for (claim, gpu) in claims.iter().zip(&gpus) {
        assert!(claim.uuid.starts_with("GPU-") && !claim.name.is_empty());
        assert_eq!((&gpu.uuid, &gpu.name), (&claim.uuid, &claim.name));
        assert!(
            gpu.memory_total_bytes.is_some() && gpu.utilisation_percent.is_some(),
            "{gpu:?}"
        );
    }
    assert_ne!(claims[0].uuid, claims[1].uuid);
}
