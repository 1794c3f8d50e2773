//! `POST /v1/lease`: tasks for a worker, waiting for the first one when there is none.

use std::time::Duration;

use protocol::lease::{
    Fault, FaultKind, Lease, LeaseRef, LeaseRequest, LeaseResponse, Nack, OperationId,
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

pub(super) async fn lease(
    attested: AttestedConnection,
    Cbor(request): Cbor<LeaseRequest>,
) -> Result<Cbor<LeaseResponse>, ApiProblem> {
    let tasks_max = parse(&request)?;
    let gateway = attested.gateway();
    attested
        .fresh_session()?
        .asked(&request.operations, gateway.now_ms());
    let ends_at = gateway
        .clock
        .monotonic()
        .saturating_add(Duration::from_millis(u64::from(request.wait_ms)));
    let wish = Wish {
        attested: &attested,
        request: &request,
        tasks_max,
    };
    let mut woken: Option<Wake> = None;
    loop {
        // Waits before it looks, so that a task queued in between is not missed.
        let traits = attested.fresh_session()?.traits();
        let work = gateway.store.watch_work(&request.operations, &traits);
        let remaining = ends_at.saturating_sub(gateway.clock.monotonic());
        let is_over = remaining.is_zero() || gateway.stopping.is_cancelled();
        let mut looks_again = remaining;
        if is_over || woken.is_some() || work.has_queued() {
            // On the heap, and gone while the request waits, as ten thousand of them do nearly always.
            let leases = Box::pin(wish.look()).await?;
            if is_over || !leases.is_empty() {
                return Ok(wish.granted(leases));
            }
            // Others may have been quicker, or what waits may be kept from this worker for a while.
            if work.has_queued() {
                looks_again = looks_again.min(LEASE_POLL);
            }
            // Another's turn, if there is more.
            drop(woken.take());
        }
        match wish.wait(work, looks_again).await {
            None => {}
            // Somebody else's submission failed with it; it did nothing wrong and waits on.
            Some(ParkEnd::Leased(Err(LeaseError::Store(_))))
                if !gateway.stopping.is_cancelled() =>
            {
                tokio::time::sleep(LEASE_POLL).await;
            }
            Some(ParkEnd::Look(wake)) => woken = Some(wake),
            Some(ParkEnd::Leased(outcome)) => {
                let leases = Box::pin(wish.hand_out(outcome)).await?;
                if !leases.is_empty() {
                    return Ok(wish.granted(leases));
                }
            }
        }
        if gateway.stopping.is_cancelled() {
            // Its session ends in the same moment; a wait that was in order ends in order.
            return Ok(wish.granted(Vec::new()));
        }
    }
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
struct Wish<'r> {
    attested: &'r AttestedConnection,
    request: &'r LeaseRequest,
    tasks_max: usize,
}

impl Wish<'_> {
    async fn look(&self) -> Result<Vec<Lease>, ApiProblem> {
        // Each time round: the session may have become stale while it waited.
        self.attested.fresh_session()?;
        let gateway = self.attested.gateway();
        let query = query(self.attested, &self.request.operations, self.tasks_max);
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
        let (attested, tasks_max) = (self.attested.clone(), self.tasks_max);
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

    fn granted(&self, leases: Vec<Lease>) -> Cbor<LeaseResponse> {
        let count = u64::try_from(leases.len()).unwrap_or(u64::MAX);
        self.attested.gateway().metrics.leased(count);
        Cbor(LeaseResponse { leases })
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
