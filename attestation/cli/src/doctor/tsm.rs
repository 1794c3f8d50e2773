//! One quote straight from Linux' configfs-tsm, for a machine whose broker does not run yet.
//!
//! After `Documentation/ABI/testing/configfs-tsm-report`: make an entry, write `inblob`, read `outblob`, remove the entry.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use attestation::{ReportData, evidence::QUOTE_BYTES_MAX};

/// A quote over `report_data`, from the reports under `base`.
pub(super) fn quote(base: &Path, report_data: &ReportData) -> io::Result<Vec<u8>> {
    let entry = Entry::new(base)?;
    // One `write` call: configfs takes the attribute over when the file is closed.
    File::options()
        .write(true)
        .open(entry.0.join("inblob"))?
        .write_all(report_data.bytes())?;
    let limit = u64::try_from(QUOTE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut quote = Vec::new();
    File::open(entry.0.join("outblob"))?
        .take(limit)
        .read_to_end(&mut quote)?;
    Ok(quote)
}

/// An entry of our own; removed when dropped, so on every path.
struct Entry(PathBuf);

impl Entry {
    fn new(base: &Path) -> io::Result<Self> {
        let path = base.join(format!("cocoon-attest-doctor-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // An entry that stays behind harms nobody; the next start of Linux clears it.
        let _ = std::fs::remove_dir(&self.0);
    }
}
