//! Puts the library where a program looks for NVIDIA's.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// What cargo calls it.
const BUILT: &str = "libfake_cuda.so";

/// What programs look for. All are one file, so that what is loaded under two names is one library with one state.
const NAMES: &[&str] = &[
    "libcuda.so.1",
    "libcuda.so",
    "libcublasLt.so",
    "libcublasLt.so.12",
    "libcublasLt.so.13",
];

/// Why the library could not be put there.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// No folder from the running test's upwards has it: it was not built.
    #[error("libfake_cuda.so is not built")]
    NotBuilt,
    /// The folder cannot be written.
    #[error("cannot put the fake driver into its folder")]
    Copy(#[source] io::Error),
}

/// Puts the fake driver and the fake `cuBLASLt` into a folder, for `LD_LIBRARY_PATH`. Settings are the file
/// `fake-cuda.env` there.
pub fn install(folder: &Path) -> Result<(), InstallError> {
    let built = built().ok_or(InstallError::NotBuilt)?;
    let put = |name: &&str| {
        let path = folder.join(name);
        match NAMES.first() {
            Some(first) if first != name => fs::hard_link(folder.join(first), path),
            _ => fs::copy(&built, path).map(|_| ()),
        }
    };
    NAMES.iter().try_for_each(put).map_err(InstallError::Copy)
}

/// Cargo builds it into the folder of the tests, or the one above.
fn built() -> Option<PathBuf> {
    let running = std::env::current_exe().ok()?;
    let folders = running.ancestors().skip(1);
    folders
        .map(|folder| folder.join(BUILT))
        .find(|path| path.exists())
}
