//! What the API has confirmed, in memory and as lines of a file for whoever looks into a violation.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use protocol::TaskId;
use protocol::api::TaskView;

/// All that was confirmed.
#[derive(Debug)]
pub(super) struct Journal {
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    submitted: u64,
    tasks: BTreeMap<TaskId, Confirmed>,
    /// Of each task's number.
    by_number: BTreeMap<u64, TaskId>,
    unchecked: VecDeque<TaskId>,
    /// The submitters have ended: nothing is added any more.
    is_complete: bool,
}

/// One task that the API confirmed.
#[derive(Debug, Clone)]
pub(super) struct Confirmed {
    /// From which its content and its key follow.
    pub(super) number: u64,
    /// A cancellation was asked for, and may have been confirmed.
    pub(super) cancellation: Cancellation,
    /// As it was when it had finished.
    pub(super) finished: Option<TaskView>,
}

/// Whether somebody has called a task off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancellation {
    None,
    Asked,
    Confirmed,
}

impl Journal {
    pub(super) fn create(path: &Path, seed: u64) -> Result<Self> {
        let file =
            File::create_new(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            seed,
            state: Mutex::new(State {
                file,
                submitted: 0,
                tasks: BTreeMap::new(),
                by_number: BTreeMap::new(),
                unchecked: VecDeque::new(),
                is_complete: false,
            }),
        })
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// The number of the next task to submit.
    pub(super) fn next_number(&self) -> u64 {
        let mut state = self.lock();
        state.submitted += 1;
        state.submitted
    }

    /// The API says that the task with this number is this one; whether it says so for the first time.
    pub(super) fn confirmed(&self, number: u64, task: TaskId) -> Result<bool> {
        let mut state = self.lock();
        if let Some(&earlier) = state.by_number.get(&number) {
            ensure!(
                earlier == task,
                "number {number} was confirmed as {earlier}, and under the same key as {task}"
            );
            return Ok(false);
        }
        let other = state.tasks.insert(
            task,
            Confirmed {
                number,
                cancellation: Cancellation::None,
                finished: None,
            },
        );
        ensure!(other.is_none(), "{task} was confirmed for two numbers");
        state.by_number.insert(number, task);
        state.unchecked.push_back(task);
        state.write(&format!("confirmed\t{number}\t{task}"))?;
        Ok(true)
    }

    pub(super) fn cancellation(&self, task: TaskId, cancellation: Cancellation) -> Result<()> {
        let mut state = self.lock();
        if let Some(confirmed) = state.tasks.get_mut(&task) {
            confirmed.cancellation = cancellation;
        }
        state.write(&format!("cancellation\t{task}\t{cancellation:?}"))
    }

    /// What was read of a task that has finished.
    pub(super) fn finished(&self, view: TaskView) -> Result<()> {
        let mut state = self.lock();
        let output = view.output.map(|output| output.sha256.to_string());
        let line = format!(
            "finished\t{}\t{}\t{}\t{}",
            view.id,
            view.state,
            view.attempts,
            output.unwrap_or_default()
        );
        if let Some(confirmed) = state.tasks.get_mut(&view.id) {
            confirmed.finished = Some(view);
        }
        state.write(&line)
    }

    /// The next task to check; `None`: there is none now.
    pub(super) fn next_unchecked(&self) -> Option<TaskId> {
        self.lock().unchecked.pop_front()
    }

    pub(super) fn task(&self, task: TaskId) -> Result<Confirmed> {
        let confirmed = self.lock().tasks.get(&task).cloned();
        confirmed.with_context(|| format!("{task} is not in the journal"))
    }

    /// How many are confirmed and not checked.
    pub(super) fn unchecked_count(&self) -> usize {
        self.lock().unchecked.len()
    }

    pub(super) fn complete(&self) {
        self.lock().is_complete = true;
    }

    /// Whether there is nothing to check and never will be.
    pub(super) fn is_done(&self) -> bool {
        let state = self.lock();
        state.is_complete && state.unchecked.is_empty()
    }

    /// Everything that is confirmed by now.
    pub(super) fn tasks(&self) -> BTreeMap<TaskId, Confirmed> {
        self.lock().tasks.clone()
    }

    /// Those that were not seen finished, for people.
    pub(super) fn unfinished(&self) -> String {
        let state = self.lock();
        let tasks = state.tasks.iter();
        let unfinished = tasks.filter(|(_, confirmed)| confirmed.finished.is_none());
        let shown: Vec<_> = unfinished
            .map(|(task, _)| task.to_string())
            .take(20)
            .collect();
        shown.join(", ")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, line: &str) -> Result<()> {
        writeln!(self.file, "{line}").context("cannot write the journal")
    }
}
