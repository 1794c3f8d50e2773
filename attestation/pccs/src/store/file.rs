//! Files of the store: listed in order, read with a limit, written whole or not at all.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use attestation::{Collateral, collateral::COLLATERAL_BYTES_MAX};

use super::CollateralFault;

/// Collateral is public; a gateway reads what an operator's command has written.
const MODE: u32 = 0o644;

pub(super) fn json_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    // The order of a folder is anyone's guess; which of two files for one family wins must not be.
    paths.sort();
    Ok(paths)
}

pub(super) fn read(path: &Path) -> Result<Collateral, CollateralFault> {
    let failed = |source| CollateralFault::Read {
        path: path.to_owned(),
        source,
    };
    let length = fs::metadata(path).map_err(failed)?.len();
    if usize::try_from(length).unwrap_or(usize::MAX) > COLLATERAL_BYTES_MAX {
        return Err(CollateralFault::TooLarge {
            path: path.to_owned(),
        });
    }
    let bytes = fs::read(path).map_err(failed)?;
    Collateral::from_json(&bytes).map_err(|source| CollateralFault::Parse {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file whole or not at all. The bytes are on disk under a name that nobody reads before they take the name's place, and the folder is on disk before
/// anybody is told: a crash leaves the old file or the new one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // The folder of a bare name is the empty path, which no system call takes.
    let named = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = named.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".collateral-")
        .suffix(".new")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}
