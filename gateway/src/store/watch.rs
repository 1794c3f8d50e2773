//! Who waits for which task to finish. In-process: a database with several gateways on it brings its own notifications here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::TaskId;
use tokio::sync::watch;

use super::board::Board;

/// Told of every commit by the writer.
#[derive(Debug)]
pub(super) struct Watchers {
    tasks: Mutex<HashMap<TaskId, watch::Sender<bool>>>,
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

    /// Each watch of these tasks ends.
    pub(super) fn finished(&self, tasks: &[TaskId]) {
        let mut watched = self.lock();
        if watched.is_empty() {
            return;
        }
        for task in tasks {
            if let Some(sender) = watched.remove(task) {
                sender.send_replace(true);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, watch::Sender<bool>>> {
        // A map of senders has no half-made state.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends once a task has finished. Make it first, then read the task: what finishes in between is not missed.
#[derive(Debug)]
pub struct FinishedWatch {
    task: TaskId,
    receiver: Option<watch::Receiver<bool>>,
    watchers: Arc<Watchers>,
}

impl FinishedWatch {
    pub(super) fn new(watchers: &Arc<Watchers>, task: TaskId) -> Self {
        let receiver = match watchers.lock().entry(task) {
            Entry::Occupied(entry) => entry.get().subscribe(),
            Entry::Vacant(entry) => entry.insert(watch::Sender::new(false)).subscribe(),
        };
        Self {
            task,
            receiver: Some(receiver),
            watchers: Arc::clone(watchers),
        }
    }

    /// Waits. Safe to cancel; a redriven task may be queued again by the time its state is read.
    pub async fn finished(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            // The only other end: the sender went, which the writer does after it told.
            let _ = receiver.wait_for(|finished| *finished).await;
        }
    }
}

impl Drop for FinishedWatch {
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
