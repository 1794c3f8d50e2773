//! The devnet's work: digests and transpositions of files, each with the output that an independent computation expects.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use client::task::{Input, PreparedTask};
use serde_json::{Map, json};

use super::embed::Embeddings;
use crate::sources::{rust_files, workspace_root};

/// Files of one digest task.
const DIGEST_GROUP: usize = 8;
/// A file's bytes are read as rows of so many 4-byte elements.
const COLUMNS: usize = 64;
const ROW_BYTES: usize = COLUMNS * 4;
/// All files together: each is held twice, as an input and as the output that is expected.
const FILES_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// One task to be, with what it must give.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) task: PreparedTask,
    pub(crate) expected: Expected,
}

/// What an independent computation says of an output.
#[derive(Debug)]
pub(crate) enum Expected {
    Bytes(Vec<u8>),
    Embeddings(Embeddings),
}

impl Expected {
    pub(super) fn is(&self, output: &[u8]) -> bool {
        match self {
            Self::Bytes(bytes) => bytes == output,
            Self::Embeddings(embeddings) => embeddings.are(output),
        }
    }
}

impl Work {
    pub(super) fn input_bytes(&self) -> u64 {
        let inputs = self.task.inputs().iter();
        inputs.map(|input| input.content().bytes).sum()
    }
}

/// The user's files, or the repository's sources; each can be read and is a plain file.
pub(super) fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let files = if named.is_empty() {
        let sources = rust_files(&workspace_root())?;
        sources.into_iter().map(|(path, _)| path).collect()
    } else {
        named.to_vec()
    };
    ensure!(
        !files.is_empty(),
        "this repository's sources are gone; name files to work on"
    );
    let mut total: u64 = 0;
    for path in &files {
        let shown = path.display();
        let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
        ensure!(
            metadata.is_file(),
            "{shown} is not a file; name files, not folders"
        );
        std::fs::File::open(path).with_context(|| format!("cannot read {shown}"))?;
        total = total.saturating_add(metadata.len());
    }
    ensure!(
        total <= FILES_BYTES_MAX,
        "the files have {total} bytes together; the devnet takes {FILES_BYTES_MAX}"
    );
    Ok(files)
}

/// One digest task for each few files, one transposition for each file that is not empty.
pub(super) fn plan(files: &[PathBuf]) -> Result<Vec<Work>> {
    let mut works = Vec::new();
    for group in files.chunks(DIGEST_GROUP) {
        works.push(digests(group)?);
    }
    for path in files {
        let shown = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        if !bytes.is_empty() {
            works.push(transposition(&shown.to_string(), bytes)?);
        }
    }
    Ok(works)
}

/// Digests of files; what `sha256sum` says of them is expected.
fn digests(files: &[PathBuf]) -> Result<Work> {
    let mut sha256sum = Command::new("sha256sum");
    let output = sha256sum
        .arg("--")
        .args(files)
        .output()
        .context("cannot run sha256sum, the independent reference")?;
    ensure!(
        output.status.success(),
        "sha256sum failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut expected = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // A leading backslash says that the name was escaped.
        let digest = line
            .trim_start_matches('\\')
            .get(..64)
            .context("sha256sum printed no digest")?;
        expected.extend(hex::decode(digest).context("sha256sum printed no digest")?);
    }
    let inputs = files.iter().map(|path| Input::from_file(path));
    let task = PreparedTask::new(
        "sha256_batch",
        None,
        Map::new(),
        inputs.collect::<Result<_, _>>()?,
    )?;
    let expected = Expected::Bytes(expected);
    Ok(Work { task, expected })
}

/// A file's bytes, padded with zeros to whole rows, as a matrix of 4-byte elements with rows and columns exchanged.
fn transposition(name: &str, mut bytes: Vec<u8>) -> Result<Work> {
    bytes.resize(bytes.len().next_multiple_of(ROW_BYTES), 0);
    let rows: Vec<_> = bytes.chunks(ROW_BYTES).collect();
    let mut expected = Vec::with_capacity(bytes.len());
    for column in 0..COLUMNS {
        for row in &rows {
            expected.extend(row.iter().skip(column * 4).take(4));
        }
    }
    let parameters = json!({"rows": rows.len(), "columns": COLUMNS});
    let parameters = serde_json::from_value(parameters).context("parameters are a JSON object")?;
    let input = Input::from_bytes(name, bytes);
    let task = PreparedTask::new("transpose", None, parameters, vec![input])?;
    let expected = Expected::Bytes(expected);
    Ok(Work { task, expected })
}
