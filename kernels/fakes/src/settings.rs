//! Where a fake reads its settings: a file beside it, or the environment. Each fake has this file as a module of its own,
//! because a library finds its folder by where its own code lies.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::config::FILE;

/// A setting that is a number.
pub(crate) fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    setting(name)?.parse().ok()
}

/// From the last such line of the file beside the library, which can change while a process runs; else from the
/// environment, which cannot.
pub(crate) fn setting(name: &str) -> Option<String> {
    let file = own_folder().map(|folder| folder.join(FILE));
    let text = file.and_then(|file| std::fs::read_to_string(file).ok());
    let written = text.as_deref().and_then(|text| {
        let mut pairs = text.lines().rev().filter_map(|line| line.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then(|| value.to_owned()))
    });
    written.or_else(|| variable(name))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a library loaded by path has no other configuration"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where this library was loaded from: the file that is mapped where one of its constants lies.
pub(crate) fn own_folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOLDER.get_or_init(|| {
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        let line = maps
            .lines()
            .find(|line| covers(line, FILE.as_ptr().addr()).is_some())?;
        let path = line.get(line.find('/')?..)?;
        Some(Path::new(path).parent()?.to_owned())
    });
    found.as_deref()
}

/// Whether a line of `maps`, such as `7f00-7f10 r-xp …`, covers this address.
fn covers(line: &str, address: usize) -> Option<()> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let hexadecimal = |text| usize::from_str_radix(text, 16).ok();
    (hexadecimal(start)?..hexadecimal(end)?)
        .contains(&address)
        .then_some(())
}
