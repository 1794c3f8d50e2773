//! Rules of the house that no compiler keeps: file heads, lengths, words.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::{Path, PathBuf};

use tests::sources::{rust_files, workspace_root};

/// A file longer than this has more than one subject. Tests move to `tests.rs` beside it.
const FILE_LINES_MAX: usize = 500;

/// Words that the glossary replaces, with what to say instead.
const BANNED: &[(&str, &str)] = &[
    ("whitelist", "reference values, allowed set"),
    ("blacklist", "denied set"),
    ("golden_", "known answer, reference value"),
    ("validate_quote", "verify"),
    ("mr_td", "mrtd"),
    ("sanity_check", "say what is verified"),
];

fn sources() -> Vec<(PathBuf, String)> {
    rust_files(&workspace_root()).unwrap()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace_root())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[test]
fn every_file_opens_with_its_subject() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| shown(&path))
        .collect();
    assert!(
        silent.is_empty(),
        "these files do not open with a `//!` line: {silent:#?}"
    );
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (shown(&path), text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(
        long.is_empty(),
        "these files have more than {FILE_LINES_MAX} lines: {long:#?}"
    );
}

#[test]
fn the_glossary_binds() {
    for (path, text) in sources() {
        if path.ends_with("tests/tests/tidy.rs") {
            continue;
        }
        // Another library's field has the name.
        let text = text.to_lowercase().replace("td.mr_td", "");
        let text = text.replace("body.mr_td", "");
        for (word, instead) in BANNED {
            assert!(
                !text.contains(word),
                "{}: `{word}`; say {instead}",
                shown(&path)
            );
        }
    }
}

#[test]
fn nothing_is_left_to_do() {
    for (path, text) in sources() {
        if path.ends_with("tests/tests/tidy.rs") {
            continue;
        }
        for mark in [
            "TODO",
            "FIXME",
            "XXX",
            "todo!(",
            "unimplemented!(",
            "#[ignore",
        ] {
            assert!(!text.contains(mark), "{}: `{mark}`", shown(&path));
        }
    }
}

/// A module file that no other file declares is never compiled.
#[test]
fn no_file_is_orphaned() {
    for (path, _) in sources() {
        let text = shown(&path);
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
            .to_owned();
        let is_root = ["lib", "main", "mod"].contains(&stem.as_str()) || text.contains("/src/bin/");
        if is_root || !text.contains("/src/") {
            continue;
        }
        let folder = path.parent().expect("a file has a folder");
        let owner_of_folder = folder.with_extension("rs");
        let parents = [
            folder.join("mod.rs"),
            folder.join("lib.rs"),
            folder.join("main.rs"),
            owner_of_folder,
        ];
        let declared = parents
            .iter()
            .filter_map(|parent| std::fs::read_to_string(parent).ok())
            .any(|parent| parent.contains(&format!("mod {stem};")));
        assert!(declared, "{text} is declared by no module");
    }
}
