//! NVIDIA's libraries as this process holds them: the files that are mapped where their functions lie, and their digests.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::executor::Library;
use crate::module;

/// Where Linux says what is mapped.
const MAPS: &str = "/proc/self/maps";

/// Why a library that was loaded cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} lies in no mapped file, or its file was replaced since")]
    NotMapped(&'static str),
}

/// The library that one of its functions, at this address, was loaded from.
pub(super) fn loaded(
    name: &'static str,
    version: String,
    function: usize,
) -> Result<Library, LibraryError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| LibraryError::Read { path, source }
    };
    let maps = || std::fs::read_to_string(MAPS).map_err(read(Path::new(MAPS)));
    let lines = maps()?;
    let (path, loaded) = mapped(&lines, function).ok_or(LibraryError::NotMapped(name))?;
    let file = File::open(path).map_err(read(path))?;
    // The name leads to a file; that it is the one that was loaded is seen where both are mapped. What stat(2) says of it
    // would not do: some file systems tell another device there than in the list of what is mapped.
    let opened = map(&file).map_err(read(path))?;
    let lines = maps()?;
    let opened = mapped(&lines, opened.as_ptr().addr());
    if opened.is_none_or(|(_, opened)| opened != loaded) {
        return Err(LibraryError::NotMapped(name));
    }
    Ok(Library {
        name: name.to_owned(),
        version,
        digest: module::digest_of(file).map_err(read(path))?,
    })
}

#[expect(unsafe_code, reason = "a file that others may write is mapped")]
fn map(file: &File) -> Result<memmap2::Mmap, io::Error> {
    // SAFETY: nothing of it is read.
    unsafe { memmap2::MmapOptions::new().len(1).map(file) }
}

/// The file that is mapped at this address, and its device and inode, from lines such as `7f00-7f10 r-xp 00000000 fe:01 7 /usr/lib/libc.so.6`. A file
/// that was replaced is marked ` (deleted)`: its name does not lead to what is mapped any more.
fn mapped(maps: &str, address: usize) -> Option<(&Path, [&str; 2])> {
    let line = maps.lines().find(|line| covers(line, address).is_some())?;
    let path = line.get(line.find('/')?..)?;
    let mut fields = line.split_whitespace().skip(3);
    let file = [fields.next()?, fields.next()?];
    (!path.ends_with(" (deleted)")).then_some((Path::new(path), file))
}

fn covers(line: &str, address: usize) -> Option<()> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let hexadecimal = |text| usize::from_str_radix(text, 16).ok();
    (hexadecimal(start)?..hexadecimal(end)?)
        .contains(&address)
        .then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
        7f00-7f10 rw-p 00000000 00:00 0\n\
        7f10-7f20 r-xp 00000000 fe:01 7 /usr/lib/libc.so.6\n\
        7f20-7f30 r-xp 00000000 fe:01 8 /usr/lib/libcuda.so.580.95.05\n\
        7f30-7f40 r-xp 00000000 fe:01 9 /opt/libcublasLt.so.12 (deleted)\n";

    #[test]
    fn a_library_is_the_file_that_is_mapped_where_its_function_lies() {
        let (path, file) = mapped(LINES, 0x7f2f).unwrap();
        assert!(path.ends_with("libcuda.so.580.95.05"));
        assert_eq!(file, ["fe:01", "8"]);
        for address in [0x7f00, 0x7f30, 0x7f40] {
            assert_eq!(mapped(LINES, address), None, "{address:x}");
        }
        let missing = loaded("libnone", String::new(), 0).unwrap_err();
        assert!(matches!(missing, LibraryError::NotMapped("libnone")));
    }

    /// Mapped, and then another file moved to its name: that one is not digested in its place.
    #[test]
    fn a_file_that_was_put_in_a_librarys_place_is_not_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libtest.so");
        std::fs::write(&path, b"loaded").unwrap();
        let file = File::open(&path).unwrap();
        let mapping = map(&file).unwrap();
        let address = mapping.as_ptr().addr();
        let library = loaded("test", String::new(), address).unwrap();
        assert_eq!(library.digest, protocol::Sha256Digest::of(b"loaded"));
        // The mapped file keeps its name, and the name leads to another: what is mounted over it does so.
        let lines = std::fs::read_to_string(MAPS).unwrap();
        let (_, first) = mapped(&lines, address).unwrap();
        let other_path = folder.path().join("other.so");
        std::fs::write(&other_path, b"other").unwrap();
        let other = map(&File::open(&other_path).unwrap()).unwrap();
        let lines = std::fs::read_to_string(MAPS).unwrap();
        let (_, second) = mapped(&lines, other.as_ptr().addr()).unwrap();
        assert_ne!(first, second);
        std::fs::rename(&other_path, &path).unwrap();
        let refused = loaded("test", String::new(), address).unwrap_err();
        assert!(matches!(refused, LibraryError::NotMapped("test")));
    }

    #[test]
    fn a_mapped_library_is_digested() {
        // A function of this test, so the file is the running executable.
        let function: fn(&str, usize) -> Option<()> = covers;
        let address = std::ptr::from_ref(&function).cast::<usize>();
        #[expect(unsafe_code, reason = "a function's address as a number")]
        // SAFETY: a pointer to a function is a number of this width.
        let library = loaded("test", "1".to_owned(), unsafe { address.read() }).unwrap();
        assert_eq!(library.digest, module::executable_digest().unwrap());
        assert_eq!((library.name, library.version), ("test".into(), "1".into()));
    }
}
