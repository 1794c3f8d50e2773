//! The digest of the running executable.

use std::fs::File;
use std::io::{self, Read};

use protocol::Sha256Digest;
use protocol::digest::Sha256Hasher;

/// The executable of this process as the kernel holds it, even if its file was replaced meanwhile.
const RUNNING_EXECUTABLE: &str = "/proc/self/exe";

/// One read; large enough that digesting, not the system call, takes the time.
const CHUNK_BYTES: usize = 256 * 1024;

/// SHA-256 of the running executable: the module digest of [`CpuExecutor`](crate::executor::CpuExecutor).
pub fn executable_digest() -> io::Result<Sha256Digest> {
    digest_of(File::open(RUNNING_EXECUTABLE)?)
}

pub(crate) fn digest_of(mut source: impl Read) -> io::Result<Sha256Digest> {
    let mut hasher = Sha256Hasher::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match source.read(&mut chunk)? {
            0 => return Ok(hasher.finish()),
            filled => hasher.update(chunk.get(..filled).unwrap_or(&chunk)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_longer_than_one_chunk_is_digested_whole() {
        let bytes = vec![7; 3 * CHUNK_BYTES + 1];
        assert_eq!(
            digest_of(bytes.as_slice()).unwrap(),
            Sha256Digest::of(&bytes)
        );
    }

    #[test]
    fn the_running_executable_has_the_digest_of_its_file() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(executable_digest().unwrap(), Sha256Digest::of(&file));
    }
}
