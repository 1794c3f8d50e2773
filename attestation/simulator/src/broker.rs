//! A stand-in for `cocoon-quote`: the same socket, the same wire format, quotes from a [`SimulatedPlatform`].
//!
//! Like the real broker it takes preimages only, never 64 bytes of a caller's choosing, and makes one quote at a time.
//! Unlike the real one it asks nobody for a user id: whatever it signs is worthless under Intel's root.

use std::{io, sync::Arc, time::Duration};

use attestation::broker::{
    Failure, FailureKind, REQUEST_BYTES_MAX, Response, WireError, decode_request, encode_response,
    frame_length,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Mutex,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use crate::listening::CONNECTIONS_COUNT_MAX;
use crate::{QuoteVersion, SimulatedPlatform, TdOptions, listening::serve_each};

/// How long a caller may take over one frame, in seconds. It is on the same machine.
const FRAME_TIMEOUT_S: u64 = 10;

/// What the broker quotes: which machine, which TD, in which layout.
#[derive(Clone, Debug)]
pub struct QuoteSource {
    /// The machine that signs.
    pub platform: Arc<SimulatedPlatform>,
    /// The TD that the quotes are about.
    pub td: TdOptions,
    /// Their layout.
    pub version: QuoteVersion,
}

impl QuoteSource {
    /// Version 4 quotes of the TD that the platform's policy admits.
    #[must_use]
    pub fn new(platform: Arc<SimulatedPlatform>) -> Self {
        Self {
            td: platform.td(),
            version: QuoteVersion::V4,
            platform,
        }
    }
}

/// Serves quotes of [`QuoteSource::new`] on `listener` until `shutdown` is cancelled.
pub async fn serve(
    listener: UnixListener,
    platform: Arc<SimulatedPlatform>,
    shutdown: CancellationToken,
) {
    serve_source(listener, QuoteSource::new(platform), shutdown).await;
}

/// Serves quotes of `source` on `listener` until `shutdown` is cancelled, then drops all connections.
pub async fn serve_source(
    listener: UnixListener,
    source: QuoteSource,
    shutdown: CancellationToken,
) {
    let source = Arc::new(Mutex::new(source));
    serve_each(listener, shutdown, |stream| {
        converse(stream, Arc::clone(&source))
    })
    .await;
}

/// Why a conversation ended before the caller hung up.
#[derive(Debug, thiserror::Error)]
enum ConversationError {
    #[error("the caller's socket failed")]
    Socket(#[source] io::Error),
    #[error("the caller took more than {FRAME_TIMEOUT_S} s over a frame")]
    Slow,
    #[error("the caller sent no request")]
    Malformed(#[source] WireError),
}

async fn converse(mut stream: UnixStream, source: Arc<Mutex<QuoteSource>>) {
    if let Err(error) = answer_all(&mut stream, &source).await {
        debug!(%error, "simulated quote broker dropped a caller");
    }
}

/// Answers one request after another until the caller hangs up.
async fn answer_all(
    stream: &mut UnixStream,
    source: &Mutex<QuoteSource>,
) -> Result<(), ConversationError> {
    let mut header = [0; 4];
    while let Some(()) = read_header(stream, &mut header).await? {
        let length = match frame_length(header, REQUEST_BYTES_MAX) {
            Ok(length) => length,
            Err(error) => return refuse(stream, error).await,
        };
        let mut body = vec![0; length];
        within_limit(stream.read_exact(&mut body)).await?;
        let preimage = match decode_request(&body) {
            Ok(preimage) => preimage,
            Err(error) => return refuse(stream, error).await,
        };
        // Single-flight: callers wait for the lock, as they wait for the one quoting enclave of a real machine.
        let quote = {
            let source = source.lock().await;
            let report_data = preimage.report_data();
            source
                .platform
                .quote(source.version, &source.td, report_data.bytes())
        };
        send(stream, &Ok(quote)).await?;
    }
    Ok(())
}

/// The next frame's header, or nothing when the caller has hung up between two frames.
async fn read_header(
    stream: &mut UnixStream,
    header: &mut [u8; 4],
) -> Result<Option<()>, ConversationError> {
    match stream.read_exact(header).await {
        Ok(_) => Ok(Some(())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(ConversationError::Socket(error)),
    }
}

/// Tells the caller what was wrong with its request, and ends the conversation: the stream has no next frame to find.
async fn refuse(stream: &mut UnixStream, error: WireError) -> Result<(), ConversationError> {
    let failure = Failure {
        kind: FailureKind::Malformed,
        sentence: format!("Send one preimage of report data: {error}."),
    };
    send(stream, &Err(failure)).await?;
    Err(ConversationError::Malformed(error))
}

async fn send(stream: &mut UnixStream, response: &Response) -> Result<(), ConversationError> {
    let frame = encode_response(response).map_err(ConversationError::Malformed)?;
    within_limit(stream.write_all(&frame)).await
}

async fn within_limit<T>(
    operation: impl Future<Output = io::Result<T>>,
) -> Result<T, ConversationError> {
    timeout(Duration::from_secs(FRAME_TIMEOUT_S), operation)
        .await
        .map_err(|_| ConversationError::Slow)?
        .map_err(ConversationError::Socket)
}
