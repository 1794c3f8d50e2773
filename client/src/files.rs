//! Files handed to the user: written whole or not at all, readable by the user alone.

use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::terminal::Terminal;

/// Replaces a file by new content, in one step.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written =
        temporary(path, bytes).and_then(|file| file.persist(path).map_err(|error| error.error));
    written.map(drop).map_err(|error| failure(path, error))
}

/// Makes a new file, with access for its owner alone; one that is there already is left as it is.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = temporary(path, bytes)
        .and_then(|file| file.persist_noclobber(path).map_err(|error| error.error));
    written.map(drop).map_err(|error| failure(path, error))
}

/// In the same folder, so that it can be renamed; mode 0600.
fn temporary(path: &Path, bytes: &[u8]) -> std::io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// The folder of a file that may be named without one.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn failure(path: &Path, error: std::io::Error) -> Failure {
    Failure::file(format!("writing {} failed", path.display()), error)
}

/// Writes an attestation record to a file, byte for byte as the gateway gave it, or to standard output, and says that
/// nothing of it was verified.
pub fn hand_out_record(
    record: &str,
    path: Option<&Path>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let file = if let Some(path) = path {
        write_whole(path, record.as_bytes())?;
        path.display().to_string()
    } else {
        terminal.json_text(record)?;
        "RECORD.json".to_owned()
    };
    let command = format!("cocoon-attest verify --record {file}");
    terminal.note(format_args!(
        "Nothing of this record was verified here; to do so: {command}"
    ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_private_and_never_replaces_another() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_new(&path, b"one").unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(write_new(&path, b"two").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        write_whole(&path, b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
    }

    #[test]
    fn a_failure_names_the_file() {
        let failure = write_whole(Path::new("/absent/file"), b"").unwrap_err();
        assert!(format!("{failure:?}").contains("writing /absent/file failed"));
    }
}
