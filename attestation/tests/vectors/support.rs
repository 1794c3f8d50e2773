//! Where the vectors lie, how they are read, and a policy that fits a quote.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
};

use attestation::{Collateral, TrustAnchor};

/// The directory of vectors; `None`, said plainly, where none is named.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration of its own"
)]
pub(crate) fn directory(test: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("COCOON_VECTORS").map(PathBuf::from);
    if directory.is_none() {
        println!("SKIPPED {test}: COCOON_VECTORS names no directory of vectors");
    }
    directory
}

/// Where random choices begin: `COCOON_SEED` repeats an earlier run.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration of its own"
)]
pub(crate) fn seed() -> u64 {
    let random = || RandomState::new().hash_one("seed");
    std::env::var("COCOON_SEED").map_or_else(|_| random(), |seed| seed.parse().unwrap())
}

pub(crate) fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of `MANIFEST.tsv`, each a value for every column's title.
pub(crate) fn manifest(directory: &Path) -> Vec<BTreeMap<String, String>> {
    let manifest = fs::read_to_string(directory.join("MANIFEST.tsv")).unwrap();
    let mut lines = manifest
        .lines()
        .map(|line| line.split('\t').map(str::to_owned));
    let header: Vec<String> = lines.next().unwrap().collect();
    lines
        .map(|fields| header.iter().cloned().zip(fields).collect())
        .collect()
}

pub(crate) fn collateral(path: impl AsRef<Path>) -> Collateral {
    Collateral::from_json(&read(path)).unwrap()
}

/// A root that is not Intel's.
#[expect(clippy::disallowed_methods, reason = "tests choose their root")]
pub(crate) fn root(path: impl AsRef<Path>) -> TrustAnchor {
    TrustAnchor::from_der(&read(path)).unwrap()
}

/// A real quote with its collateral and a time at which it verifies.
pub(crate) fn real_quote(directory: &Path) -> (Vec<u8>, Collateral, u64) {
    let quote = read(directory.join("quotes/tdx_v4_td10_b0c06f000000_dcap-qvl_f1c850.bin"));
    let collateral =
        collateral(directory.join("collateral/tdx_b0c06f000000_2025-06-19_25e3ff.json"));
    (quote, collateral, 1_750_646_964)
}
