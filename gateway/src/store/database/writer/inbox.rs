//! What the writer's thread has yet to do, in the order in which it was asked.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::operation::{Caller, Operation};

/// An operation that waits for the writer.
pub(super) struct Waiting {
    pub(super) operation: Box<dyn Operation>,
    pub(super) rows: usize,
    pub(super) caller: Caller,
}

/// The thread's end of the queue.
pub(super) struct Inbox {
    queue: mpsc::Receiver<Waiting>,
    bell: Arc<Bell>,
}

impl Inbox {
    pub(super) fn new(queue: mpsc::Receiver<Waiting>) -> Self {
        let bell = Arc::default();
        Self { queue, bell }
    }

    /// Waits for the next one; none, once nobody can send any more.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        self.queue.blocking_recv()
    }

    /// The next one, if it is there.
    pub(super) fn next_now(&mut self) -> Option<Waiting> {
        self.queue.try_recv().ok()
    }

    /// Waits so long for the next one.
    pub(super) fn next_within(&mut self, length: Duration) -> Option<Waiting> {
        // It may have rung when nobody waited any more.
        self.bell.silence();
        let waker = Waker::from(Arc::clone(&self.bell));
        match self.queue.poll_recv(&mut Context::from_waker(&waker)) {
            Poll::Ready(next) => next,
            Poll::Pending => {
                self.bell.wait(length);
                self.next_now()
            }
        }
    }
}

/// Rings when something is sent, or nobody can send any more.
#[derive(Default)]
struct Bell {
    has_rung: Mutex<bool>,
    rings: Condvar,
}

impl Bell {
    fn silence(&self) {
        *self.lock() = false;
    }

    fn wait(&self, length: Duration) {
        let has_not = |has_rung: &mut bool| !*has_rung;
        // It has rung, or the time is over.
        drop(self.rings.wait_timeout_while(self.lock(), length, has_not));
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        // A word has no half-made state.
        self.has_rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.lock() = true;
        self.rings.notify_one();
    }
}

#[cfg(test)]
impl Waiting {
    /// For an operation that does nothing.
    pub(super) fn idle(caller: Caller) -> Self {
        let (operation, _) = super::pending(|_| Ok(()), None);
        Self {
            operation,
            rows: 1,
            caller,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_as_long_as_it_is_told() {
        let (sender, receiver) = mpsc::channel(1);
        let mut inbox = Inbox::new(receiver);
        assert!(inbox.next_within(Duration::from_millis(1)).is_none());
        Arc::clone(&inbox.bell).wake();
        let later = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            assert!(sender.blocking_send(Waiting::idle(Caller::Pool)).is_ok());
        });
        // It would be a failed test's length.
        let long = Duration::from_mins(10);
        assert!(inbox.next_within(long).is_some());
        later.join().unwrap();
        assert!(inbox.next_within(long).is_none(), "nobody sends any more");
    }
}
