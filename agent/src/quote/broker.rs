//! The broker's side of the socket: who may ask, what may be asked, one quote at a time.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use attestation::broker::{
    Failure, FailureKind, REQUEST_BYTES_MAX, Response, WireError, decode_request, encode_response,
    frame_length,
};
use attestation::{Preimage, ReportData};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::configfs_tsm::{TsmError, TsmReports};
use crate::config::chain;

/// A caller is on the same machine: it sends a request of 260 bytes at once or not at all.
const FRAME_LIMIT: Duration = Duration::from_secs(10);
/// One agent keeps one connection; more than this is somebody else's mistake.
const CONNECTIONS_MAX: usize = 64;
/// Rest after a failed accept, so that a full descriptor table is not met with a busy loop.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Where quotes come from. Blocking.
pub trait QuoteSource: Send + Sync + 'static {
    /// A quote over `report_data`.
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, Failure>;
}

impl QuoteSource for TsmReports {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, Failure> {
        Self::quote(self, report_data).map_err(|error| failure_of(&error))
    }
}

/// The error's own text already says what to do.
fn failure_of(error: &TsmError) -> Failure {
    warn!(error = chain(error), "no quote");
    let kind = if error.is_absent() {
        FailureKind::Unavailable
    } else {
        FailureKind::Failed
    };
    Failure {
        kind,
        sentence: error.to_string(),
    }
}

/// Who may ask and how long.
#[derive(Debug, Clone)]
pub struct Rules {
    /// User ids whose processes may ask.
    pub allowed_uids: BTreeSet<u32>,
    /// From a request to its answer.
    pub deadline: Duration,
    /// Callers that wait while another's quote is made; one more is told to come back.
    pub waiting_max: usize,
}

/// A broker; [`Broker::serve`] runs it.
pub struct Broker<S> {
    source: Arc<S>,
    rules: Rules,
    /// One permit: the kernel makes one quote at a time.
    turn: Arc<Semaphore>,
    /// The one whose turn it is, and those who wait.
    places: Semaphore,
}

impl<S> std::fmt::Debug for Broker<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Broker")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Why a conversation ended before the caller hung up.
#[derive(Debug, thiserror::Error)]
enum ConversationError {
    #[error("the caller's socket failed")]
    Socket(#[source] io::Error),
    #[error("user id {0} may not ask for quotes")]
    Denied(u32),
    #[error("the caller took longer than {FRAME_LIMIT:?} over a frame")]
    Slow,
    #[error("the caller sent no request")]
    Request(#[source] WireError),
    #[error("the answer does not fit the wire")]
    Answer(#[source] WireError),
}

impl<S: QuoteSource> Broker<S> {
    #[must_use]
    pub fn new(source: S, rules: Rules) -> Self {
        Self {
            source: Arc::new(source),
            turn: Arc::new(Semaphore::new(1)),
            places: Semaphore::new(rules.waiting_max.saturating_add(1)),
            rules,
        }
    }

    /// Serves until `shutdown`, then drops every connection. A quote in the making ends in its own thread.
    pub async fn serve(self, listener: UnixListener, shutdown: CancellationToken) {
        let broker = Arc::new(self);
        let mut conversations = JoinSet::new();
        while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
            while conversations.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) if conversations.len() < CONNECTIONS_MAX => {
                    let broker = Arc::clone(&broker);
                    conversations.spawn(async move { broker.converse(stream).await });
                }
                Ok(_) => warn!(CONNECTIONS_MAX, "too many callers; dropped one"),
                Err(error) => {
                    warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
        conversations.shutdown().await;
    }

    async fn converse(&self, mut stream: UnixStream) {
        match self.answer_all(&mut stream).await {
            Ok(()) => {}
            Err(error @ ConversationError::Denied(_)) => {
                warn!(error = chain(&error), "refused a caller");
            }
            Err(error) => debug!(error = chain(&error), "dropped a caller"),
        }
    }

    /// Answers one request after another until the caller hangs up.
    async fn answer_all(&self, stream: &mut UnixStream) -> Result<(), ConversationError> {
        self.admit_caller(stream).await?;
        while let Some(header) = read_header(stream).await? {
            let preimage = match self.read_request(stream, header).await? {
                Ok(preimage) => preimage,
                Err(error) => return refuse(stream, error).await,
            };
            let response = self.answer(&preimage).await;
            send(stream, &response).await?;
        }
        Ok(())
    }

    /// Asks the kernel whose process this is. The socket's mode keeps others out already; this holds where it is too wide.
    async fn admit_caller(&self, stream: &mut UnixStream) -> Result<(), ConversationError> {
        let uid = stream.peer_cred().map_err(ConversationError::Socket)?.uid();
        if self.rules.allowed_uids.contains(&uid) {
            return Ok(());
        }
        let sentence = format!(
            "User id {uid} may not ask for quotes: add it to `allowed_users` of cocoon-quote."
        );
        send(stream, &failure(FailureKind::Denied, sentence)).await?;
        Err(ConversationError::Denied(uid))
    }

    async fn read_request(
        &self,
        stream: &mut UnixStream,
        header: [u8; 4],
    ) -> Result<Result<Preimage, WireError>, ConversationError> {
        let length = match frame_length(header, REQUEST_BYTES_MAX) {
            Ok(length) => length,
            Err(error) => return Ok(Err(error)),
        };
        let mut body = vec![0; length];
        in_time(stream.read_exact(&mut body)).await?;
        Ok(decode_request(&body))
    }

    async fn answer(&self, preimage: &Preimage) -> Response {
        let Ok(_place) = self.places.try_acquire() else {
            return failure(
                FailureKind::Busy,
                format!(
                    "{} callers wait already: ask again in a few seconds.",
                    self.rules.waiting_max
                ),
            );
        };
        let quoted = timeout(
            self.rules.deadline,
            self.quote_in_turn(preimage.report_data()),
        );
        quoted.await.unwrap_or_else(|_| {
            failure(
                FailureKind::Busy,
                format!(
                    "No quote came within {} s: look at the quote generation service on the VMM's side.",
                    self.rules.deadline.as_secs()
                ),
            )
        })
    }

    /// The permit goes with the blocking thread: even when the caller stops waiting, nobody else's turn begins before the
    /// kernel has answered.
    async fn quote_in_turn(&self, report_data: ReportData) -> Response {
        let Ok(permit) = Arc::clone(&self.turn).acquire_owned().await else {
            return failure(FailureKind::Busy, "The broker is stopping.".to_owned());
        };
        let source = Arc::clone(&self.source);
        let made = tokio::task::spawn_blocking(move || {
            let quote = source.quote(&report_data);
            drop(permit);
            quote
        });
        let response = made.await.unwrap_or_else(|error| {
            warn!(%error, "the quote's thread ended early");
            failure(
                FailureKind::Failed,
                "The broker failed: read its log.".to_owned(),
            )
        });
        if response.is_ok() {
            info!("made a quote");
        }
        response
    }
}

fn failure(kind: FailureKind, sentence: String) -> Response {
    Err(Failure { kind, sentence })
}

/// The next request's header; nothing when the caller hung up between two requests. An idle caller may stay.
async fn read_header(stream: &mut UnixStream) -> Result<Option<[u8; 4]>, ConversationError> {
    let mut first = [0; 1];
    if stream
        .read(&mut first)
        .await
        .map_err(ConversationError::Socket)?
        == 0
    {
        return Ok(None);
    }
    let mut rest = [0; 3];
    in_time(stream.read_exact(&mut rest)).await?;
    let ([a], [b, c, d]) = (first, rest);
    Ok(Some([a, b, c, d]))
}

/// Says what was wrong, and ends the conversation: after such bytes nobody knows where the next frame begins.
async fn refuse(stream: &mut UnixStream, error: WireError) -> Result<(), ConversationError> {
    let sentence = format!("Send one preimage of report data: {error}.");
    send(stream, &failure(FailureKind::Malformed, sentence)).await?;
    Err(ConversationError::Request(error))
}

async fn send(stream: &mut UnixStream, response: &Response) -> Result<(), ConversationError> {
    let frame = encode_response(response).map_err(ConversationError::Answer)?;
    in_time(stream.write_all(&frame)).await
}

async fn in_time<T>(
    operation: impl Future<Output = io::Result<T>>,
) -> Result<T, ConversationError> {
    timeout(FRAME_LIMIT, operation)
        .await
        .map_err(|_| ConversationError::Slow)?
        .map_err(ConversationError::Socket)
}
