//! The agent's side of the broker's socket: one connection, one request, one deadline.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::Preimage;
use attestation::broker::{
    Failure, RESPONSE_BYTES_MAX, WireError, decode_response, encode_request, frame_length,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The gate allows 30 s in all; a quote that takes longer comes too late.
pub const DEADLINE: Duration = Duration::from_secs(25);

/// Where to ask for quotes.
#[derive(Debug, Clone)]
pub struct QuoteClient {
    socket: PathBuf,
    deadline: Duration,
}

/// Why there is no quote.
#[derive(Debug, thiserror::Error)]
pub enum QuoteClientError {
    #[error("cannot reach the quote broker at {}: start cocoon-quote.socket, and let this user open it", socket.display())]
    Unreachable {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the connection to the quote broker broke")]
    Socket(#[source] io::Error),
    #[error("the quote broker speaks another protocol")]
    Wire(#[source] WireError),
    #[error("the quote broker gave no quote ({:?})", .0.kind)]
    Refused(#[source] Failure),
    #[error("the quote broker did not answer within {0:?}")]
    TimedOut(Duration),
}

impl QuoteClient {
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self::with_deadline(socket, DEADLINE)
    }

    #[must_use]
    pub fn with_deadline(socket: &Path, deadline: Duration) -> Self {
        Self {
            socket: socket.to_owned(),
            deadline,
        }
    }

    /// A quote over the report data that the broker makes of `preimage`.
    pub async fn quote(&self, preimage: &Preimage) -> Result<Vec<u8>, QuoteClientError> {
        timeout(self.deadline, self.ask(preimage))
            .await
            .map_err(|_| QuoteClientError::TimedOut(self.deadline))?
    }

    async fn ask(&self, preimage: &Preimage) -> Result<Vec<u8>, QuoteClientError> {
        let mut stream = UnixStream::connect(&self.socket).await.map_err(|source| {
            QuoteClientError::Unreachable {
                socket: self.socket.clone(),
                source,
            }
        })?;
        // A broker that denies this user answers without reading; its answer says more than the broken pipe does.
        let sent = stream.write_all(&encode_request(preimage)).await;
        let mut header = [0; 4];
        match (stream.read_exact(&mut header).await, sent) {
            (Ok(_), _) => {}
            (Err(_), Err(error)) | (Err(error), Ok(())) => {
                return Err(QuoteClientError::Socket(error));
            }
        }
        let length = frame_length(header, RESPONSE_BYTES_MAX).map_err(QuoteClientError::Wire)?;
        let mut body = vec![0; length];
        stream
            .read_exact(&mut body)
            .await
            .map_err(QuoteClientError::Socket)?;
        decode_response(&body)
            .map_err(QuoteClientError::Wire)?
            .map_err(QuoteClientError::Refused)
    }
}
