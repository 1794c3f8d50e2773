//! The driver, as a claim: its version, and the digest of the library that speaks for it.

use std::path::{Path, PathBuf};

use attestation::LibraryClaim;
use nvml_wrapper::Nvml;

use crate::config::chain;
use crate::evidence::file_digest;
use crate::telemetry::printable;

/// Its version is the driver's: NVML refuses to work beside any other.
const NAME: &str = "libnvidia-ml";

/// The library that was loaded. A claim holds a digest, so what cannot be read is not claimed.
pub(super) fn claims(nvml: &Nvml, named: Option<PathBuf>) -> Vec<LibraryClaim> {
    let claim = || {
        let version = printable(nvml.sys_driver_version().ok()?)?;
        let path = named.or_else(loaded)?;
        let digest = file_digest(&path)
            .inspect_err(|error| tracing::warn!(error = chain(error), "the driver is not claimed"))
            .ok()?;
        Some(LibraryClaim {
            name: NAME.to_owned(),
            version,
            digest: *digest.as_bytes(),
        })
    };
    claim().into_iter().collect()
}

/// Where the dynamic loader found it: the file is mapped into this process.
fn loaded() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    mapped(&maps)
}

fn mapped(maps: &str) -> Option<PathBuf> {
    let paths = maps
        .lines()
        .filter_map(|line| line.find('/').and_then(|at| line.get(at..)));
    paths
        .map(Path::new)
        .find(|path| is_nvml(path))
        .map(Path::to_owned)
}

fn is_nvml(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("libnvidia-ml.so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaded_library_is_found_among_the_mappings() {
        let maps = "7f00-7f10 r--p 00000000 00:00 0\n\
                    7f10-7f20 r-xp 00000000 fe:01 7 /usr/lib/libc.so.6\n\
                    7f20-7f30 r-xp 00000000 fe:01 8 /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05\n";
        let found = mapped(maps).unwrap();
        assert!(found.ends_with("libnvidia-ml.so.580.95.05"));
        assert_eq!(mapped("7f00-7f10 r--p 00000000 00:00 0\n"), None);
    }
}
