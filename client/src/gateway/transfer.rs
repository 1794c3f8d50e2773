//! Blobs up and outputs down: streamed, bounded in time by progress, and compared with their digests.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use protocol::api::OutputView;
use protocol::digest::Sha256Hasher;
use protocol::limits::BLOB_BYTES_MAX;
use protocol::task::InputDescriptor;
use protocol::{Sha256Digest, TaskId};
use reqwest::{Body, Method, Response, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::{InspectReader, ReaderStream};

use super::answer::retry_after;
use super::call::Call;
use super::retry::Repeat;
use super::tasks::task_path;
use super::{ANSWER_TIMEOUT, AnswerError, Gateway, GatewayError};

/// The slowest line for which an upload's time limit is made: the largest blob may take some four and a half hours.
const UPLOAD_BYTES_PER_S_MIN: u64 = 64 * 1024;
/// One read of the file and one frame of HTTP/2 or so.
const UPLOAD_CHUNK_BYTES: usize = 64 * 1024;
const OCTET_STREAM: &str = "application/octet-stream";

/// Content that is to become a blob, with the digest that was computed from it before.
#[derive(Debug, Clone)]
pub struct Upload<'a> {
    pub source: UploadSource<'a>,
    pub content: InputDescriptor,
}

/// Where the content is.
#[derive(Debug, Clone)]
pub enum UploadSource<'a> {
    Bytes(Bytes),
    /// Opened anew for each attempt, and streamed.
    File(&'a Path),
}

impl Gateway {
    /// `HEAD /v1/blobs/{sha256}`.
    pub async fn has_blob(&self, sha256: Sha256Digest) -> Result<bool, GatewayError> {
        let path = blob_path(sha256);
        let call = Call::new("look for the blob", Method::HEAD, path, Repeat::Safe);
        let mut attempts = self.retries.of(call.repeat);
        loop {
            match self.head_once(&call).await {
                Ok(found) => return Ok(found),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn head_once(&self, call: &Call) -> Result<bool, GatewayError> {
        let request = self.request(call).timeout(call.limit);
        let response = self.send_any(call, request).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            // An answer to HEAD has no body that could say why.
            _ => Err(self.head_refusal(call, &response)),
        }
    }

    /// `PUT /v1/blobs/{sha256}`, unless the gateway has it; `sent` is told how many bytes of this attempt went out.
    /// Returns whether anything had to be sent.
    pub async fn upload(
        &self,
        upload: Upload<'_>,
        sent: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<bool, GatewayError> {
        if self.has_blob(upload.content.sha256).await? {
            return Ok(false);
        }
        let path = blob_path(upload.content.sha256);
        let call = Call::new("store the blob", Method::PUT, path, Repeat::Safe)
            .with_limit(upload_limit(upload.content.bytes));
        let mut attempts = self.retries.of(call.repeat);
        loop {
            let body = upload.body(sent.clone())?;
            match self.put(&call, upload.content.bytes, body).await {
                Ok(()) => return Ok(true),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn put(&self, call: &Call, bytes: u64, body: Body) -> Result<(), GatewayError> {
        let request = self
            .request(call)
            .timeout(call.limit)
            .header(reqwest::header::CONTENT_TYPE, OCTET_STREAM)
            .header(reqwest::header::CONTENT_LENGTH, bytes)
            .body(body);
        self.send(call, request).await.map(drop)
    }

    /// `GET /v1/tasks/{id}/output` into `sink`, from its beginning. When this returns, the sink holds exactly the bytes
    /// with the wanted digest; after an error its content means nothing. `received` is told the count so far.
    pub async fn download(
        &self,
        id: TaskId,
        wanted: OutputView,
        sink: &mut File,
        received: impl Fn(u64),
    ) -> Result<(), GatewayError> {
        let path = format!("{}/output", task_path(id));
        let call = Call::get("give the output", path);
        // An output that no operation gives would only fill the disk.
        if wanted.bytes > BLOB_BYTES_MAX {
            let limit = BLOB_BYTES_MAX;
            return Err(self.bad_answer(&call, AnswerError::TooLong { limit }));
        }
        let mut attempts = self.retries.of(call.repeat);
        loop {
            match self.download_once(&call, wanted, sink, &received).await {
                Ok(()) => return Ok(()),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn download_once(
        &self,
        call: &Call,
        wanted: OutputView,
        sink: &mut File,
        received: &impl Fn(u64),
    ) -> Result<(), GatewayError> {
        rewind(sink)
            .await
            .map_err(|source| file_error("starting the output file", source))?;
        let response = self.in_time(self.send(call, self.request(call))).await??;
        let (digest, bytes) = self
            .copy(call, response, wanted.bytes, sink, received)
            .await?;
        if bytes != wanted.bytes {
            let source = AnswerError::Length {
                seen: bytes,
                wanted: wanted.bytes,
            };
            return Err(self.bad_answer(call, source));
        }
        if digest != wanted.sha256 {
            let source = AnswerError::Digest {
                seen: digest,
                wanted: wanted.sha256,
            };
            return Err(self.bad_answer(call, source));
        }
        sink.flush()
            .await
            .map_err(|source| file_error("writing the output file", source))
    }

    /// Copies and digests; stops at the first byte beyond `bytes_max`.
    async fn copy(
        &self,
        call: &Call,
        mut response: Response,
        wanted: u64,
        sink: &mut File,
        received: &impl Fn(u64),
    ) -> Result<(Sha256Digest, u64), GatewayError> {
        let mut hasher = Sha256Hasher::default();
        let mut count: u64 = 0;
        while let Some(chunk) = self
            .in_time(response.chunk())
            .await?
            .map_err(|source| self.bad_answer(call, AnswerError::BrokenOff(source)))?
        {
            count = count.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            if count > wanted {
                return Err(self.bad_answer(call, AnswerError::Excess { wanted }));
            }
            hasher.update(&chunk);
            sink.write_all(&chunk)
                .await
                .map_err(|source| file_error("writing the output file", source))?;
            received(count);
        }
        Ok((hasher.finish(), count))
    }

    /// A download may take long, but never stand still.
    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, GatewayError> {
        tokio::time::timeout(ANSWER_TIMEOUT, future)
            .await
            .map_err(|_| GatewayError::Timeout {
                gateway: self.address.as_str().to_owned(),
                limit: ANSWER_TIMEOUT,
            })
    }

    fn head_refusal(&self, call: &Call, response: &Response) -> GatewayError {
        use protocol::problem::{Problem, ProblemCode};
        let status = response.status();
        let code = match status {
            StatusCode::UNAUTHORIZED if self.access_token.is_none() => {
                ProblemCode::AccessTokenMissing
            }
            StatusCode::UNAUTHORIZED => ProblemCode::AccessTokenInvalid,
            StatusCode::FORBIDDEN => ProblemCode::RoleInsufficient,
            StatusCode::SERVICE_UNAVAILABLE => ProblemCode::Overloaded,
            StatusCode::TOO_MANY_REQUESTS => ProblemCode::TooManyRequests,
            status => {
                return self.bad_answer(call, super::status_error(status, "(empty)".to_owned()));
            }
        };
        GatewayError::Refused {
            action: call.action,
            problem: Box::new(Problem::new(code, format!("status {status}"))),
            retry_after: retry_after(response.headers()),
        }
    }
}

fn blob_path(sha256: Sha256Digest) -> String {
    format!("/v1/blobs/{sha256}")
}

fn upload_limit(bytes: u64) -> Duration {
    ANSWER_TIMEOUT.saturating_add(Duration::from_secs(bytes / UPLOAD_BYTES_PER_S_MIN))
}

impl Upload<'_> {
    fn body(&self, sent: impl Fn(u64) + Send + Sync + 'static) -> Result<Body, GatewayError> {
        match &self.source {
            UploadSource::Bytes(bytes) => Ok(bytes.clone().into()),
            UploadSource::File(path) => file_body(path, sent),
        }
    }
}

fn file_body(
    path: &Path,
    sent: impl Fn(u64) + Send + Sync + 'static,
) -> Result<Body, GatewayError> {
    let file = std::fs::File::open(path)
        .map_err(|source| file_error(&format!("opening {}", path.display()), source))?;
    let mut count: u64 = 0;
    let counted = InspectReader::new(File::from_std(file), move |chunk: &[u8]| {
        count = count.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        sent(count);
    });
    Ok(Body::wrap_stream(ReaderStream::with_capacity(
        counted,
        UPLOAD_CHUNK_BYTES,
    )))
}

async fn rewind(sink: &mut File) -> std::io::Result<()> {
    sink.set_len(0).await?;
    sink.rewind().await?;
    Ok(())
}

fn file_error(what: &str, source: std::io::Error) -> GatewayError {
    GatewayError::File {
        what: what.to_owned(),
        source,
    }
}
