//! `collateral`: fetched from a mock of Intel's service, shown, carried from one store to another.

use std::fs;

use simulator::{
    CollateralOptions, CollateralSigner, QuoteVersion, SimulatedPlatform,
    pcs::{Fault, PcsServer},
};
use tokio::runtime::Runtime;

use crate::harness::{Files, NOW_S, Said, shipped, shipped_in, simulated, text};

const DAY_S: u64 = 86_400;

/// A running service and whom it is asked about.
struct Scene {
    platform: SimulatedPlatform,
    server: PcsServer,
    files: Files,
    /// Dropped last: the service runs on it.
    _runtime: Runtime,
}

impl Scene {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let scene = Self {
            platform: SimulatedPlatform::from_seed(7),
            server: runtime.block_on(PcsServer::start()).unwrap(),
            files: Files::new(),
            _runtime: runtime,
        };
        scene.serve(|_| {});
        scene
    }

    fn serve(&self, change: impl FnOnce(&mut CollateralOptions)) {
        let mut options = CollateralOptions::at(NOW_S);
        change(&mut options);
        self.server.serve(self.platform.pcs_parts(&options));
    }

    fn run(&self, arguments: &[&str]) -> Said {
        simulated(&self.platform, &[&["collateral"], arguments].concat())
    }

    /// Fetches the simulated family into the store.
    fn fetch(&self, more: &[&str]) -> Said {
        let known = self.fetch_arguments();
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        simulated(&self.platform, &[&known[..], more].concat())
    }

    fn fetch_arguments(&self) -> [String; 8] {
        let store = self.files.path("store");
        [
            "collateral",
            "fetch",
            "--fmspc",
            &hex::encode(simulator::FMSPC),
            "--url",
            &self.server.url(),
            "--store",
            text(&store),
        ]
        .map(str::to_owned)
    }
}

#[test]
fn a_family_is_fetched_into_a_store_and_shown() {
    let scene = Scene::new();
    let said = scene.fetch(&["--json"]);
    assert_eq!(said.exit, 0, "{said:?}");
    let entry = &said.json()["entries"][0];
    assert_eq!(said.json()["schema"], "cocoon-attest/collateral/1");
    assert_eq!(
        (&entry["outcome"], &entry["ca"]),
        (&"written".into(), &"platform".into())
    );
    assert!(said.errors.contains("asking for collateral of"), "{said:?}");
    assert_eq!(
        scene.fetch(&["--json"]).json()["entries"][0]["outcome"],
        "unchanged"
    );

    let store = scene.files.path("store");
    let said = scene.run(&["show", text(&store)]);
    assert_eq!(said.exit, 0, "{said:?}");
    let fmspc = hex::encode(simulator::FMSPC);
    let lines: Vec<_> = said.output.lines().collect();
    assert!(lines[0].starts_with("FMSPC         CA        NUMBER  PART         ISSUED"));
    for (line, part) in lines[1..5]
        .iter()
        .zip(["TCB info", "QE identity", "root CRL", "PCK CRL"])
    {
        assert!(
            line.starts_with(&format!("{fmspc}  platform  17      {part} ")),
            "{line}"
        );
        assert!(line.ends_with("2026-10-21T14:13:20Z  30 days"), "{line}");
    }
    assert!(lines[6].contains("verifies under NOT INTEL: "), "{said:?}");
    let late = (NOW_S + 32 * DAY_S).to_string();
    let said = scene.run(&["show", text(&store), "--time", &late]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(said.output.contains("EXPIRED 2 days ago"), "{said:?}");
    assert!(said.output.contains("REFUSED: "), "{said:?}");
}

#[test]
fn a_quote_names_its_family() {
    let scene = Scene::new();
    let quote = scene
        .platform
        .quote(QuoteVersion::V5, &scene.platform.td(), &[0; 64]);
    let quote = scene.files.write("quote.bin", quote);
    let (output, url) = (scene.files.path("collateral.json"), scene.server.url());
    let arguments = [
        "fetch",
        "--quote",
        text(&quote),
        "--url",
        &url,
        "--output",
        text(&output),
    ];
    let said = scene.run(&arguments);
    assert_eq!(said.exit, 0, "{said:?}");
    let said = scene.run(&["show", text(&output)]);
    assert_eq!(said.exit, 0, "{said:?}");
    // A file with newer collateral stays.
    scene.serve(|options| options.issued_before_s = 7_200);
    let before = fs::read(&output).unwrap();
    let said = scene.run(&arguments);
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(said.output.contains("REFUSED: "), "{said:?}");
    assert_eq!(fs::read(&output).unwrap(), before);
}

#[test]
fn nobody_has_it_is_another_end_than_it_is_forged() {
    let scene = Scene::new();
    let (url, store) = (scene.server.url(), scene.files.path("store"));
    let said = scene.run(&[
        "fetch",
        "--fmspc",
        "00906ed50000",
        "--url",
        "http://127.0.0.1:1",
        "--url",
        &url,
        "--store",
        text(&store),
        "--json",
    ]);
    assert_eq!(said.exit, 3, "{said:?}");
    assert_eq!(said.json()["entries"][0]["outcome"], "unreachable");
    // Both that were asked are named, in order.
    let tried: Vec<_> = said.errors.lines().skip(1).collect();
    assert!(tried[0].contains("http://127.0.0.1:1: "), "{tried:?}");
    assert!(tried[1].contains("HTTP status 404"), "{tried:?}");

    scene.serve(|options| options.signer = CollateralSigner::CorruptQeIdentity);
    let said = scene.fetch(&[]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(!scene.files.path("store").exists());

    scene
        .server
        .fail_next("/tcb", Fault::Body(b"<html>".to_vec()));
    assert_eq!(scene.fetch(&[]).exit, 2);
}

#[test]
fn the_shipped_binary_keeps_what_intel_signed_and_nothing_else() {
    let scene = Scene::new();
    let arguments = scene.fetch_arguments();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let said = shipped(&arguments);
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(!scene.files.path("store").exists());
}

#[test]
fn a_store_is_exported_and_imported() {
    let scene = Scene::new();
    scene.fetch(&[]);
    let (store, bundle) = (scene.files.path("store"), scene.files.path("bundle.json"));
    let said = scene.run(&["export", "--store", text(&store), "--output", text(&bundle)]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert_eq!(scene.run(&["show", text(&bundle)]).exit, 0);

    let other = scene.files.path("other");
    let import = ["import", text(&bundle), "--store", text(&other), "--json"];
    let said = scene.run(&import);
    assert_eq!(said.exit, 0, "{said:?}");
    assert_eq!(said.json()["entries"][0]["outcome"], "written");
    assert_eq!(
        scene.run(&import).json()["entries"][0]["outcome"],
        "unchanged"
    );

    // The other store has newer collateral meanwhile.
    let name = format!("{}-platform.json", hex::encode(simulator::FMSPC));
    let mut newer = CollateralOptions::at(NOW_S);
    newer.issued_before_s = 60;
    let newer = scene.platform.collateral_json(&newer);
    fs::write(other.join(&name), &newer).unwrap();
    let said = scene.run(&import);
    assert_eq!(said.exit, 2, "{said:?}");
    let entry = &said.json()["entries"][0];
    assert_eq!(entry["outcome"], "refused");
    assert!(
        entry["reason"].as_str().unwrap().contains("was issued at"),
        "{entry}"
    );
    assert_eq!(fs::read_to_string(other.join(&name)).unwrap(), newer);
}

#[test]
fn a_store_that_holds_nothing_is_no_yes() {
    let scene = Scene::new();
    let store = scene.files.path("store");
    fs::create_dir(&store).unwrap();
    let said = scene.run(&["show", text(&store)]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert_eq!(
        said.output,
        format!("{}: holds NO COLLATERAL\n", text(&store))
    );
    let json = scene.run(&["show", text(&store), "--json"]).json();
    assert_eq!(json["entries"][0]["outcome"], "empty");
}

/// A bare name has no folder before it; it is written into the one that the command runs in.
#[test]
fn an_export_may_have_a_bare_name() {
    let scene = Scene::new();
    scene.fetch(&[]);
    let arguments = ["--store", "store", "--output", "bundle.json"];
    let arguments = [&["collateral", "export"][..], &arguments].concat();
    let said = shipped_in(&scene.files.path(""), &arguments);
    // The shipped binary says that the simulator's collateral does not verify, and no more.
    assert_eq!((said.exit, said.errors.as_str()), (2, ""), "{said:?}");
    assert!(scene.files.path("bundle.json").is_file());
}

#[test]
fn what_is_no_collateral_is_named() {
    let scene = Scene::new();
    let file = scene.files.write("no.json", "{}");
    assert_eq!(scene.run(&["show", text(&file)]).exit, 1);
    assert_eq!(scene.run(&["show", "/nonexistent"]).exit, 1);
    let folder = file.parent().unwrap();
    let said = scene.run(&["show", text(folder)]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(
        said.output.contains("no.json is not collateral"),
        "{said:?}"
    );
    for arguments in [
        &["fetch", "--store", "x"][..],
        &["fetch", "--fmspc", "00"],
        &["fetch", "--fmspc", "00", "--store", "x"],
        &[
            "fetch",
            "--fmspc",
            "00",
            "--store",
            "x",
            "--url",
            "http://pccs.example",
        ],
        &[
            "export",
            "--store",
            text(&scene.files.path("empty")),
            "--output",
            "x",
        ],
    ] {
        assert_eq!(scene.run(arguments).exit, 1, "{arguments:?}");
    }
}
