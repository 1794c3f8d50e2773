//! The requests that a worker makes: lease, inputs, outputs, ack, nack.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use channel::WorkerHttp;
use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body as _, Incoming};
use kernels::executor::Work;
use protocol::frames::Frames;
use protocol::lease::{
    AckOutcome, AckRequest, AckResponse, Lease, LeaseRequest, LeaseResponse, Nack, NackRequest,
    NackResponse, OperationId,
};
use protocol::limits::{LONG_POLL_MS_MAX, WORKER_BODY_BYTES_MAX};
use protocol::problem::Problem;
use protocol::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Offer;
use crate::config::chain;
use crate::machine::{Event, Failure, FetchFailure, Finished};

/// A request that is no long poll and moves little.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The long poll's own wait, and time for its answer to arrive.
const LEASE_LIMIT: Duration = Duration::from_millis(1)
    .saturating_mul(LONG_POLL_MS_MAX)
    .saturating_add(Duration::from_secs(15));
/// One input or output of up to a gibibyte, over a slow link.
const TRANSFER_LIMIT: Duration = Duration::from_mins(10);
/// A problem document is a few sentences.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
const FENCING_TOKEN: &str = "fencing-token";

/// Makes requests over one connection.
#[derive(Debug, Clone)]
pub struct Requests {
    http: WorkerHttp,
    operations: Arc<[OperationId]>,
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("the request cannot be built")]
    Build(#[source] http::Error),
    #[error("the message cannot be written or read")]
    Wire(#[source] wire::WireError),
    #[error("no answer came within {0:?}")]
    TimedOut(Duration),
    #[error("the connection failed")]
    Http(#[source] channel::HttpError),
    #[error("the answer could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer broke off")]
    BrokenOff,
    #[error("the gateway leased {0} tasks at once, none or more than were asked for")]
    LeaseCount(usize),
    #[error("the gateway answered with {status}: {detail}")]
    Status { status: StatusCode, detail: String },
}

impl RequestError {
    /// A client error would be refused again; everything else is the network's or the gateway's present state.
    fn failure(&self) -> Failure {
        match self {
            Self::Status { status, .. } if status.is_client_error() && !is_temporary(*status) => {
                Failure::Permanent(chain(self))
            }
            Self::Build(_) => Failure::Permanent(chain(self)),
            _ => Failure::Retry,
        }
    }
}

fn is_temporary(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
    )
}

impl Requests {
    /// `operations`: what this worker can run; nothing else is handed to it.
    #[must_use]
    pub fn new(http: WorkerHttp, operations: Arc<[OperationId]>) -> Self {
        Self { http, operations }
    }

    /// Asks for up to `tasks_max` tasks and waits for the first; what follows comes of the answer that is left open.
    pub async fn lease(self, tasks_max: u16) -> (Event, Option<Leasing>) {
        match self.ask(tasks_max).await {
            Ok(leasing) => leasing.lease().await,
            Err(error) => failed_lease(&error),
        }
    }

    async fn ask(&self, tasks_max: u16) -> Result<Leasing, RequestError> {
        let request = LeaseRequest {
            tasks_max,
            wait_ms: LONG_POLL_MS_MAX,
            operations: self.operations.to_vec(),
        };
        let answer = self.send(Self::message("/v1/leases", &request)?);
        let answer = timeout(LEASE_LIMIT, answer)
            .await
            .map_err(|_| RequestError::TimedOut(LEASE_LIMIT))??;
        Ok(Leasing {
            body: answer.into_body(),
            frames: Frames::default(),
            tasks_left: usize::from(tasks_max),
        })
    }

    /// Fetches the inputs that did not come inline, and verifies each against the task's body.
    pub async fn fetch(self, offer: Arc<Offer>) -> Event {
        let lease = offer.lease;
        let result = timeout(TRANSFER_LIMIT, self.inputs(&offer))
            .await
            .unwrap_or(Err(FetchFailure::Retry));
        Event::Fetched { lease, result }
    }

    async fn inputs(&self, offer: &Offer) -> Result<Work, FetchFailure> {
        let mut inputs = Vec::with_capacity(offer.inputs.len());
        for (index, input) in offer.inputs.iter().enumerate() {
            match input {
                Some(bytes) => inputs.push(bytes.clone()),
                None => inputs.push(self.input(offer, index).await?),
            }
        }
        offer.work(inputs).map_err(FetchFailure::Fault)
    }

    async fn input(&self, offer: &Offer, index: usize) -> Result<Bytes, FetchFailure> {
        let bytes = self.input_bytes(offer, index).await.map_err(|error| {
            log_failure("input", &error);
            match error {
                // The task moved on: finished elsewhere, cancelled, or leased anew.
                RequestError::Status {
                    status: StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE,
                    ..
                } => FetchFailure::LeaseLost,
                error => match error.failure() {
                    Failure::Retry => FetchFailure::Retry,
                    Failure::Permanent(message) => FetchFailure::Fault(protocol::lease::Fault {
                        kind: protocol::lease::FaultKind::Failed,
                        message,
                    }),
                },
            }
        })?;
        let (offer, verified) = (offer.clone(), bytes.clone());
        // Up to a gibibyte to digest: not on a thread that others wait for.
        let verified =
            tokio::task::spawn_blocking(move || offer.verify_input(index, &verified)).await;
        match verified {
            Ok(Ok(())) => Ok(bytes),
            Ok(Err(refusal)) => Err(FetchFailure::Fault(refusal.fault())),
            Err(_) => Err(FetchFailure::Retry),
        }
    }

    async fn input_bytes(&self, offer: &Offer, index: usize) -> Result<Bytes, RequestError> {
        let bytes_max = offer.task.inputs.get(index).map_or(0, |input| input.bytes);
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("/v1/tasks/{}/inputs/{index}", offer.lease.task))
            .header(FENCING_TOKEN, offer.lease.fencing_token.0)
            .body(Full::new(Bytes::new()))
            .map_err(RequestError::Build)?;
        let response = self.send(request).await?;
        collect(
            response.into_body(),
            usize::try_from(bytes_max).unwrap_or(usize::MAX),
        )
        .await
    }

    /// Uploads an output that is too large for its ack.
    pub async fn upload(self, finished: Arc<Finished>) -> Event {
        let lease = finished.offer.lease;
        let result = timeout(TRANSFER_LIMIT, self.put_output(&finished))
            .await
            .unwrap_or(Err(RequestError::TimedOut(TRANSFER_LIMIT)))
            .map_err(|error| {
                log_failure("output", &error);
                error.failure()
            });
        Event::Uploaded { lease, result }
    }

    async fn put_output(&self, finished: &Finished) -> Result<(), RequestError> {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("/v1/outputs/{}", finished.sha256))
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, finished.output.len())
            .body(Full::new(finished.output.clone()))
            .map_err(RequestError::Build)?;
        self.send(request).await.map(drop)
    }

    /// Reports finished tasks.
    pub async fn ack(self, request: AckRequest) -> Event {
        Event::Acked(self.acked(&request).await.map_err(|error| {
            log_failure("ack", &error);
            error.failure()
        }))
    }

    async fn acked(&self, request: &AckRequest) -> Result<Vec<AckOutcome>, RequestError> {
        let response: AckResponse = self.post("/v1/ack", request, REQUEST_LIMIT).await?;
        Ok(response.outcomes)
    }

    /// Gives tasks back.
    pub async fn nack(self, nacks: Vec<Nack>) -> Event {
        let request = NackRequest { nacks };
        let response = self
            .post::<_, NackResponse>("/v1/nack", &request, REQUEST_LIMIT)
            .await;
        Event::Nacked(response.map(drop).map_err(|error| {
            log_failure("nack", &error);
            error.failure()
        }))
    }

    async fn post<T: Serialize, R: DeserializeOwned>(
        &self,
        path: &'static str,
        message: &T,
        limit: Duration,
    ) -> Result<R, RequestError> {
        let request = Self::message(path, message)?;
        let answered = async {
            let response = self.send(request).await?;
            collect(response.into_body(), WORKER_BODY_BYTES_MAX).await
        };
        let body = timeout(limit, answered)
            .await
            .map_err(|_| RequestError::TimedOut(limit))??;
        wire::decode(&body, WORKER_BODY_BYTES_MAX).map_err(RequestError::Wire)
    }

    fn message<T: Serialize>(
        path: &'static str,
        message: &T,
    ) -> Result<Request<Full<Bytes>>, RequestError> {
        let body = wire::encode(message).map_err(RequestError::Wire)?;
        Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, wire::MEDIA_TYPE)
            .header(header::CONTENT_LENGTH, body.len())
            .body(Full::new(Bytes::from(body)))
            .map_err(RequestError::Build)
    }

    /// Sends a request; an answer other than success is an error with the gateway's own words.
    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, RequestError> {
        let response = self
            .http
            .request(request)
            .await
            .map_err(RequestError::Http)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let detail = match collect(response.into_body(), PROBLEM_BYTES_MAX).await {
            Ok(body) => serde_json::from_slice::<Problem>(&body).map(|problem| problem.to_string()),
            Err(error) => return Err(error),
        };
        Err(RequestError::Status {
            status,
            detail: detail.unwrap_or_else(|_| "no problem document".to_owned()),
        })
    }
}

/// The answer to a request for tasks, which brings them as they come.
#[derive(Debug)]
pub struct Leasing {
    body: Incoming,
    frames: Frames,
    /// How many may still come.
    tasks_left: usize,
}

impl Leasing {
    /// Waits for what comes next, all of it that is at hand; the answer stays open while more may come.
    pub async fn lease(mut self) -> (Event, Option<Self>) {
        let read = timeout(LEASE_LIMIT, self.read())
            .await
            .unwrap_or(Err(RequestError::TimedOut(LEASE_LIMIT)));
        match read {
            Ok((leases, has_ended)) => {
                let more = !has_ended && self.tasks_left > 0;
                (read_leases(leases, more), more.then_some(self))
            }
            Err(error) => failed_lease(&error),
        }
    }

    /// What came, and whether that was the end. What came before something that cannot be read counts.
    async fn read(&mut self) -> Result<(Vec<Lease>, bool), RequestError> {
        let mut leases = Vec::new();
        loop {
            match self.read_on(&mut leases).await {
                Ok(Read::More) => {}
                Ok(Read::Nothing) => return Ok((leases, false)),
                Ok(Read::End) => return Ok((leases, true)),
                Err(error) if leases.is_empty() => return Err(error),
                Err(error) => {
                    log_failure("leases", &error);
                    return Ok((leases, true));
                }
            }
        }
    }

    /// Waits only while there is nothing at all.
    async fn read_on(&mut self, leases: &mut Vec<Lease>) -> Result<Read, RequestError> {
        while let Some(response) = self.frame()? {
            leases.extend(response.leases);
        }
        if self.tasks_left == 0 {
            return Ok(Read::Nothing);
        }
        let piece = match self.body.frame().now_or_never() {
            Some(piece) => piece,
            None if leases.is_empty() => self.body.frame().await,
            None => return Ok(Read::Nothing),
        };
        match piece {
            Some(Ok(piece)) => {
                if let Ok(data) = piece.into_data() {
                    self.frames.push(&data);
                }
                Ok(Read::More)
            }
            Some(Err(error)) => Err(RequestError::Body(Box::new(error))),
            None if self.frames.has_part() => Err(RequestError::BrokenOff),
            None => Ok(Read::End),
        }
    }

    /// The next frame that is at hand. A gateway sends at least one lease in each, and not more than were asked for in all.
    fn frame(&mut self) -> Result<Option<LeaseResponse>, RequestError> {
        let frame: Option<LeaseResponse> = self
            .frames
            .next(WORKER_BODY_BYTES_MAX)
            .map_err(RequestError::Wire)?;
        if let Some(frame) = &frame {
            let count = frame.leases.len();
            self.tasks_left = match self.tasks_left.checked_sub(count) {
                Some(left) if count > 0 => left,
                _ => return Err(RequestError::LeaseCount(count)),
            };
        }
        Ok(frame)
    }
}

/// What reading on came to.
enum Read {
    More,
    /// Nothing more for now.
    Nothing,
    End,
}

fn failed_lease(error: &RequestError) -> (Event, Option<Leasing>) {
    log_failure("leases", error);
    (Event::LeaseFailed, None)
}

/// Reads a body of at most `bytes_max` bytes.
async fn collect(body: Incoming, bytes_max: usize) -> Result<Bytes, RequestError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(bytes_max);
    let mut collected = BytesMut::with_capacity(announced.min(bytes_max));
    let mut body = std::pin::pin!(Limited::new(body, bytes_max));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(RequestError::Body)?.into_data() {
            collected.extend_from_slice(&data);
        }
    }
    Ok(collected.freeze())
}

fn read_leases(leases: Vec<Lease>, more: bool) -> Event {
    let mut offers = Vec::with_capacity(leases.len());
    let mut refused = Vec::new();
    for lease in leases {
        let reference = protocol::lease::LeaseRef {
            task: lease.task,
            fencing_token: lease.fencing_token,
        };
        match Offer::read(lease) {
            Ok(offer) => offers.push(offer),
            Err(refusal) => {
                tracing::warn!(task = %reference.task, error = chain(&refusal), "refused a leased task");
                refused.push(Nack {
                    lease: reference,
                    fault: refusal.fault(),
                });
            }
        }
    }
    Event::Leased {
        offers,
        refused,
        more,
    }
}

fn log_failure(request: &'static str, error: &RequestError) {
    tracing::warn!(
        request,
        error = chain(error),
        "a request to the gateway failed"
    );
}
