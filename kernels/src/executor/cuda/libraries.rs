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
    let maps = std::fs::read_to_string(MAPS).map_err(read(Path::new(MAPS)))?;
    let path = mapped(&maps, function).ok_or(LibraryError::NotMapped(name))?;
    let file = File::open(path).map_err(read(path))?;
    Ok(Library {
        name: name.to_owned(),
        version,
        digest: module::digest_of(file).map_err(read(path))?,
    })
}

/// The file that is mapped at this address, from lines such as `7f00-7f10 r-xp 00000000 fe:01 7 /usr/lib/libc.so.6`. A file
/// that was replaced is marked ` (deleted)`: its name does not lead to what is mapped any more.
fn mapped(maps: &str, address: usize) -> Option<&Path> {
    let line = maps.lines().find(|line| covers(line, address).is_some())?;
    let path = line.get(line.find('/')?..)?;
    (!path.ends_with(" (deleted)")).then(|| Path::new(path))
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
        let path = mapped(LINES, 0x7f2f).unwrap();
        assert!(path.ends_with("libcuda.so.580.95.05"));
        for address in [0x7f00, 0x7f30, 0x7f40] {
            assert_eq!(mapped(LINES, address), None, "{address:x}");
        }
        let missing = loaded("libnone", String::new(), 0).unwrap_err();
        assert!(matches!(missing, LibraryError::NotMapped("libnone")));
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
