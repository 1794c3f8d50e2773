//! What the writer's thread has yet to do, in the order in which it was asked.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
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
pub(super) struct Inbox(pub(super) mpsc::Receiver<Waiting>);

impl Inbox {
    /// Waits for the next one; none, once nobody can send any more.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        self.0.blocking_recv()
    }

    /// The next one, if it is there.
    pub(super) fn next_now(&mut self) -> Option<Waiting> {
        self.0.try_recv().ok()
    }

    /// Waits so long for the next one.
    pub(super) fn next_within(&mut self, length: Duration) -> Option<Waiting> {
        // Somebody may have called when nobody waited any more: that would end this wait at once.
        std::thread::park_timeout(Duration::ZERO);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        if let Poll::Ready(next) = self.0.poll_recv(&mut context) {
            return next;
        }
        std::thread::park_timeout(length);
        self.next_now()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::pending;

    fn waiting() -> Waiting {
        let (operation, _) = pending(|_| Ok(()), None);
        Waiting {
            operation,
            rows: 1,
            caller: Caller::Pool,
        }
    }

    #[test]
    fn it_waits_as_long_as_it_is_told() {
        let (sender, receiver) = mpsc::channel(1);
        let mut inbox = Inbox(receiver);
        assert!(inbox.next_within(Duration::from_millis(1)).is_none());
        std::thread::current().unpark();
        let later = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            assert!(sender.blocking_send(waiting()).is_ok());
        });
        // It would be a failed test's length.
        let long = Duration::from_mins(10);
        assert!(inbox.next_within(long).is_some());
        later.join().unwrap();
        assert!(inbox.next_within(long).is_none(), "nobody sends any more");
    }
}
