//! Waiting for something that another process does: polled, bounded, and named in the error.

use std::time::Duration;

use anyhow::{Result, bail};

/// Short enough to go unnoticed, long enough not to disturb what is waited for.
const POLL: Duration = Duration::from_millis(20);

fn polls(limit: Duration) -> u128 {
    limit.as_millis() / POLL.as_millis()
}

/// Polls until `done`, at most about `limit`.
pub fn wait_until(
    limit: Duration,
    what: &str,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<()> {
    for _ in 0..=polls(limit) {
        if done()? {
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
    bail!("waited {} s in vain for {what}", limit.as_secs())
}

/// Polls until `done`, at most about `limit` and the time the polls themselves take.
pub async fn wait_until_async(
    limit: Duration,
    what: &str,
    mut done: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    for _ in 0..=polls(limit) {
        if done().await? {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("waited {} s in vain for {what}", limit.as_secs())
}
