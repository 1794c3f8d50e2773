//! A wait for what is about to come: a small batch takes a few tens of microseconds, and as many again go by until a thread
//! that went to sleep for its command or its answer is awake.

use std::thread;

use rustix::io::{Errno, Result};

/// Tries before the caller goes to sleep: two system calls each, some tens of microseconds together where nobody else wants
/// the processor.
const TRIES_MAX: u32 = 64;

/// What `receive` gives, which must not block; `None` where nothing came soon. Whoever else waits for this processor, such as
/// the other end of the socket on a machine with few, gets it between two tries.
pub(super) fn soon<T>(mut receive: impl FnMut() -> Result<T>) -> Result<Option<T>> {
    for _ in 0..TRIES_MAX {
        match receive() {
            Err(Errno::AGAIN) => thread::yield_now(),
            received => return received.map(Some),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_given_and_what_does_not_is_left_to_the_caller() {
        let mut tries = 0;
        let third = soon(|| {
            tries += 1;
            if tries < 3 { Err(Errno::AGAIN) } else { Ok(7) }
        });
        assert_eq!((third, tries), (Ok(Some(7)), 3));
        let mut tries = 0;
        let never: Result<Option<u8>> = soon(|| {
            tries += 1;
            Err(Errno::AGAIN)
        });
        assert_eq!((never, tries), (Ok(None), TRIES_MAX));
        assert_eq!(soon::<u8>(|| Err(Errno::CONNRESET)), Err(Errno::CONNRESET));
    }
}
