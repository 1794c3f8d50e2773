//! What this machine submitted: one small file for each task, so that a later command knows what the gateway's answers
//! and the receipt must say.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use protocol::api::OutputView;
use protocol::task::TaskBody;
use protocol::{Sha256Digest, TaskId};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// Older entries are dropped: with 300 bytes and more each, this bounds the folder to some megabytes.
const ENTRIES_COUNT_MAX: usize = 10_000;
const SCHEMA: &str = "cocoon-submission/1";

/// One submitted task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    pub schema: String,
    pub gateway: String,
    pub task: TaskId,
    /// Computed here, before it was submitted.
    pub digest: Sha256Digest,
    pub body: TaskBody,
    /// How the user named the inputs.
    pub names: Vec<String>,
    /// The output that was downloaded and compared with its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputView>,
}

/// The folder of entries; without a folder it remembers nothing.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: Option<PathBuf>,
}

/// Why an entry could not be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("what this machine remembers of the task, {}, cannot be {what}", path.display())]
pub struct LedgerError {
    path: PathBuf,
    what: &'static str,
    #[source]
    source: io::Error,
}

impl Submission {
    #[must_use]
    pub fn new(
        gateway: &str,
        task: TaskId,
        digest: Sha256Digest,
        body: TaskBody,
        names: Vec<String>,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            gateway: gateway.to_owned(),
            task,
            digest,
            body,
            names,
            output: None,
        }
    }
}

impl Ledger {
    #[must_use]
    pub fn new(state_dir: Option<&Path>) -> Self {
        Self {
            folder: state_dir.map(|folder| folder.join("tasks")),
        }
    }

    /// Keeps an entry, whole or not at all, and drops the oldest beyond the limit.
    pub fn keep(&self, submission: &Submission) -> Result<(), LedgerError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        write(folder, submission)
            .and_then(|()| prune(folder, ENTRIES_COUNT_MAX))
            .map_err(|source| LedgerError {
                path: entry(folder, submission.task),
                what: "written",
                source,
            })
    }

    /// The entry of a task; `None` when it was submitted elsewhere, or longer ago than is kept.
    pub fn find(&self, task: TaskId) -> Result<Option<Submission>, LedgerError> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let failed = |source| LedgerError {
            path: entry(folder, task),
            what: "read",
            source,
        };
        match std::fs::read(entry(folder, task)) {
            Ok(bytes) => {
                let submission: Submission =
                    serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
                Ok(Some(submission).filter(|submission| submission.task == task))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

fn entry(folder: &Path, task: TaskId) -> PathBuf {
    folder.join(format!("{task}.json"))
}

fn write(folder: &Path, submission: &Submission) -> io::Result<()> {
    create_private(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec(submission)?)?;
    file.persist(entry(folder, submission.task))?;
    Ok(())
}

/// Names of a user's files are nobody else's business.
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// ULIDs sort by time, so the oldest come first.
fn prune(folder: &Path, count_max: usize) -> io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    entries.sort();
    let surplus = entries.len().saturating_sub(count_max);
    for path in entries.into_iter().take(surplus) {
        match std::fs::remove_file(path) {
            // Another command dropped it first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(number: u64) -> Submission {
        let body = TaskBody {
            operation: "sha256_batch".to_owned(),
            version: 1,
            parameters: serde_json::Map::new(),
            inputs: vec![],
        };
        let task = TaskId::from_parts(number, 0);
        Submission::new("https://gateway", task, Sha256Digest::of(b""), body, vec![])
    }

    #[test]
    fn what_was_kept_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Some(folder.path()));
        ledger.keep(&submission(1)).unwrap();
        assert_eq!(
            ledger.find(submission(1).task).unwrap(),
            Some(submission(1))
        );
        assert_eq!(ledger.find(submission(2).task).unwrap(), None);
    }

    #[test]
    fn without_a_folder_nothing_is_remembered() {
        let ledger = Ledger::new(None);
        ledger.keep(&submission(1)).unwrap();
        assert_eq!(ledger.find(submission(1).task).unwrap(), None);
    }

    #[test]
    fn the_oldest_entries_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Some(folder.path()));
        for number in 1..=5 {
            ledger.keep(&submission(number)).unwrap();
        }
        prune(&folder.path().join("tasks"), 2).unwrap();
        let kept: Vec<_> = (1..=5)
            .map(|number| ledger.find(submission(number).task).unwrap().is_some())
            .collect();
        assert_eq!(kept, [false, false, false, true, true]);
    }

    #[test]
    fn a_damaged_entry_is_an_error_and_no_absence() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Some(folder.path()));
        ledger.keep(&submission(1)).unwrap();
        std::fs::write(
            entry(&folder.path().join("tasks"), submission(1).task),
            b"{",
        )
        .unwrap();
        assert!(ledger.find(submission(1).task).is_err());
    }
}
