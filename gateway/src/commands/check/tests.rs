//! What `config check` notes: each thing that a gateway starts with, and refuses workers for.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use simulator::gpu::{SimulatedGpu, simulated_gpu_anchor};
use simulator::{CollateralOptions, SimulatedPlatform};
use tempfile::TempDir;

use super::*;
use crate::world::{Clock, CollateralFolder};

const NOW_S: u64 = 1_790_000_000;
const DAY_S: u64 = 86_400;
const SEED: u64 = 1;

#[derive(Debug)]
struct At(u64);

impl Clock for At {
    fn now_us(&self) -> u64 {
        self.0 * 1_000_000
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

struct Scene {
    dir: TempDir,
    platform: SimulatedPlatform,
    policy: String,
    /// The line of the configuration that names the folder of manifests.
    references: &'static str,
    now_s: u64,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            dir: tempfile::tempdir().unwrap(),
            platform: SimulatedPlatform::from_seed(SEED),
            policy: SimulatedPlatform::from_seed(SEED).policy_toml(),
            references: "",
            now_s: NOW_S,
        };
        for folder in ["collateral", "manifests"] {
            fs::create_dir(scene.dir.path().join(folder)).unwrap();
        }
        let collateral = scene
            .platform
            .collateral_json(&CollateralOptions::at(NOW_S));
        scene.write("collateral/one.json", collateral);
        scene
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.dir.path().join(name), contents).unwrap();
    }

    /// With GPUs whose measurements the policy demands.
    fn with_gpus(mut self) -> Self {
        self.policy = self
            .policy
            .replace("gpu = \"not-required\"", "gpu = \"if-claimed\"");
        self.policy.push_str(
            r#"
[gpu]
driver_version_min = "550.90.07"
driver_versions_denied = []
vbios_versions_min = { hopper = "96.00.9F.00.01" }
reference_measurements = "required"
ocsp = "required"
ocsp_grace_hours = 0
enrolled = "any"
revoked = []
"#,
        );
        self.references = "gpu_references_dir = \"manifests\"";
        self
    }

    fn notes(&self) -> String {
        let text = format!(
            "state_dir = \"state\"\n[worker]\ncertificate = \"c\"\nkey = \"k\"\n[api]\ncertificate = \"c\"\nkey = \"k\"\n\
             [attestation]\nappraisal_policy = \"p\"\ncollateral_dir = \"collateral\"\n{}\n",
            self.references
        );
        let config = Config::from_toml(&text, self.dir.path()).unwrap();
        let world = World {
            clock: Arc::new(At(self.now_s)),
            trust_anchor: self.platform.trust_anchor(),
            gpu_trust_anchor: simulated_gpu_anchor(SEED),
            collateral: Box::new(CollateralFolder(config.attestation.collateral_dir.clone())),
        };
        notes(
            &config,
            &AppraisalPolicy::from_toml(&self.policy).unwrap(),
            &world,
        )
    }
}

#[test]
fn a_pool_in_good_order_has_no_notes() {
    assert_eq!(Scene::new().notes(), "");
    let scene = Scene::new().with_gpus();
    let references = SimulatedGpu::new(SEED, 0).references();
    for id in references.ids() {
        scene.write(&format!("manifests/{id}.xml"), references.find(id).unwrap());
    }
    assert_eq!(scene.notes(), "");
}

#[test]
fn collateral_that_has_expired_is_noted_with_its_date() {
    let mut scene = Scene::new();
    scene.now_s = NOW_S + 31 * DAY_S;
    let notes = scene.notes();
    assert_eq!(notes.lines().count(), 1, "{notes}");
    for words in [
        "note: collateral of ",
        "was due for an update at 2026-10-21T14:13:20Z",
        "its workers would be refused with E904",
    ] {
        assert!(notes.contains(words), "{words}: {notes}");
    }
    scene.policy = scene.policy.replace("grace_hours = 0", "grace_hours = 48");
    let notes = scene.notes();
    assert!(
        notes.contains("by the policy's grace it counts until 2026-10-23T14:13:20Z"),
        "{notes}"
    );
}

#[test]
fn collateral_that_is_missing_or_of_another_root_is_noted() {
    let mut scene = Scene::new();
    scene.platform = SimulatedPlatform::from_seed(99);
    let foreign = scene.notes();
    assert!(foreign.contains("would be refused with E9"), "{foreign}");
    fs::remove_file(scene.dir.path().join("collateral/one.json")).unwrap();
    assert!(
        scene.notes().contains("there is no collateral yet"),
        "{}",
        scene.notes()
    );
}

#[test]
fn manifests_that_the_policy_demands_are_missed() {
    let mut scene = Scene::new().with_gpus();
    let refused = ": every GPU would be refused with E720\n";
    let empty = scene.notes();
    assert!(
        empty.contains("holds no reference manifests") && empty.ends_with(refused),
        "{empty}"
    );
    scene.references = "gpu_references_dir = \"nowhere\"";
    let absent = scene.notes();
    assert!(
        absent.contains("cannot read ") && absent.ends_with(refused),
        "{absent}"
    );
    scene.references = "";
    let unnamed = scene.notes();
    assert!(
        unnamed.contains("no attestation.gpu_references_dir") && unnamed.ends_with(refused),
        "{unnamed}"
    );
}

#[test]
fn files_that_are_no_manifests_are_named() {
    let scene = Scene::new().with_gpus();
    scene.write("manifests/NV_GPU_DRIVER_GH100_1.2.xml", "<a/>");
    scene.write("manifests/README.md", "");
    let notes = scene.notes();
    assert!(notes.contains("README.md is not read: "), "{notes}");
    assert!(
        notes.contains("note: reference manifest NV_GPU_DRIVER_GH100_1.2: "),
        "{notes}"
    );
    scene.write("manifests/no identifier.xml", "<a/>");
    let notes = scene.notes();
    assert!(
        notes.contains("no identifier.xml is not named by an identifier"),
        "{notes}"
    );
}
