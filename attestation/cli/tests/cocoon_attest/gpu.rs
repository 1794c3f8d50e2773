//! `inspect` and `verify --gpu` on simulated GPUs: good evidence, each flaw, and what was not judged.

use attestation::gpu::DeviceEvidence;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use simulator::{
    SimulatedPlatform,
    gpu::{GpuFlaw, GpuOptions, SimulatedGpu},
};

use crate::harness::{Files, GPU_SEED, NOW_S, Said, shipped, simulated, text};

const NONCE: [u8; 32] = [0x5a; 32];
/// The manifests that describe the simulated GPU.
const WANTED: [&str; 2] = [
    "NV_GPU_DRIVER_GH100_550.90.07",
    "NV_GPU_VBIOS_1010_0200_882_96009F0001",
];

struct Scene {
    files: Files,
    gpu: SimulatedGpu,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            files: Files::new(),
            gpu: SimulatedGpu::new(GPU_SEED, 0),
        };
        scene.put(None);
        let references = scene.gpu.references();
        for id in references.ids() {
            let manifest = references.find(id).unwrap();
            scene.files.write(&format!("{id}.xml"), manifest);
        }
        scene
    }

    /// Evidence with a flaw, or none.
    fn put(&self, flaw: Option<GpuFlaw>) {
        let mut options = GpuOptions::at(NOW_S);
        options.flaw = flaw;
        let evidence = DeviceEvidence {
            devices: vec![self.gpu.report(&NONCE, &options)],
        };
        self.files.write("gpu.cbor", evidence.encode().unwrap());
    }

    fn manifests(&self) -> Vec<String> {
        let references = self.gpu.references();
        let paths = references.ids().map(|id| {
            let path = self.files.path(&format!("{id}.xml"));
            ["--rim".to_owned(), text(&path).to_owned()]
        });
        paths.flatten().collect()
    }

    fn verify(&self, more: &[&str]) -> Said {
        let path = self.files.path("gpu.cbor");
        let (time, manifests) = (NOW_S.to_string(), self.manifests());
        let known = ["verify", "--gpu", text(&path), "--time", &time];
        let manifests: Vec<&str> = manifests.iter().map(String::as_str).collect();
        let arguments = [&known[..], &manifests, more].concat();
        simulated(&SimulatedPlatform::from_seed(7), &arguments)
    }
}

#[test]
fn a_good_gpu_is_accepted_against_its_manifests() {
    let scene = Scene::new();
    let nonce = hex::encode(NONCE);
    let said = scene.verify(&["--nonce", &nonce]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.starts_with("SIMULATED: "), "{}", said.output);
    assert!(
        said.output.contains("PASS  measurements"),
        "{}",
        said.output
    );
    assert!(
        said.output.contains("ACCEPTED under NOT NVIDIA"),
        "{}",
        said.output
    );
    let json = scene.verify(&["--nonce", &nonce, "--json"]).json();
    let device = &json["devices"][0];
    assert_eq!(device["verified"]["device_serial"], scene.gpu.serial());
    assert!(
        device["measurements_compared"].as_u64().unwrap() > 10,
        "{json}"
    );
    assert_eq!(json["notes"].as_array().unwrap().len(), 1, "{json}");
}

#[test]
fn each_flaw_has_its_code() {
    let scene = Scene::new();
    for (flaw, code) in [
        (GpuFlaw::Signature, "E712"),
        (GpuFlaw::FirmwareId, "E714"),
        (GpuFlaw::Measurement(3), "E722"),
        (GpuFlaw::ForeignRoot, "E707"),
        (GpuFlaw::OcspRevoked(1), "E708"),
        (GpuFlaw::Nonce, "E713"),
    ] {
        scene.put(Some(flaw));
        let said = scene.verify(&["--json", "--nonce", &hex::encode(NONCE)]);
        assert_eq!(said.exit, 2, "{flaw:?}: {said:?}");
        let device = &said.json()["devices"][0];
        assert_eq!(device["code"], code, "{flaw:?}: {device}");
        assert!(device["remedy"].is_string(), "{flaw:?}");
    }
}

#[test]
fn what_was_not_judged_is_said() {
    let scene = Scene::new();
    let path = scene.files.path("gpu.cbor");
    let time = NOW_S.to_string();
    let arguments = ["verify", "--gpu", text(&path), "--time", &time];
    let said = simulated(&SimulatedPlatform::from_seed(7), &arguments);
    assert_eq!(said.exit, 5, "{said:?}");
    for words in [
        "no nonce was given",
        "no --rim was given",
        "no policy",
        "SKIP  measurements",
        "SIGNED under NOT NVIDIA",
        "; nonce and measurements were not looked at\n",
    ] {
        assert!(said.output.contains(words), "{words}: {}", said.output);
    }
    assert!(!said.output.contains("ACCEPTED"), "{}", said.output);
    for (options, words) in [
        (
            vec!["--nonce".to_owned(), hex::encode(NONCE)],
            "the measurements were not",
        ),
        (scene.manifests(), "the nonce was not"),
    ] {
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let run = |more: &[&str]| {
            let arguments = [&arguments[..], &options, more].concat();
            simulated(&SimulatedPlatform::from_seed(7), &arguments)
        };
        let said = run(&[]);
        assert!(said.output.contains(words), "{words}: {}", said.output);
        let json = run(&["--json"]).json();
        assert_eq!(json["verdict"], "signed");
        assert_eq!(json["devices"][0]["verdict"], "signed");
    }
    let shipped = shipped(&arguments);
    assert_eq!(
        shipped.exit, 2,
        "the shipped binary trusts NVIDIA: {shipped:?}"
    );
    assert!(!shipped.output.contains("SIMULATED"), "{}", shipped.output);
}

/// All that is missing is named at once, and as options of this very command.
#[test]
fn manifests_that_are_missing_are_named_together() {
    let scene = Scene::new();
    let (path, time) = (scene.files.path("gpu.cbor"), NOW_S.to_string());
    let foreign = scene.files.path("NV_GPU_DRIVER_GH100_550.90.07.xml");
    let option = format!("NV_GPU_DRIVER_GH100_1.2={}", text(&foreign));
    let arguments = [
        "verify",
        "--gpu",
        text(&path),
        "--time",
        &time,
        "--rim",
        &option,
    ];
    let said = simulated(&SimulatedPlatform::from_seed(7), &arguments);
    assert_eq!(said.exit, 2, "{said:?}");
    let options = WANTED.map(|id| format!("--rim {id}=FILE"));
    let remedy = format!(
        "What to do: Name NVIDIA's manifests: {}. ",
        options.join(" ")
    );
    assert!(said.output.contains(&remedy), "{}", said.output);
    assert!(said.output.contains("are not there"), "{}", said.output);
}

#[test]
fn nvidias_own_forms_are_read() {
    let scene = Scene::new();
    let report = scene.gpu.report(&NONCE, &GpuOptions::at(NOW_S));
    let blocks = report.certificates.iter().map(|der| {
        let body = BASE64_STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    });
    let chain = blocks.collect::<Vec<_>>().concat();
    let sdk = serde_json::json!([{
        "arch": "HOPPER",
        "certificate": BASE64_STANDARD.encode(&chain),
        "evidence": BASE64_STANDARD.encode(&report.report),
        "nonce": hex::encode(NONCE),
    }]);
    let sdk = scene.files.write("sdk.json", sdk.to_string());
    let hex = scene.files.write("report.txt", hex::encode(&report.report));
    let pem = scene.files.write("chain.pem", &chain);
    let platform = SimulatedPlatform::from_seed(7);
    let time = NOW_S.to_string();
    let run = |arguments: &[&str]| {
        let known = ["verify", "--json", "--time", &time, "--gpu"];
        simulated(&platform, &[&known[..], arguments].concat())
    };
    assert_eq!(run(&[text(&sdk)]).exit, 5);
    assert_eq!(run(&[text(&hex), "--gpu-chain", text(&pem)]).exit, 5);
    let alone = run(&[text(&hex)]);
    assert_eq!(alone.exit, 1, "{alone:?}");
    assert!(alone.errors.contains("--gpu-chain FILE"), "{alone:?}");
    let twice = run(&[text(&sdk), "--gpu-chain", text(&pem)]);
    assert_eq!(twice.exit, 1, "{twice:?}");
    assert!(
        twice.errors.contains("brings its own certificates"),
        "{twice:?}"
    );
    for (path, kind) in [
        (&sdk, "gpu-evidence"),
        (&hex, "gpu-evidence"),
        (&pem, "certificate-chain"),
    ] {
        let said = shipped(&["inspect", "--json", text(path)]);
        assert_eq!(said.exit, 0, "{said:?}");
        assert_eq!(said.json()["kind"], kind);
    }
    let json = shipped(&["inspect", "--json", text(&sdk)]).json();
    assert_eq!(json["device_0"]["nonce"], hex::encode(NONCE));
    assert!(json["device_0"]["nvml_says"].is_null(), "{json}");
}

#[test]
fn evidence_and_manifests_are_shown_without_a_verdict() {
    let scene = Scene::new();
    let json = shipped(&["inspect", "--json", text(&scene.files.path("gpu.cbor"))]).json();
    assert_eq!(json["kind"], "gpu-evidence");
    assert_eq!(json["device_0"]["driver_version"], "550.90.07");
    assert_eq!(json["device_0"]["nvml_says"]["feature_on"], true);
    let serials = json["device_0"]["certificates"].to_string();
    assert!(serials.contains(&scene.gpu.serial()), "{serials}");
    assert_eq!(json["device_0"]["enrol_as"], scene.gpu.serial());
    assert_eq!(
        json["device_0"]["manifests_wanted"],
        serde_json::json!(WANTED)
    );
    let manifest = scene.files.path("NV_GPU_DRIVER_GH100_550.90.07.xml");
    let json = shipped(&["inspect", "--json", text(&manifest)]).json();
    assert_eq!(json["kind"], "manifest");
    assert_eq!(json["reference_manifest"]["version"], "550.90.07");
    assert_eq!(
        json["reference_manifest"]["identifier"],
        "NV_GPU_DRIVER_GH100_550.90.07"
    );
    let manifest = scene.files.path(&format!("{}.xml", WANTED[1]));
    let json = shipped(&["inspect", "--json", text(&manifest)]).json();
    assert_eq!(
        json["reference_manifest"]["identifier"],
        "NV_GPU_VBIOS_*_96009F0001"
    );
}

/// An option that nothing would look at is refused, not forgotten.
#[test]
fn options_of_gpus_alone_are_refused_beside_other_evidence() {
    let quote = &[
        "--quote",
        "q",
        "--collateral",
        "c",
        "--policy",
        "p",
        "--time",
        "now",
    ][..];
    for evidence in [quote, &["--record", "r"], &["--bundle", "b"]] {
        for option in [["--nonce", "00"], ["--gpu-chain", "c.pem"]] {
            let said = shipped(&[&["verify"], evidence, &option].concat());
            assert_eq!(said.exit, 1, "{said:?}");
            assert!(said.errors.contains("cannot be used with"), "{said:?}");
        }
    }
    let said = shipped(&[&["verify"], quote, &["--rim", "x.xml"]].concat());
    assert!(said.errors.contains("cannot be used with"), "{said:?}");
}

#[test]
fn what_is_no_manifest_is_named_when_it_is_read() {
    let scene = Scene::new();
    let known = scene.files.path("NV_GPU_DRIVER_GH100_550.90.07.xml");
    let nonsense = scene.files.write("NV_GPU_DRIVER_GH100_1.2.xml", "<a/>");
    let unnamed = scene
        .files
        .write("my manifest.xml", std::fs::read(known).unwrap());
    for (path, words) in [
        (
            &nonsense,
            "NV_GPU_DRIVER_GH100_1.2.xml is no reference manifest",
        ),
        (&unnamed, "my manifest.xml has no identifier"),
    ] {
        let said = scene.verify(&["--rim", text(path)]);
        assert_eq!(said.exit, 1, "{said:?}");
        assert!(said.errors.contains(words), "{said:?}");
    }
}

#[test]
fn what_is_no_gpu_evidence_is_an_error() {
    let scene = Scene::new();
    let whole = std::fs::read(scene.files.path("gpu.cbor")).unwrap();
    for contents in [
        &b"[]"[..],
        b"[{}]",
        b"\xa1\x00",
        &whole[..200],
        b"nonsense!",
    ] {
        scene.files.write("gpu.cbor", contents);
        let said = scene.verify(&["--json"]);
        assert_eq!(said.exit, 1, "{said:?}");
        assert!(
            said.errors.contains("gpu.cbor is no GPU evidence"),
            "{}",
            said.errors
        );
    }
    for arguments in [
        &["verify", "--gpu", "x"][..],
        &["verify", "--gpu", "x", "--time", "now", "--policy", "y"],
        &["verify", "--nonce", "00"],
    ] {
        assert_eq!(shipped(arguments).exit, 1, "{arguments:?}");
    }
}
