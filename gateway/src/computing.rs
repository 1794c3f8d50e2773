//! Computation of a request: where it is, or on a thread of its own.

use std::sync::OnceLock;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Work over up to so many bytes takes some 100 µs, which others wait for less than two changes of thread would cost on a
/// machine with little to do.
const HERE_BYTES_MAX: usize = 64 * 1024;

/// One for each core but one: more at a time would take longer each, and those who write and answer would wait for all of them.
fn places() -> &'static Semaphore {
    static PLACES: OnceLock<Semaphore> = OnceLock::new();
    PLACES.get_or_init(|| Semaphore::new(places_count()))
}

fn places_count() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.saturating_sub(1).max(1)
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
        // Never closed. Who went away meanwhile leaves the place when the work is done.
        let place = places().acquire().await;
        let place_kept = move || {
            let done = work();
            drop(place);
            done
        };
        tokio::task::spawn_blocking(place_kept).await
    }
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
        let most = places_count();
        let work = || {
            let at_work = AT_WORK.fetch_add(1, Ordering::SeqCst) + 1;
            thread::sleep(Duration::from_millis(2));
            AT_WORK.fetch_sub(1, Ordering::SeqCst);
            at_work
        };
        let runs = (0..2 * most + 2).map(|_| run(HERE_BYTES_MAX + 1, work));
        let seen = futures_util::future::join_all(runs).await;
        let seen: Vec<_> = seen.into_iter().map(Result::unwrap).collect();
        assert!(
            seen.iter().all(|at_work| (1..=most).contains(at_work)),
            "{seen:?}"
        );
        assert!(
            run(HERE_BYTES_MAX + 1, || ()).await.is_ok(),
            "each place is left"
        );
    }
}
