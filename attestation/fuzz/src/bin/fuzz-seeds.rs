//! Writes every target's seeds and dictionary: `fuzz-seeds FOLDER` makes `FOLDER/TARGET/seeds/…` and
//! `FOLDER/TARGET/dictionary`. Real evidence joins the seeds where `COCOON_VECTORS` names a directory of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use fuzz::{Seeds, TARGETS, Target};

#[expect(
    clippy::disallowed_methods,
    reason = "a tool of the build has no configuration of its own"
)]
fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("usage: fuzz-seeds FOLDER"))?;
    let vectors = std::env::var_os("COCOON_VECTORS").map(PathBuf::from);
    TARGETS.iter().try_for_each(|target| {
        let mut seeds = Seeds::new(vectors.clone());
        (target.seeds)(&mut seeds);
        write(&folder.join(target.name), target, &seeds)
    })
}

fn write(folder: &Path, target: &Target, seeds: &Seeds) -> io::Result<()> {
    let inputs = folder.join("seeds");
    fs::create_dir_all(&inputs)?;
    for (number, input) in seeds.inputs().iter().enumerate() {
        fs::write(inputs.join(format!("{number:03}")), input)?;
    }
    fs::write(folder.join("dictionary"), dictionary(target))
}

/// libFuzzer's format: one quoted word a line, bytes beyond printable ASCII as `\xNN`. It refuses an empty file, so the
/// first line is a comment.
fn dictionary(target: &Target) -> String {
    let escaped = |word: &[u8]| -> String {
        word.iter()
            .map(|&byte| match byte {
                b'"' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            })
            .collect()
    };
    let words = target.dictionary.iter();
    let lines = words.map(|word| format!("\"{}\"\n", escaped(word)));
    [format!("# {}\n", target.name)]
        .into_iter()
        .chain(lines)
        .collect()
}
