//! The numbers that HTTP/2 leaves to its users, each with its reason.

use std::time::Duration;

use hyper_util::rt::TokioTimer;

/// What a gateway may have in flight towards a worker in one response: inputs are up to 1 GiB and a worker has few at a
/// time, so a megabyte keeps 1 Gbit/s busy over 8 ms.
const WORKER_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// All responses together: four inputs at full speed, and a bound on what a worker buffers.
const WORKER_CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// What a worker may have in flight towards the gateway in one request. 10,000 workers share the gateway's memory.
const GATEWAY_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// All requests of one worker together: 10,000 workers at once can make the gateway hold 5 GiB, and no more.
const GATEWAY_CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;

/// The control stream, a lease poll, an ack, and blobs of a batch side by side; a worker wants no more at a time.
const STREAMS_COUNT_MAX: u32 = 64;

/// The same, as the client's builder wants it.
const INITIAL_STREAMS_COUNT_MAX: usize = 64;

/// The smallest that HTTP/2 allows; one DATA frame fills one TLS record.
const FRAME_BYTES: u32 = 16 * 1024;

/// Our requests carry a handful of short fields.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// What a stream may have written without the connection having sent it.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Streams that the peer opens and resets before they are served (CVE-2023-44487).
const RESET_STREAMS_COUNT_MAX: usize = 32;

/// A dead path is noticed within a minute even while nothing is sent; below the idle limits of common middleboxes.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

const _: () = assert!(WORKER_STREAM_WINDOW_BYTES <= WORKER_CONNECTION_WINDOW_BYTES);
const _: () = assert!(GATEWAY_STREAM_WINDOW_BYTES <= GATEWAY_CONNECTION_WINDOW_BYTES);

pub(super) fn limit_client<E: Clone>(builder: &mut hyper::client::conn::http2::Builder<E>) {
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(WORKER_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(WORKER_CONNECTION_WINDOW_BYTES)
        .adaptive_window(false)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        // What may be opened before the gateway's settings have arrived: what they will say.
        .initial_max_send_streams(INITIAL_STREAMS_COUNT_MAX)
        // The gateway never opens a stream.
        .max_concurrent_streams(0)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
}

pub(super) fn limit_server<E>(builder: &mut hyper::server::conn::http2::Builder<E>) {
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(GATEWAY_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(GATEWAY_CONNECTION_WINDOW_BYTES)
        .adaptive_window(false)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_concurrent_streams(STREAMS_COUNT_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_COUNT_MAX)
        .max_local_error_reset_streams(RESET_STREAMS_COUNT_MAX)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
}
