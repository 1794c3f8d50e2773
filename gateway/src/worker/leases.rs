//! `POST /v1/leases`: tasks for a worker, as they come.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use protocol::frames;
use protocol::lease::{
    Fault, FaultKind, Lease, LeaseInput, LeaseRef, LeaseRequest, LeaseResponse, Nack, OperationId,
};
use protocol::limits::{BATCH_TASKS_MAX, LEASE_PAYLOAD_BYTES_MAX, LONG_POLL_MS_MAX};
use protocol::problem::{Problem, ProblemCode};

use super::LiveSession;
use super::connection::AttestedConnection;
use super::message::Cbor;
use crate::limits::LEASE_POLL;
use crate::problem::ApiProblem;
use crate::store::{LeaseError, LeaseQuery, ParkEnd, Store, Wake, WorkWatch};

/// Operations that one request may name: more than the catalogue has, and few enough to look at.
const OPERATIONS_COUNT_MAX: usize = 256;
/// Of a lease's message, what is neither body nor input; more than most have.
const LEASE_FIELDS_BYTES: usize = 192;

/// Answers when there is a first lease. What the worker asked for beyond it follows in the same body as it is queued, so
/// that no task waits for a worker to ask again.
pub(super) async fn lease(
    attested: AttestedConnection,
    Cbor(request): Cbor<LeaseRequest>,
) -> Result<Response, ApiProblem> {
    let mut wish = Wish::new(attested, request)?;
    let leases = wish.next().await?;
    if leases.is_empty() {
        return Ok(framed(Body::empty()));
    }
    let first = frame(leases)?;
    if wish.is_done() {
        return Ok(framed(Body::from(first)));
    }
    let frames = stream::unfold((Some(first), wish), |(first, mut wish)| async move {
        let frame = match first {
            Some(first) => first,
            None => wish.next_frame().await?,
        };
        Some((Ok::<_, Infallible>(frame), (None, wish)))
    });
    Ok(framed(Body::from_stream(frames)))
}

fn framed(frames: Body) -> Response {
    let mut response = Response::new(frames);
    let media_type = HeaderValue::from_static(frames::MEDIA_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

fn frame(leases: Vec<Lease>) -> Result<Bytes, ApiProblem> {
    let bytes = leases.iter().map(lease_bytes);
    let bytes = bytes.fold(0, usize::saturating_add);
    let frame = frames::encode(&LeaseResponse { leases }, bytes);
    frame
        .map(Bytes::from)
        .map_err(|error| ApiProblem::internal(&error))
}

/// About what one has as a message.
fn lease_bytes(lease: &Lease) -> usize {
    let inline = lease.inputs.iter().map(|input| match input {
        LeaseInput::Inline(bytes) => bytes.len(),
        LeaseInput::Fetch => 0,
    });
    let payload = inline.fold(lease.body.len(), usize::saturating_add);
    payload.saturating_add(LEASE_FIELDS_BYTES)
}

fn parse(request: &LeaseRequest) -> Result<usize, ApiProblem> {
    let tasks_max = usize::from(request.tasks_max);
    if !(1..=BATCH_TASKS_MAX).contains(&tasks_max) {
        let detail = format!("a lease asks for 1 to {BATCH_TASKS_MAX} tasks, not {tasks_max}");
        return Err(limit(detail, "tasks_max", "BATCH_TASKS_MAX"));
    }
    if request.wait_ms > LONG_POLL_MS_MAX {
        let detail = format!(
            "a lease waits up to {LONG_POLL_MS_MAX} ms, not {}",
            request.wait_ms
        );
        return Err(limit(detail, "wait_ms", "LONG_POLL_MS_MAX"));
    }
    if request.operations.len() > OPERATIONS_COUNT_MAX {
        let detail = format!("a lease names up to {OPERATIONS_COUNT_MAX} operations");
        return Err(limit(detail, "operations", "OPERATIONS_COUNT_MAX"));
    }
    if request
        .operations
        .iter()
        .any(|operation| operation.name.contains('\0'))
    {
        // No database has texts with one, nor has the catalogue.
        let detail = "an operation's name has a NUL";
        let problem = Problem::new(ProblemCode::MalformedRequest, detail);
        return Err(problem.with_field("operations").into());
    }
    Ok(tasks_max)
}

fn limit(detail: String, field: &str, limit: &str) -> ApiProblem {
    Problem::new(ProblemCode::LimitExceeded, detail)
        .with_field(field)
        .with_limit(limit)
        .into()
}

/// One request for tasks.
struct Wish {
    attested: AttestedConnection,
    request: LeaseRequest,
    /// How many it has not been given yet.
    tasks_left: usize,
    /// On the monotonic clock.
    ends_at: Duration,
}

impl Wish {
    fn new(attested: AttestedConnection, request: LeaseRequest) -> Result<Self, ApiProblem> {
        let tasks_left = parse(&request)?;
        let wait = Duration::from_millis(u64::from(request.wait_ms));
        let now = attested.gateway().clock.monotonic();
        Ok(Self {
            attested,
            request,
            tasks_left,
            ends_at: now.saturating_add(wait),
        })
    }

    /// Whether nothing is to be waited for behind what it was given.
    fn is_done(&self) -> bool {
        self.tasks_left == 0 || self.is_over()
    }

    fn is_over(&self) -> bool {
        self.remaining().is_zero() || self.attested.gateway().stopping.is_cancelled()
    }

    fn remaining(&self) -> Duration {
        let now = self.attested.gateway().clock.monotonic();
        self.ends_at.saturating_sub(now)
    }

    /// What is leased next, for an answer that has begun. It ends where there is nothing to lease any more or no right to: the
    /// worker asks again, and is told why.
    async fn next_frame(&mut self) -> Option<Bytes> {
        if self.is_done() {
            return None;
        }
        let leases = self.next().await.ok()?;
        frame((!leases.is_empty()).then_some(leases)?).ok()
    }

    /// What is leased next; nothing when the wait is over.
    async fn next(&mut self) -> Result<Vec<Lease>, ApiProblem> {
        let gateway = Arc::clone(self.attested.gateway());
        let operations = &self.request.operations;
        self.attested
            .fresh_session()?
            .asked(operations, gateway.now_ms());
        let mut woken: Option<Wake> = None;
        loop {
            // Waits before it looks, so that a task queued in between is not missed.
            let traits = self.attested.fresh_session()?.traits();
            let work = gateway.store.watch_work(&self.request.operations, &traits);
            let mut looks_again = self.remaining();
            let is_over = self.is_over();
            if is_over || woken.is_some() || work.has_queued() {
                // On the heap, and gone while the request waits.
                let leases = Box::pin(self.look()).await?;
                if is_over || !leases.is_empty() {
                    return Ok(self.granted(leases));
                }
                // Others may have been quicker, or what waits may be kept from this worker for a while.
                if work.has_queued() {
                    looks_again = looks_again.min(LEASE_POLL);
                }
                // Another's turn, if there is more.
                drop(woken.take());
            }
            match self.wait(work, looks_again).await {
                None => {}
                // Somebody else's submission failed with it; it did nothing wrong and waits on.
                Some(ParkEnd::Leased(Err(LeaseError::Store(_))))
                    if !gateway.stopping.is_cancelled() =>
                {
                    tokio::time::sleep(LEASE_POLL).await;
                }
                Some(ParkEnd::Look(wake)) => woken = Some(wake),
                Some(ParkEnd::Leased(outcome)) => {
                    let leases = Box::pin(self.hand_out(outcome)).await?;
                    if !leases.is_empty() {
                        return Ok(self.granted(leases));
                    }
                }
            }
            if gateway.stopping.is_cancelled() {
                // Its session ends in the same moment; a wait that was in order ends in order.
                return Ok(Vec::new());
            }
        }
    }

    async fn look(&self) -> Result<Vec<Lease>, ApiProblem> {
        // Each time round: the session may have become stale while it waited.
        self.attested.fresh_session()?;
        let gateway = self.attested.gateway();
        let query = query(&self.attested, &self.request.operations, self.tasks_left);
        let outcome = gateway.timed("lease", gateway.store.lease(query)).await;
        self.hand_out(outcome).await
    }

    /// Waits so long for a commit that leases, or for its turn to look.
    async fn wait(&self, work: WorkWatch, length: Duration) -> Option<ParkEnd> {
        let gateway = self.attested.gateway();
        let mut parked = gateway.store.park(work, self.query_later());
        let ended = tokio::select! {
            biased;
            () = gateway.stopping.cancelled() => None,
            ended = parked.ended() => Some(ended),
            () = tokio::time::sleep(length) => None,
        };
        match ended {
            Some(ended) => Some(ended),
            None => Box::pin(parked.leave()).await,
        }
    }

    /// What to ask for once something is queued; nothing, if the session is stale by then.
    fn query_later(&self) -> impl Fn(&[OperationId]) -> Option<LeaseQuery> + Send + 'static {
        let (attested, tasks_max) = (self.attested.clone(), self.tasks_left);
        move |operations| {
            let is_fresh = attested.fresh_session().is_ok();
            is_fresh.then(|| query(&attested, operations, tasks_max))
        }
    }

    async fn hand_out(
        &self,
        outcome: Result<Vec<Lease>, LeaseError>,
    ) -> Result<Vec<Lease>, ApiProblem> {
        let (gateway, session) = (self.attested.gateway(), self.attested.session());
        match outcome {
            Ok(leases) => match hand_out(&gateway.store, session, leases, gateway.now_ms()).await {
                Some(leases) => Ok(leases),
                None => self.attested.fresh_session().map(|_| Vec::new()),
            },
            // To a draining worker the queue is empty; it asks on, and notices when it is wanted again.
            Err(LeaseError::Draining) => Ok(Vec::new()),
            Err(LeaseError::UnknownWorker) => {
                let detail = "the worker is not enrolled any more";
                Err(Problem::new(ProblemCode::NotFound, detail).into())
            }
            Err(LeaseError::Store(error)) => Err(error.into()),
        }
    }

    fn granted(&mut self, leases: Vec<Lease>) -> Vec<Lease> {
        self.tasks_left = self.tasks_left.saturating_sub(leases.len());
        let count = u64::try_from(leases.len()).unwrap_or(u64::MAX);
        self.attested.gateway().metrics.leased(count);
        leases
    }
}

fn query(
    attested: &AttestedConnection,
    operations: &[OperationId],
    tasks_max: usize,
) -> LeaseQuery {
    let gateway = attested.gateway();
    let times = (gateway.lease_duration_ms, gateway.now_ms());
    attested.session().lease_query(operations, tasks_max, times)
}

impl LiveSession {
    /// What to ask the store for, as this session is now.
    pub(crate) fn lease_query(
        &self,
        operations: &[OperationId],
        tasks_max: usize,
        (lease_duration_ms, now_ms): (u64, u64),
    ) -> LeaseQuery {
        LeaseQuery {
            worker: self.worker.clone(),
            session: self.id,
            operations: operations.to_vec(),
            traits: self.traits(),
            tasks_max,
            payload_bytes_max: LEASE_PAYLOAD_BYTES_MAX,
            lease_duration_ms,
            now_ms,
        }
    }
}

/// The session may have become stale while the lease waited for the writer: then no task byte leaves (`None`), and others
/// get the tasks at once.
async fn hand_out(
    store: &Store,
    session: &LiveSession,
    leases: Vec<Lease>,
    now_ms: u64,
) -> Option<Vec<Lease>> {
    if leases.is_empty() || !session.is_stale() {
        return Some(leases);
    }
    let nacks = leases.iter().map(given_back).collect();
    if let Err(error) = store.nack(&session.worker, nacks, now_ms).await {
        tracing::warn!(worker = %session.worker, %error, "leases that were not handed out must run out");
    }
    None
}

fn given_back(lease: &Lease) -> Nack {
    Nack {
        lease: LeaseRef {
            task: lease.task,
            fencing_token: lease.fencing_token,
        },
        fault: Fault {
            kind: FaultKind::Released,
            message: "the session became stale".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use protocol::task::TaskState;

    use super::*;
    use crate::store::tests::harness::{NOW_MS, Pool};
    use crate::worker::sessions::tests::session;

    #[tokio::test]
    async fn what_was_leased_while_the_session_ended_goes_back_without_an_attempt() {
        let mut pool = Pool::new().await;
        let worker = pool.worker("worker-1").await;
        let task = pool.submit().await;
        let session = session(&worker);
        let leases = pool.lease(&worker, 1).await;
        let leases = hand_out(&pool.store, &session, leases, NOW_MS)
            .await
            .unwrap();
        assert_eq!(pool.state(task).await, TaskState::Running);
        session.ended.cancel();
        assert_eq!(hand_out(&pool.store, &session, leases, NOW_MS).await, None);
        let view = pool.view(task).await;
        assert_eq!((view.state, view.attempts), (TaskState::Queued, 0));
    }
}
