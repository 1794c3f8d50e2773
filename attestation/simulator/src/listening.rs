//! Accepting callers on a Unix socket: a bounded number of them, each in a task that ends with the listener.

use std::time::Duration;

use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Callers at a time. A machine runs one agent; a test fleet shares a broker among a few dozen.
pub const CONNECTIONS_COUNT_MAX: usize = 256;

/// How long to rest when accepting fails, so that a full descriptor table is not met with a busy loop.
const ACCEPT_RETRY_MS: u64 = 100;

/// Holds a conversation with each caller until `shutdown` is cancelled, then drops all connections.
pub(crate) async fn serve_each<C, F>(
    listener: UnixListener,
    shutdown: CancellationToken,
    converse: C,
) where
    C: Fn(UnixStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_COUNT_MAX => {
                    connections.spawn(converse(stream));
                }
                Ok(_) => warn!(CONNECTIONS_COUNT_MAX, "a simulated service is full; dropped a caller"),
                Err(error) => {
                    warn!(%error, "a simulated service cannot accept");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                }
            }
        }
    }
    connections.shutdown().await;
}
