//! Computation of a request: where it is, or on a thread of its own.

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Work over up to so many bytes takes some 100 µs, which others wait for less than two changes of thread would cost on a
/// machine with little to do.
const HERE_BYTES_MAX: usize = 64 * 1024;

/// One for each core but one: more at a time would take longer each, and those who write and answer would wait for all of them.
fn places() -> Arc<Semaphore> {
    static PLACES: OnceLock<Arc<Semaphore>> = OnceLock::new();
    let places = PLACES.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Arc::new(Semaphore::new(cores.saturating_sub(1).max(1)))
    });
    Arc::clone(places)
}

/// Computes over so many bytes. Much of it goes to a thread that nobody else waits for: a thousand digests of 16 KiB take
/// some 10 ms.
pub(crate) async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if bytes <= HERE_BYTES_MAX {
        Ok(work())
    } else {
        run_in(places(), work).await
    }
}

async fn run_in<T: Send + 'static>(
    places: Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    // Never closed. Who goes away meanwhile leaves the place when the work is done.
    let place = places.acquire_owned().await;
    let in_place = move || {
        let _place = place;
        work()
    };
    tokio::task::spawn_blocking(in_place).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn little_is_computed_here_and_much_elsewhere() {
        let own = thread::current().id();
        let here = run(HERE_BYTES_MAX, || thread::current().id()).await;
        assert_eq!(here.unwrap(), own);
        let elsewhere = run(HERE_BYTES_MAX + 1, || thread::current().id()).await;
        assert_ne!(elsewhere.unwrap(), own);
    }

    #[tokio::test]
    async fn much_is_computed_in_as_many_places_as_there_are() {
        static AT_WORK: AtomicUsize = AtomicUsize::new(0);
        let places = Arc::new(Semaphore::new(2));
        let work = || {
            let at_work = AT_WORK.fetch_add(1, Ordering::SeqCst) + 1;
            thread::sleep(Duration::from_millis(2));
            AT_WORK.fetch_sub(1, Ordering::SeqCst);
            at_work
        };
        let runs = (0..8).map(|_| run_in(Arc::clone(&places), work));
        let seen = futures_util::future::join_all(runs).await;
        let most = seen.into_iter().map(Result::unwrap).max();
        assert!((1..=2).contains(&most.unwrap()), "{most:?}");
        let panics = run_in(Arc::clone(&places), || panic!("as it may"));
        assert!(panics.await.is_err());
        assert_eq!(places.available_permits(), 2);
    }
}
