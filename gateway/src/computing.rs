//! Computation of a request: where it is, or on a thread of its own.

use tokio::task::JoinError;

/// Work over up to so many bytes takes some 100 µs, which others wait for less than two changes of thread would cost on a
/// machine with little to do.
const HERE_BYTES_MAX: usize = 64 * 1024;

/// Computes over so many bytes. Much of it goes to a thread that nobody else waits for: a thousand digests of 16 KiB take
/// some 10 ms.
pub(crate) async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if bytes <= HERE_BYTES_MAX {
        Ok(work())
    } else {
        tokio::task::spawn_blocking(work).await
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn little_is_computed_here_and_much_elsewhere() {
        let own = thread::current().id();
        let here = run(HERE_BYTES_MAX, || thread::current().id()).await;
        assert_eq!(here.unwrap(), own);
        let elsewhere = run(HERE_BYTES_MAX + 1, || thread::current().id()).await;
        assert_ne!(elsewhere.unwrap(), own);
    }
}
