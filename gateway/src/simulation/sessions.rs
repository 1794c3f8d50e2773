//! The gateway's end of the workers' connections: admission, the routes of an attested connection, the life of a session.
//! What `worker::driver` does with a network, this does without one, with the same parts.

use std::sync::Arc;

use agent::machine::{Event, FetchFailure, Session};
use attestation::ErrorCode;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Request};
use protocol::lease::{
    Ack, AckOutcome, AckRequest, AckResponse, LeaseRef, NackRequest, NackResponse,
};
use protocol::limits::WORKER_BODY_BYTES_MAX;
use protocol::receipt::{Leaf, ReceiptKey};
use protocol::{SessionId, wire};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::Simulation;
use super::ledger::{Checked, ensure};
use super::network::{Post, What, failure};
use super::plan::Sabotage;
use super::pool::{Answer, Forge, exchange};
use super::worker::{Connection, Letter, Shown};
use crate::admission::Attested;
use crate::receipts::AttestedKey;
use crate::session::{Action, Event as LifeEvent, Schedule, SessionLife};
use crate::store::{NewAttestation, NewSession, RenewQuery};
use crate::worker::{Command, LiveSession, session_router};

/// A connection that was admitted.
pub(super) struct Served {
    pub(super) session: Arc<LiveSession>,
    life: SessionLife,
    commands: mpsc::Receiver<Box<Command>>,
    router: Router,
}

impl Simulation {
    /// A message of a worker arrives. What it is answered with goes out, unless the gateway dies of it.
    pub(super) async fn arrives(&mut self, post: Post) -> Checked {
        if !self.pool.is_up() {
            if matches!(post.letter, Letter::Connect(_)) {
                self.answer(&post, Event::ConnectFailed { slow: false });
            }
            return Ok(());
        }
        let event = match &post.letter {
            Letter::Connect(shown) => self.connects(post.connection, &Arc::clone(shown)).await,
            _ if self.served.contains_key(&post.connection) => self.serves(&post).await?,
            // The connection is gone, and so is what comes over it.
            _ => None,
        };
        if self.dies_now().await? {
            self.crash();
            return Ok(());
        }
        if let Some(event) = event {
            self.answer(&post, event);
        }
        Ok(())
    }

    /// The gate, from the evidence on.
    async fn connects(&mut self, connection: Connection, shown: &Shown) -> Option<Event> {
        let gateway = Arc::clone(self.pool.gateway());
        let now_ms = gateway.now_ms();
        let id = SessionId::from_parts(now_ms, u128::from(self.dice.bits()));
        let attested = match self.appraises(connection.worker, id, shown, None).await {
            Ok(attested) => attested,
            Err(code) => {
                self.tally.refused += 1;
                let slow = code.wants_slow_retry();
                return Some(Event::ConnectFailed { slow });
            }
        };
        let random = u16::try_from(self.dice.between(0..=65_535)).unwrap();
        let schedule: Schedule = gateway.schedule;
        let life = SessionLife::new(schedule, gateway.clock.monotonic(), random);
        let peer = "127.0.0.1:1".parse().unwrap();
        let (worker, attestation) = (attested.worker.clone(), shown.attestation.clone());
        let (session, commands) = gateway.sessions.open(id, peer, attested, life.deadline())?;
        let begun = NewSession {
            id,
            worker: worker.clone(),
            peer: session.view().peer,
            admitted_ms: now_ms,
        };
        gateway.store.begin_session(begun).await.unwrap();
        let served = Served {
            router: session_router(&gateway, &session),
            session,
            life,
            commands,
        };
        self.served.insert(connection, served);
        self.tally.sessions += 1;
        let record = gateway.store.worker(&worker).await.unwrap();
        if record.is_some_and(|record| record.draining) {
            self.tell(connection, What::Said(Event::Drained));
        }
        Some(Event::Connected(Session { id, attestation }))
    }

    /// By the relying party where the run is attested; elsewhere what it would have said of an honest worker.
    async fn appraises(
        &mut self,
        worker: usize,
        session: SessionId,
        shown: &Shown,
        former: Option<Attested>,
    ) -> Result<Attested, ErrorCode> {
        let gateway = self.pool.gateway();
        if let Some((evidence, binding)) = &shown.evidence {
            let (evidence, binding) = (evidence.clone(), binding.clone());
            let party = &gateway.relying_party;
            self.tally.appraised += 1;
            return party
                .appraise_evidence(session, evidence, binding, former)
                .await;
        }
        let id = &self.workers[worker].id;
        let record = gateway.store.worker(id).await.unwrap();
        let record = record.ok_or(ErrorCode::WorkerUnknown)?;
        let attestation = NewAttestation {
            id: shown.attestation.clone(),
            worker: record.id.clone(),
            session,
            record: b"{}".to_vec(),
            recorded_ms: gateway.now_ms(),
        };
        gateway.store.record_attestation(attestation).await.unwrap();
        let receipt_key = ReceiptKey::from_spki(&shown.receipt_key_spki).unwrap();
        Ok(Attested {
            worker: record.id,
            key: AttestedKey {
                attestation: shown.attestation.clone(),
                receipt_key,
                module_digest: Forge::shared().module,
                executor: "cpu".to_owned(),
                gpu_uuids: Vec::new(),
            },
            at_ms: gateway.now_ms(),
            appraised_ms: gateway.now_ms(),
            tcb_status: "UpToDate".to_owned(),
            tcb_grace_ends_ms: None,
            devices: Vec::new(),
            advisory_ids: Vec::new(),
            trust_anchor: "simulated".to_owned(),
            executor: "cpu".to_owned(),
            collateral_grace_used_s: 0,
            gpus: Vec::new(),
            boot_id: shown.boot_id,
            sequence: shown.sequence,
            grounds: Forge::shared().grounds,
        })
    }

    async fn serves(&mut self, post: &Post) -> Checked<Option<Event>> {
        match &post.letter {
            Letter::Lease { .. } => self.leases(post).await,
            Letter::Ack(request) => self.acks(post, request).await,
            Letter::Nack(nacks) => {
                let message = NackRequest {
                    nacks: nacks.clone(),
                };
                let answer = self.posts(post, "/v1/nack", &message).await;
                if !answer.status.is_success() {
                    let failure = failure(answer.status, answer.text());
                    return Ok(Some(Event::Nacked(Err(failure))));
                }
                let outcomes = cbor::<NackResponse>(&answer).outcomes;
                let worker = self.workers[post.connection.worker].id.clone();
                self.ledger.nacked(&worker, nacks, &outcomes)?;
                Ok(Some(Event::Nacked(Ok(()))))
            }
            Letter::Fetch(offer) => Ok(Some(self.fetches(post, &Arc::clone(offer)).await)),
            Letter::Upload(finished) => {
                let request = Request::builder()
                    .method(Method::PUT)
                    .uri(format!("/v1/outputs/{}", finished.sha256))
                    .header(CONTENT_LENGTH, finished.output.len())
                    .body(Body::from(finished.output.clone()));
                let answer = self.exchanges(post, request.unwrap()).await;
                let result = if answer.status.is_success() {
                    Ok(())
                } else {
                    Err(failure(answer.status, answer.text()))
                };
                let lease = finished.offer.lease;
                Ok(Some(Event::Uploaded { lease, result }))
            }
            Letter::Heartbeat(telemetry) => {
                let gateway = Arc::clone(self.pool.gateway());
                if let Some(served) = self.served.get_mut(&post.connection) {
                    served.session.heard(gateway.now_ms(), telemetry.clone());
                    served
                        .life
                        .handle(LifeEvent::Heard, gateway.clock.monotonic());
                }
                Ok(None)
            }
            Letter::Renew(leases) => self.renews(post, leases.clone()).await,
            Letter::Evidence(shown) => {
                self.attests_again(post.connection, &Arc::clone(shown))
                    .await;
                Ok(None)
            }
            Letter::Connect(_) => Ok(None),
        }
    }

    async fn acks(&mut self, post: &Post, request: &AckRequest) -> Checked<Option<Event>> {
        let output = |ack: &Ack| Leaf::decode(&ack.leaf).unwrap().output;
        let acks: Vec<_> = request
            .acks
            .iter()
            .map(|ack| (ack.lease, output(ack)))
            .collect();
        let sabotage = self.plan.sabotage;
        let image = (sabotage == Some(Sabotage::ForgetsAck)).then(|| self.pool.image());
        let answer = self.posts(post, "/v1/ack", request).await;
        if !answer.status.is_success() {
            // An honest worker's batch is stale at worst.
            ensure(answer.status.as_u16() == 503, || {
                format!("an honest batch was refused: {}", answer.text())
            })?;
            let failure = failure(answer.status, answer.text());
            return Ok(Some(Event::Acked(Err(failure))));
        }
        let mut outcomes = cbor::<AckResponse>(&answer).outcomes;
        if sabotage == Some(Sabotage::AcceptsTwice) {
            for outcome in &mut outcomes {
                if *outcome == AckOutcome::Superseded {
                    *outcome = AckOutcome::Accepted;
                }
            }
        }
        let worker = self.workers[post.connection.worker].id.clone();
        self.ledger.acked(&worker, &acks, &outcomes)?;
        self.tally.acked(&outcomes);
        if let Some(image) = image {
            self.forget(&image);
        }
        Ok(Some(Event::Acked(Ok(outcomes))))
    }

    async fn renews(&mut self, post: &Post, leases: Vec<LeaseRef>) -> Checked<Option<Event>> {
        let gateway = self.pool.gateway();
        let worker = self.workers[post.connection.worker].id.clone();
        let query = RenewQuery {
            worker: worker.clone(),
            leases,
            lease_duration_ms: gateway.lease_duration_ms,
            now_ms: gateway.now_ms(),
        };
        let now_ms = query.now_ms;
        let renewed = gateway.store.renew(query).await.unwrap();
        self.ledger.renewed(&worker, &renewed, now_ms)?;
        self.tell(post.connection, What::Said(Event::Renewed(renewed)));
        Ok(None)
    }

    async fn fetches(&mut self, post: &Post, offer: &agent::session::Offer) -> Event {
        let lease = offer.lease;
        let mut inputs = Vec::new();
        for (index, input) in offer.inputs.iter().enumerate() {
            let Some(bytes) = input else {
                let request = Request::builder()
                    .uri(format!("/v1/tasks/{}/inputs/{index}", lease.task))
                    .header("fencing-token", lease.fencing_token.0)
                    .body(Body::empty());
                let answer = self.exchanges(post, request.unwrap()).await;
                if !answer.status.is_success() {
                    let result = match answer.status.as_u16() {
                        404 | 409 | 410 => Err(FetchFailure::LeaseLost),
                        _ => Err(FetchFailure::Retry),
                    };
                    return Event::Fetched { lease, result };
                }
                offer.verify_input(index, &answer.body).unwrap();
                inputs.push(answer.body);
                continue;
            };
            inputs.push(bytes.clone());
        }
        let result = offer.work(inputs).map_err(FetchFailure::Fault);
        Event::Fetched { lease, result }
    }

    pub(super) async fn posts<T: Serialize>(
        &mut self,
        post: &Post,
        path: &str,
        message: &T,
    ) -> Answer {
        let body = wire::encode(message).unwrap();
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(CONTENT_TYPE, wire::MEDIA_TYPE)
            .header(CONTENT_LENGTH, body.len())
            .body(Body::from(Bytes::from(body)));
        self.exchanges(post, request.unwrap()).await
    }

    async fn exchanges(&mut self, post: &Post, request: Request<Body>) -> Answer {
        exchange(&self.served[&post.connection].router, request).await
    }
}

/// The life of sessions.
impl Simulation {
    async fn attests_again(&mut self, connection: Connection, shown: &Shown) {
        let Some(served) = self.served.get(&connection) else {
            return;
        };
        let (session, former) = (served.session.id, served.session.attested());
        let attested = self
            .appraises(connection.worker, session, shown, Some(former))
            .await;
        let random = u16::try_from(self.dice.between(0..=65_535)).unwrap();
        let now = self.pool.gateway().clock.monotonic();
        let Some(served) = self.served.get_mut(&connection) else {
            return;
        };
        match attested {
            Ok(attested) => {
                served.life.handle(LifeEvent::Attested { random }, now);
                served
                    .session
                    .attested_again(attested, served.life.deadline());
                let attestation = shown.attestation.clone();
                self.tally.reattested += 1;
                self.tell(connection, What::Said(Event::Readmitted { attestation }));
            }
            Err(code) => {
                self.tally.refused += 1;
                if served.life.handle(LifeEvent::Refused(code), now).is_some() {
                    self.closes(connection).await;
                }
            }
        }
    }

    /// What every session's driver would do by now.
    pub(super) async fn session_turns(&mut self) {
        for connection in std::mem::take(&mut self.broken) {
            // A machine that lost its network says nothing.
            if self.is_calm || !self.dice.in_1000(150) {
                self.closes(connection).await;
            } else {
                self.tally.half_open += 1;
            }
        }
        let now = self.pool.gateway().clock.monotonic();
        let connections: Vec<_> = self.served.keys().copied().collect();
        for connection in connections {
            let Some(served) = self.served.get_mut(&connection) else {
                continue;
            };
            let mut said = Vec::new();
            while let Ok(command) = served.commands.try_recv() {
                said.push(What::Said(match *command {
                    Command::Cancel(leases) => Event::Cancelled(leases),
                    Command::Drain(_) => Event::Drained,
                }));
            }
            let mut closes = served.session.ended.is_cancelled();
            while let Some(action) = served.life.poll(now) {
                match action {
                    Action::Request => said.push(What::Asked),
                    // Neither policy nor collateral is replaced here.
                    Action::Reappraise => {}
                    Action::MarkStale => served.session.mark_stale(),
                    Action::Close(_) => closes = true,
                }
            }
            for what in said {
                self.tell(connection, what);
            }
            if closes {
                self.closes(connection).await;
            }
        }
    }

    pub(super) async fn closes(&mut self, connection: Connection) {
        let Some(served) = self.served.remove(&connection) else {
            return;
        };
        self.leaves(connection);
        let gateway = self.pool.gateway();
        served.session.mark_stale();
        gateway.sessions.close(&served.session);
        let ended = gateway
            .store
            .end_session(served.session.id, gateway.now_ms());
        ended.await.unwrap();
        self.tell(connection, What::Disconnected);
    }
}

pub(super) fn cbor<T: DeserializeOwned>(answer: &Answer) -> T {
    wire::decode(&answer.body, WORKER_BODY_BYTES_MAX).unwrap()
}
