//! Who may depend on whom, held against `cargo metadata`: the table of ARCHITECTURE.md.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use tests::sources::{rust_files, workspace_root};

/// The head of the table in ARCHITECTURE.md.
const TABLE_HEAD: &str = "| crate | may depend on |";

/// Machinery that may depend on everything, and that nothing may depend on.
const TOP: &str = "tests";

/// What forges evidence or stands in for a vendor's library: no shipped crate reaches it by a normal edge.
const NEVER_SHIPPED: &[&str] = &[
    "simulator",
    "fuzz",
    "fakes",
    "fake-cuda",
    "gpu",
    "tests",
    "ci",
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .current_dir(workspace_root())
        .no_deps()
        .exec()
        .expect("cargo metadata")
}

fn ours(metadata: &Metadata) -> BTreeSet<String> {
    metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.to_string())
        .collect()
}

fn normal_edges(package: &Package, ours: &BTreeSet<String>) -> BTreeSet<String> {
    let normal = package
        .dependencies
        .iter()
        .filter(|edge| edge.kind != DependencyKind::Development);
    normal
        .map(|edge| edge.name.clone())
        .filter(|name| ours.contains(name))
        .collect()
}

/// Normal edges between our crates, as ARCHITECTURE.md allows them. `TOP` is not a key.
fn table(ours: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let document = std::fs::read_to_string(workspace_root().join("ARCHITECTURE.md")).unwrap();
    let rows = document.lines().skip_while(|line| *line != TABLE_HEAD);
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let mut table = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [crates, allowed] = cells[..] else {
            panic!("`{row}` has other than two columns")
        };
        let allowed: BTreeSet<_> = match allowed {
            "nothing of ours" => BTreeSet::new(),
            "all of them" => ours.clone(),
            list => list.split(", ").map(str::to_owned).collect(),
        };
        assert!(allowed.is_subset(ours), "`{row}` names no crate of ours");
        for name in crates.split(", ").filter(|name| *name != TOP) {
            assert!(ours.contains(name), "`{name}` of the table is no crate");
            table.insert(name.to_owned(), allowed.clone());
        }
    }
    table
}

#[test]
fn every_edge_is_in_the_table() {
    let metadata = metadata();
    let ours = ours(&metadata);
    let table = table(&ours);
    for package in metadata.workspace_packages() {
        if package.name.as_str() == TOP {
            continue;
        }
        let allowed = table.get(package.name.as_str()).unwrap_or_else(|| {
            panic!(
                "`{}` is missing from the table of ARCHITECTURE.md",
                package.name
            )
        });
        for edge in normal_edges(package, &ours) {
            assert!(
                allowed.contains(&edge),
                "`{}` must not depend on `{edge}`",
                package.name
            );
        }
    }
}

#[test]
fn nothing_that_ships_reaches_what_forges() {
    let metadata = metadata();
    let ours = ours(&metadata);
    for package in metadata.workspace_packages() {
        if NEVER_SHIPPED.contains(&package.name.as_str()) {
            continue;
        }
        for edge in normal_edges(package, &ours) {
            assert!(
                !NEVER_SHIPPED.contains(&edge.as_str()),
                "`{}` ships and depends on `{edge}`",
                package.name
            );
        }
    }
}

#[test]
fn default_members_are_what_ships() {
    let metadata = metadata();
    let shipped: BTreeSet<_> = metadata
        .workspace_default_packages()
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    let expected = ["agent", "gateway", "client", "admin", "attestation-cli"].map(str::to_owned);
    assert_eq!(shipped, BTreeSet::from(expected));
}

/// A cargo feature that reached the verifier could switch it off by feature unification.
#[test]
fn no_crate_of_the_trust_path_has_features() {
    for package in metadata().workspace_packages() {
        if [
            "attestation",
            "channel",
            "pccs",
            "gateway",
            "agent",
            "attestation-cli",
        ]
        .contains(&package.name.as_str())
        {
            assert!(
                package.features.is_empty(),
                "`{}` has features: {:?}",
                package.name,
                package.features
            );
        }
    }
}

#[test]
fn every_member_inherits_the_lints() {
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "`{}` does not inherit the workspace's lints",
            package.name
        );
    }
}

/// Whether the text ends in `!= `, but for the path of the type that follows.
fn is_comparison(before: &str) -> bool {
    before
        .trim_end_matches(|letter: char| letter.is_ascii_alphanumeric() || "_:&".contains(letter))
        .ends_with("!= ")
}

/// Only what starts a process for the real world, and what stands in for it in tests, may name a trust anchor.
#[test]
fn only_main_and_tests_choose_a_trust_anchor() {
    for shipped in [
        "gateway/src",
        "attestation/cli/src",
        "agent/src",
        "attestation/channel/src",
        "attestation/pccs/src",
        "client/src",
        "admin/src",
    ] {
        for (path, text) in rust_files(&workspace_root().join(shipped)).unwrap() {
            if path.ends_with("tests.rs")
                || path.components().any(|part| part.as_os_str() == "tests")
            {
                continue;
            }
            assert!(
                !text.contains("TrustAnchor::from_der"),
                "{} chooses a trust anchor",
                path.display()
            );
            let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let is_main = path.ends_with("src/main.rs")
                || path
                    .parent()
                    .is_some_and(|folder| folder.ends_with("src/bin"));
            for root in ["TrustAnchor::intel()", "GpuTrustAnchor::nvidia()"] {
                // To compare with the root, in order to say that another is not, is no choice of one.
                let chosen = shipped
                    .match_indices(root)
                    .any(|(at, _)| !is_comparison(&shipped[..at]));
                assert!(
                    !chosen || is_main,
                    "{}: only main says {root}",
                    path.display()
                );
            }
        }
    }
}

/// ARCHITECTURE.md, invariant 9: every exception from the lint stands in `kernels`.
#[test]
fn unsafe_code_stands_in_kernels_alone() {
    let mut exceptions = 0;
    for (path, text) in rust_files(&workspace_root()).unwrap() {
        let path = path.strip_prefix(workspace_root()).unwrap().to_owned();
        // The lint is denied, so code that is unsafe must say that it is an exception.
        let excepts = text.contains("unsafe_code") && !text.contains("#![forbid(unsafe_code)]");
        if excepts && !path.ends_with("tests/tests/architecture.rs") {
            assert!(path.starts_with("kernels"), "{}", path.display());
            exceptions += 1;
        }
    }
    assert!(exceptions > 0, "the exceptions in kernels were not found");
}
