//! The work: leased in batches, digested here, acknowledged in batches under one signature each.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::machine::{Event, Finished, Session};
use agent::session::{Leasing, Offer, Requests};
use bytes::Bytes;
use channel::WorkerHttp;
use protocol::Sha256Digest;
use protocol::lease::{AckOutcome, LeaseRef};
use tokio::task::JoinSet;

use super::Worker;
use crate::load::clock::unix_ms;

/// After a request for work that failed.
const LEASE_PAUSE: Duration = Duration::from_millis(200);

/// What was leased and not yet acknowledged, by batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<BTreeMap<u64, Vec<LeaseRef>>>>);

impl Held {
    pub(super) fn leases(&self) -> Vec<LeaseRef> {
        self.lock().values().flatten().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<LeaseRef>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As what receipts are signed: the session, with the attestation in force.
#[derive(Debug, Clone)]
pub(super) struct Signing(Arc<Mutex<Session>>);

impl Signing {
    /// The gateway accepted new evidence.
    pub(super) fn readmitted(&self, attestation: String) {
        self.lock().attestation = attestation;
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session's work.
#[derive(Clone)]
pub(super) struct Work {
    worker: Arc<Worker>,
    requests: Requests,
    signing: Signing,
    held: Held,
}

impl Work {
    pub(super) fn new(worker: Arc<Worker>, http: WorkerHttp, session: Session, held: Held) -> Self {
        let operations = Arc::clone(&worker.shared.operations);
        Self {
            worker,
            requests: Requests::new(http, operations),
            signing: Signing(Arc::new(Mutex::new(session))),
            held,
        }
    }

    pub(super) fn signing(&self) -> Signing {
        self.signing.clone()
    }

    /// For ever. While one batch is on its way back the next is leased and computed.
    pub(super) async fn lease_and_ack(self) {
        let mut acking = JoinSet::new();
        let mut open: Option<Leasing> = None;
        for batch in 0.. {
            let tasks_max = self.worker.shared.tasks_max;
            let (event, more) = match open.take() {
                Some(open) => open.lease().await,
                None => self.requests.clone().lease(tasks_max).await,
            };
            open = more;
            match event {
                Event::Leased { offers, .. } if offers.is_empty() => {}
                Event::Leased { offers, .. } => {
                    let leases = offers.iter().map(|offer| offer.lease).collect();
                    self.held.lock().insert(batch, leases);
                    count(&self.worker.shared.counts.leased, offers.len());
                    let finished: Vec<_> = offers.into_iter().map(compute).collect();
                    let _ = acking.join_next().await;
                    acking.spawn(self.clone().ack(batch, finished));
                }
                _ => tokio::time::sleep(LEASE_PAUSE).await,
            }
        }
    }

    async fn ack(self, batch: u64, finished: Vec<Arc<Finished>>) {
        let shared = &self.worker.shared;
        let session = self.signing.lock().clone();
        let accepted = match self.worker.receipts.ack(&session, batch, &finished) {
            Ok(request) => match self.requests.ack(request).await {
                Event::Acked(Ok(outcomes)) => accepted(&outcomes),
                _ => 0,
            },
            Err(_) => 0,
        };
        count(&shared.counts.acknowledged, accepted);
        // The lease runs out and another worker gets the task: it is not lost, only late.
        count(&shared.counts.unacknowledged, finished.len() - accepted);
        shared.window.add_permits(accepted);
        self.held.lock().remove(&batch);
    }
}

fn accepted(outcomes: &[AckOutcome]) -> usize {
    let accepted = outcomes
        .iter()
        .filter(|outcome| **outcome == AckOutcome::Accepted);
    accepted.count()
}

fn count(counter: &std::sync::atomic::AtomicU64, more: usize) {
    counter.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// `sha256_batch`: the digest of each input, one after another.
fn compute(offer: Offer) -> Arc<Finished> {
    let started_ms = unix_ms();
    let digests = offer.inputs.iter().flatten();
    let output: Vec<u8> = digests
        .flat_map(|input| *Sha256Digest::of(input).as_bytes())
        .collect();
    Arc::new(Finished {
        offer: Arc::new(offer),
        sha256: Sha256Digest::of(&output),
        output: Bytes::from(output),
        started_ms,
        finished_ms: unix_ms(),
    })
}
