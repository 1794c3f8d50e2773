//! Who waits for which task to move on, or to finish.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::TaskId;
use protocol::task::TaskState;
use tokio::sync::watch;

use super::Success;
use super::board::Board;

/// A task went to another state.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) task: TaskId,
    pub(super) state: TaskState,
    /// Where it succeeded, and this gateway's writer says so: a server's notification, which may come first, does not say how.
    success: Option<Success>,
}

impl Step {
    pub(super) fn to(task: TaskId, state: TaskState) -> Self {
        Self {
            task,
            state,
            success: None,
        }
    }

    pub(super) fn succeeded(task: TaskId, how: Success) -> Self {
        Self {
            success: Some(how),
            ..Self::to(task, TaskState::Succeeded)
        }
    }
}

type Told = Option<Step>;

/// Told of every commit.
#[derive(Debug)]
pub(super) struct Watchers {
    tasks: Mutex<HashMap<TaskId, watch::Sender<Told>>>,
    board: Arc<Board>,
}

impl Watchers {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            tasks: Mutex::default(),
            board: Arc::default(),
        })
    }

    /// Who waits for work.
    pub(super) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Each watch of a task that finished ends.
    pub(super) fn moved(&self, steps: &[Step]) {
        let mut watched = self.lock();
        if watched.is_empty() {
            return;
        }
        for step in steps {
            if step.state.is_finished() {
                if let Some(sender) = watched.remove(&step.task) {
                    sender.send_replace(Some(step.clone()));
                }
            } else if let Some(sender) = watched.get(&step.task) {
                let state = |step: &Step| step.state;
                sender.send_if_modified(|told| {
                    told.replace(step.clone()).as_ref().map(state) != Some(step.state)
                });
            }
        }
    }

    /// Tasks that somebody waits for.
    pub(super) fn watched(&self) -> Vec<TaskId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, watch::Sender<Told>>> {
        // A map of senders has no half-made state.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches one task. Make it first, then read the task: what happens in between is not missed.
#[derive(Debug)]
pub struct TaskWatch {
    task: TaskId,
    receiver: Option<watch::Receiver<Told>>,
    watchers: Arc<Watchers>,
}

impl TaskWatch {
    pub(super) fn new(watchers: &Arc<Watchers>, task: TaskId) -> Self {
        let receiver = match watchers.lock().entry(task) {
            Entry::Occupied(entry) => entry.get().subscribe(),
            Entry::Vacant(entry) => entry.insert(watch::Sender::new(None)).subscribe(),
        };
        Self {
            task,
            receiver: Some(receiver),
            watchers: Arc::clone(watchers),
        }
    }

    /// Ends once the task has finished, with what it came to where this gateway's writer says so; nothing changes that. Safe to
    /// cancel; a redriven task may be queued again by the time its state is read.
    pub async fn finished(&mut self) -> Option<Success> {
        let receiver = self.receiver.as_mut()?;
        let finished = |told: &Told| told.as_ref().is_some_and(|step| step.state.is_finished());
        // The only other end: the sender went, which the writer does after it told.
        let told = receiver.wait_for(finished).await.ok()?;
        told.as_ref()?.success.clone()
    }

    /// Ends whenever the task went to another state since this was made or ended the last time; not after it has finished.
    /// Safe to cancel.
    pub async fn moved(&mut self) {
        if let Some(receiver) = &mut self.receiver
            && receiver.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

impl Drop for TaskWatch {
    fn drop(&mut self) {
        let mut watched = self.watchers.lock();
        self.receiver = None;
        if let Entry::Occupied(entry) = watched.entry(self.task)
            && entry.get().receiver_count() == 0
        {
            entry.remove();
        }
    }
}
