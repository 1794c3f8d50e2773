//! What is true of this agent for as long as it runs, read once at its start.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use attestation::ExecutorKind;
use protocol::digest::Sha256Hasher;
use protocol::{Sha256Digest, WorkerId};

/// A new one with each start of the Linux kernel.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Large enough that digesting, not the system call, takes the time.
const CHUNK_BYTES: usize = 256 * 1024;

/// The part of the claims that does not depend on the connection.
#[derive(Debug, Clone)]
pub struct Facts {
    pub worker_id: WorkerId,
    pub receipt_key_spki: Vec<u8>,
    pub agent_digest: Sha256Digest,
    pub configuration_digest: Sha256Digest,
    pub module_digest: Sha256Digest,
    pub boot_id: [u8; 16],
    pub executor: ExecutorKind,
}

/// Why a fact cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{0}` in {BOOT_ID} is not a UUID")]
    BootId(String),
}

/// The boot id's 16 bytes.
pub fn boot_id() -> Result<[u8; 16], FactsError> {
    let path = Path::new(BOOT_ID);
    let text = std::fs::read_to_string(path).map_err(failed(path))?;
    parse_boot_id(text.trim_ascii())
}

fn parse_boot_id(text: &str) -> Result<[u8; 16], FactsError> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(text.replace('-', ""), &mut bytes)
        .map_err(|_| FactsError::BootId(text.to_owned()))?;
    Ok(bytes)
}

/// SHA-256 of a file.
pub fn file_digest(path: &Path) -> Result<Sha256Digest, FactsError> {
    let mut file = File::open(path).map_err(failed(path))?;
    let mut hasher = Sha256Hasher::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk).map_err(failed(path))? {
            0 => return Ok(hasher.finish()),
            filled => hasher.update(chunk.get(..filled).unwrap_or(&chunk)),
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FactsError {
    let path = path.to_owned();
    move |source| FactsError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_a_uuid() {
        let bytes = parse_boot_id("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9").unwrap();
        assert_eq!(hex::encode(bytes), "0a1b2c3d4e5f60718293a4b5c6d7e8f9");
        assert!(matches!(
            parse_boot_id("unknown"),
            Err(FactsError::BootId(_))
        ));
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }

    #[test]
    fn a_file_is_digested_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let bytes = vec![7; 2 * CHUNK_BYTES + 1];
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(file_digest(&path).unwrap(), Sha256Digest::of(&bytes));
        assert!(matches!(
            file_digest(&folder.path().join("none")),
            Err(FactsError::Read { .. })
        ));
    }
}
