//! One future that runs a connection together with everything hyper would otherwise spawn for it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered, task::AtomicWaker};
use hyper::rt::Executor;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where hyper puts the futures of a connection's streams. They are as many as the connection has streams, which HTTP/2
/// bounds, and two.
#[derive(Clone, Default)]
pub(super) struct Tasks {
    shared: Arc<SharedTasks>,
}

#[derive(Default)]
struct SharedTasks {
    new: Mutex<Vec<Task>>,
    driver: AtomicWaker,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.shared
            .new
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::pin(task));
        self.shared.driver.wake();
    }
}

impl Tasks {
    fn take_new(&self) -> Vec<Task> {
        std::mem::take(
            &mut *self
                .shared
                .new
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// What becomes of tasks that are left when the connection's own future has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Remaining {
    /// A client's: hyper drives the connection in one of them.
    Finish,
    /// A server's: handlers whose caller is gone. A handler that waits for work would otherwise be given some, for nobody.
    Drop,
}

/// A connection and its tasks.
pub(super) struct Driver<C: Future> {
    connection: Pin<Box<C>>,
    remaining: Remaining,
    ended: Option<C::Output>,
    tasks: Tasks,
    running: FuturesUnordered<Task>,
}

impl<C: Future> Driver<C> {
    pub(super) fn new(connection: C, tasks: Tasks, remaining: Remaining) -> Self {
        Self {
            connection: Box::pin(connection),
            remaining,
            ended: None,
            tasks,
            running: FuturesUnordered::new(),
        }
    }

    /// The connection, unless it has ended.
    pub(super) fn connection(&mut self) -> Option<Pin<&mut C>> {
        match self.ended {
            Some(_) => None,
            None => Some(self.connection.as_mut()),
        }
    }
}

// The connection is boxed; nothing else is ever pinned.
impl<C: Future> Unpin for Driver<C> {}

impl<C: Future> Future for Driver<C> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.tasks.shared.driver.register(cx.waker());
        if this.ended.is_none()
            && let Poll::Ready(output) = this.connection.as_mut().poll(cx)
        {
            this.ended = Some(output);
        }
        if this.ended.is_some() && this.remaining == Remaining::Drop {
            this.running.clear();
            this.tasks.take_new();
        }
        loop {
            let new = this.tasks.take_new();
            let adopted = !new.is_empty();
            this.running.extend(new);
            while let Poll::Ready(Some(())) = this.running.poll_next_unpin(cx) {}
            if !adopted {
                break;
            }
        }
        match this.ended.take_if(|_| this.running.is_empty()) {
            Some(output) => Poll::Ready(output),
            None => Poll::Pending,
        }
    }
}
