//! Tasks that a request submitted and would have fetched itself, had it come to its end: nobody else knows of them, so nobody
//! wants them any more. They are cancelled in housekeeping, because a request that was dropped does nothing further.

use std::sync::{Arc, Mutex, PoisonError};

use protocol::TaskId;

use crate::gateway::Gateway;
use crate::store::TaskScope;

/// Those that wait to be cancelled.
#[derive(Debug, Default)]
pub(crate) struct Abandoned(Mutex<Vec<(TaskScope, Vec<TaskId>)>>);

impl Abandoned {
    pub(crate) fn take(&self) -> Vec<(TaskScope, Vec<TaskId>)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, scope: TaskScope, tasks: Vec<TaskId>) {
        let mut abandoned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        abandoned.push((scope, tasks));
    }
}

/// Tasks of a request under way. Dropped before [`Wanted::fetched`], however the request ends, they are abandoned.
#[derive(Debug)]
pub(crate) struct Wanted {
    gateway: Arc<Gateway>,
    scope: TaskScope,
    tasks: Vec<TaskId>,
}

impl Wanted {
    pub(crate) fn new(gateway: &Arc<Gateway>, scope: TaskScope, tasks: Vec<TaskId>) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            scope,
            tasks,
        }
    }

    pub(crate) fn tasks(&self) -> &[TaskId] {
        &self.tasks
    }

    /// Their outputs are read.
    pub(crate) fn fetched(mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.tasks)
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        if !self.tasks.is_empty() {
            let tasks = std::mem::take(&mut self.tasks);
            self.gateway.abandoned.put(self.scope.clone(), tasks);
        }
    }
}
