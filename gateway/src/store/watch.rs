//! Who waits for which task to move on, or to finish.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::TaskId;
use protocol::task::TaskState;
use tokio::sync::watch;

use super::board::Board;

/// Told of every commit.
#[derive(Debug)]
pub(super) struct Watchers {
    tasks: Mutex<HashMap<TaskId, watch::Sender<Option<TaskState>>>>,
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

    /// Tasks went from one state to another; each watch of one that finished ends.
    pub(super) fn moved(&self, tasks: &[(TaskId, TaskState)]) {
        let mut watched = self.lock();
        if watched.is_empty() {
            return;
        }
        for (task, state) in tasks {
            if state.is_finished() {
                if let Some(sender) = watched.remove(task) {
                    sender.send_replace(Some(*state));
                }
            } else if let Some(sender) = watched.get(task) {
                sender.send_if_modified(|known| known.replace(*state) != Some(*state));
            }
        }
    }

    /// Tasks that somebody waits for.
    pub(super) fn watched(&self) -> Vec<TaskId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, watch::Sender<Option<TaskState>>>> {
        // A map of senders has no half-made state.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches one task. Make it first, then read the task: what happens in between is not missed.
#[derive(Debug)]
pub struct TaskWatch {
    task: TaskId,
    receiver: Option<watch::Receiver<Option<TaskState>>>,
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

    /// Ends once the task has finished. Safe to cancel; a redriven task may be queued again by the time its state is read.
    pub async fn finished(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            // The only other end: the sender went, which the writer does after it told.
            let finished = |state: &Option<TaskState>| state.is_some_and(TaskState::is_finished);
            let _ = receiver.wait_for(finished).await;
        }
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
