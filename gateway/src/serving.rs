//! One HTTP connection over any transport, with its limits, ended in order when the gateway stops.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::limits::{API_STREAMS_MAX, HEADER_READ, HTTP_HEADERS_BYTES_MAX, KEEP_ALIVE};

/// Which HTTP a connection speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Serves one connection until it ends. When the gateway stops, requests in progress are answered first.
pub(crate) async fn serve_connection<T>(
    transport: T,
    protocol: Protocol,
    router: Router,
    stopping: &CancellationToken,
) -> Result<(), hyper::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (io, service) = (TokioIo::new(transport), TowerToHyperService::new(router));
    match protocol {
        Protocol::Http1 => {
            let connection = http1_builder().serve_connection(io, service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = stopping.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }
        Protocol::Http2 => {
            let connection = http2_builder().serve_connection(io, service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = stopping.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ)
        .max_buf_size(HTTP_HEADERS_BYTES_MAX);
    builder
}

fn http2_builder() -> http2::Builder<StreamTasks> {
    let mut builder = http2::Builder::new(StreamTasks::default());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(API_STREAMS_MAX)
        .max_header_list_size(u32::try_from(HTTP_HEADERS_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}

/// The streams of one HTTP/2 connection: they end with it, so that no task runs that nobody waits for.
#[derive(Debug, Clone, Default)]
struct StreamTasks(Arc<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for StreamTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while streams.try_join_next().is_some() {}
        streams.spawn(stream);
    }
}
