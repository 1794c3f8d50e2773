//! Inputs to begin with: forged ones from the simulator always, real ones where there are any.

use std::path::{Path, PathBuf};

/// A longer file slows every mutation of it down and shows no more than a shorter one.
const SEED_BYTES_MAX: u64 = 256 * 1024;

/// The seeds of one target.
#[derive(Debug, Default)]
pub struct Seeds {
    inputs: Vec<Vec<u8>>,
    vectors: Option<PathBuf>,
}

impl Seeds {
    /// An empty collection that may also read a directory of real evidence.
    #[must_use]
    pub fn new(vectors: Option<PathBuf>) -> Self {
        Self {
            inputs: Vec::new(),
            vectors,
        }
    }

    /// The inputs so far.
    #[must_use]
    pub fn inputs(&self) -> &[Vec<u8>] {
        &self.inputs
    }

    /// Adds one input.
    pub fn add(&mut self, input: impl Into<Vec<u8>>) {
        self.inputs.push(input.into());
    }

    /// Adds every real file in a folder of the vectors, read and then passed through `input`, in a stable order.
    pub fn add_vectors(&mut self, folder: &str, input: impl Fn(Vec<u8>) -> Option<Vec<u8>>) {
        let Some(vectors) = &self.vectors else { return };
        let files = files(&vectors.join(folder));
        let contents = files
            .iter()
            .map(|path| std::fs::read(path).expect("a vector is readable"));
        self.inputs.extend(contents.filter_map(input));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder of vectors is readable");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the folder of vectors is readable").path())
        .filter(|path| {
            path.metadata()
                .is_ok_and(|data| data.is_file() && data.len() <= SEED_BYTES_MAX)
        })
        .collect();
    files.sort();
    files
}
