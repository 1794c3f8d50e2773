//! Carries out one worker connection's life: the gate, then the HTTP/2 server beside [`Driver`], which feeds the session's
//! state machine and does what it says. The only file of the worker listener that waits for several things at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use attestation::ErrorCode;
use axum::Router;
use bytes::Bytes;
use channel::{
    Answer, AttestedGateway, ControlReceiver, ControlSender, GatewayMessage, GatewayRebinder,
    GatewayTls, Outcome, WorkerMessage,
};
use protocol::control::{Cancel, Drain, Heartbeat, Renew, Renewed};
use protocol::limits::BATCH_TASKS_MAX;
use protocol::wire;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::connection::{AttestedConnection, ControlStream};
use super::reappraising::{Reappraised, Reappraising};
use super::router::routed;
use super::{Command, LiveSession};
use crate::admission::{Gate, Session, verdict};
use crate::gateway::{Gateway, random_u16};
use crate::session::{Action, Event, SessionLife};
use crate::store::{NewSession, RenewQuery};

/// How long a connection that ends may take to say so and to finish what is in flight.
const CLOSE_LINGER: Duration = Duration::from_secs(5);
/// How long the control stream may be full: some 30 messages and a megabyte that the worker has not read.
const CONTROL_SEND: Duration = Duration::from_secs(5);
/// The clock is looked at so often at least: the world's may run otherwise than the runtime's.
const TICK_MAX: Duration = Duration::from_secs(30);

/// Handshake and gate; `None` when the connection ended there.
pub(super) async fn admit(
    gateway: &Arc<Gateway>,
    tls: &GatewayTls,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<AttestedGateway<Session>> {
    let unattested = match tls.accept(stream).await {
        Ok(unattested) => unattested,
        Err(error) => {
            gateway.metrics.refused("handshake", error.code());
            tracing::debug!(%peer, code = %error.code(), error = crate::problem::chain(&error), "no handshake");
            return None;
        }
    };
    match unattested.attest(&Gate { gateway, peer }).await {
        Ok(admitted) => {
            gateway.metrics.admitted("gate");
            Some(admitted)
        }
        Err(error) => {
            gateway.metrics.refused("gate", error.code());
            tracing::info!(%peer, code = %error.code(), error = crate::problem::chain(&error), "not admitted");
            None
        }
    }
}

/// Serves an admitted connection until it ends.
pub(super) async fn drive(
    gateway: &Arc<Gateway>,
    router: Router,
    admitted: AttestedGateway<Session>,
) {
    let (session, http, rebinder) = admitted.into_parts();
    let (id, worker, peer, attested, life) = session.into_parts();
    let now_ms = gateway.now_ms();
    let trust_anchor = attested.trust_anchor.clone();
    let opened = gateway.sessions.open(id, peer, attested, life.deadline());
    let Some((open, commands)) = opened else {
        gateway.metrics.refused("gate", ErrorCode::Overloaded);
        tracing::warn!(%worker, "as many sessions as the gateway takes");
        return;
    };
    tracing::info!(%worker, session = %id, %peer, trust_anchor, "admitted");
    note_begin(gateway, &open, peer, now_ms).await;

    let (control, controls) = oneshot::channel();
    let connection = AttestedConnection::new(Arc::clone(gateway), Arc::clone(&open), control);
    let service = routed(router, connection);
    let closing = CancellationToken::new();
    let serve = http.serve(service, closing.clone().cancelled_owned());
    let mut serve = std::pin::pin!(serve);
    let driver = Driver {
        gateway,
        live: &open,
        rebinder,
        life,
        control: None,
        replacements: gateway.relying_party.in_force.replacements(),
        reappraising: Reappraising::default(),
    };
    let ending = tokio::select! {
        served = &mut serve => Ending::Connection(served.err().map(|error| crate::problem::chain(&error))),
        ending = driver.run(commands, controls) => ending,
    };
    // Whatever waits for work on a connection that ends must not be handed any, or a dead worker is leased to once more.
    open.mark_stale();
    closing.cancel();
    if !matches!(ending, Ending::Connection(_))
        && tokio::time::timeout(CLOSE_LINGER, serve).await.is_err()
    {
        tracing::debug!(%worker, session = %id, "the connection was cut");
    }
    gateway.sessions.close(&open);
    tracing::info!(%worker, session = %id, ?ending, "session ended");
    if let Err(error) = gateway.store.end_session(id, gateway.now_ms()).await {
        tracing::warn!(%worker, session = %id, %error, "the end of a session cannot be recorded");
    }
}

async fn note_begin(gateway: &Gateway, live: &LiveSession, peer: SocketAddr, admitted_ms: u64) {
    let session = NewSession {
        id: live.id,
        worker: live.worker.clone(),
        peer: peer.to_string(),
        admitted_ms,
    };
    if let Err(error) = gateway.store.begin_session(session).await {
        tracing::warn!(worker = %live.worker, %error, "the beginning of a session cannot be recorded");
    }
}

/// Why a session ended.
#[derive(Debug)]
#[expect(
    dead_code,
    reason = "what the variants carry is for the log, through Debug"
)]
enum Ending {
    /// The connection did, with an error or in order.
    Connection(Option<String>),
    /// The worker ended its control stream, or does not read it.
    Control,
    /// Its age, its attestation, or something malformed.
    Closed(ErrorCode),
    /// The worker connected again, or was deleted.
    Replaced,
    Stopping,
}

/// One session's life, event by event.
struct Driver<'a> {
    gateway: &'a Arc<Gateway>,
    live: &'a Arc<LiveSession>,
    rebinder: GatewayRebinder,
    life: SessionLife,
    control: Option<ControlSender<GatewayMessage>>,
    /// Of policy and collateral.
    replacements: watch::Receiver<u64>,
    reappraising: Reappraising,
}

impl Driver<'_> {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Box<Command>>,
        controls: oneshot::Receiver<ControlStream>,
    ) -> Ending {
        let mut controls = Some(controls);
        let mut receiver = None;
        loop {
            if let Err(ending) = self.poll_life().await {
                return ending;
            }
            let now = self.gateway.clock.monotonic();
            let wake = self.life.wakes_at().saturating_sub(now).min(TICK_MAX);
            let step = tokio::select! {
                biased;
                () = self.gateway.stopping.cancelled() => return Ending::Stopping,
                () = self.live.ended.cancelled() => return Ending::Replaced,
                Some(command) = commands.recv() => self.obey(*command).await,
                Some((sender, stream)) = handed_over(&mut controls) => {
                    receiver = Some(stream);
                    self.opened(sender).await
                }
                reappraised = self.reappraising.next() => match reappraised {
                    Ok(reappraised) => self.reappraised(reappraised).await,
                    Err(error) => {
                        tracing::error!(%error, worker = %self.live.worker, "a session's evidence was not appraised again");
                        return Ending::Closed(ErrorCode::Internal);
                    }
                },
                // The next turn sees what is outdated.
                Ok(()) = self.replacements.changed() => Ok(()),
                message = receive(&mut receiver) => match message {
                    Ok(Some(message)) => self.hear(message).await,
                    Ok(None) => return Ending::Control,
                    Err(code) => return Ending::Closed(code),
                },
                () = tokio::time::sleep(wake) => Ok(()),
            };
            if let Err(ending) = step {
                return ending;
            }
        }
    }

    async fn poll_life(&mut self) -> Result<(), Ending> {
        // Looked at each turn rather than told once: a session may open or attest while policy or collateral are replaced.
        // The count is read first, so that what is replaced after the look wakes the driver.
        let replacements = *self.replacements.borrow_and_update();
        if self.live.is_outdated() {
            self.happened(Event::Outdated { replacements }).await?;
        }
        while let Some(action) = self.life.poll(self.gateway.clock.monotonic()) {
            self.act(action).await?;
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<(), Ending> {
        match action {
            Action::Request => self.request().await,
            Action::Reappraise => {
                self.reappraise();
                Ok(())
            }
            Action::MarkStale => {
                tracing::warn!(worker = %self.live.worker, session = %self.live.id, "overdue to attest: the session is stale");
                self.live.mark_stale();
                Ok(())
            }
            Action::Close(code) => {
                self.live.mark_stale();
                // The worker may be gone already; the connection ends either way.
                let _ = self
                    .send(GatewayMessage::Outcome(Outcome::Refused(code)))
                    .await;
                Err(Ending::Closed(code))
            }
        }
    }

    /// Takes an event in and does what follows from it at once.
    async fn happened(&mut self, event: Event) -> Result<(), Ending> {
        let now = self.gateway.clock.monotonic();
        match self.life.handle(event, now) {
            Some(action) => self.act(action).await,
            None => Ok(()),
        }
    }

    /// Beside the connection's life: heartbeats and renewals must not wait behind ten thousand sessions.
    fn reappraise(&mut self) {
        let replacements = *self.replacements.borrow();
        let party = &self.gateway.relying_party;
        self.reappraising.start(party, self.live, replacements);
    }

    async fn reappraised(&mut self, reappraised: Reappraised) -> Result<(), Ending> {
        if reappraised.attestation != self.live.attested().key.attestation {
            // The worker attested in the meantime; the next turn looks at what is in force now.
            return self.happened(Event::Reappraised).await;
        }
        self.happened(reappraised.event).await
    }

    /// Asks for new evidence; without a control stream it is asked for when there is one.
    async fn request(&mut self) -> Result<(), Ending> {
        if self.control.is_none() {
            return Ok(());
        }
        let request = self
            .rebinder
            .request()
            .map_err(|error| Ending::Closed(error.code()))?;
        self.send(GatewayMessage::AuthRequest(request)).await
    }

    async fn obey(&mut self, command: Command) -> Result<(), Ending> {
        match command {
            Command::Cancel(leases) => {
                let body = encode(&Cancel { leases })?;
                self.send(GatewayMessage::Cancel(body)).await
            }
            Command::Drain(reason) => self.drain(reason).await,
        }
    }

    async fn drain(&mut self, reason: String) -> Result<(), Ending> {
        let body = encode(&Drain { reason })?;
        self.send(GatewayMessage::Drain(body)).await
    }

    async fn opened(&mut self, sender: ControlSender<GatewayMessage>) -> Result<(), Ending> {
        self.control = Some(sender);
        if self.life.awaits_evidence() {
            self.request().await?;
        }
        match self.gateway.store.is_draining(&self.live.worker).await {
            Ok(Some(true)) => self.drain("the worker was set to drain".to_owned()).await,
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(worker = %self.live.worker, %error, "the worker's record cannot be read");
                Ok(())
            }
        }
    }

    async fn hear(&mut self, message: WorkerMessage) -> Result<(), Ending> {
        match message {
            WorkerMessage::Heartbeat(body) => {
                let heartbeat: Heartbeat = decode(&body)?;
                self.live.heard(self.gateway.now_ms(), heartbeat.telemetry);
                // A sign of life asks for nothing.
                let _ = self
                    .life
                    .handle(Event::Heard, self.gateway.clock.monotonic());
                Ok(())
            }
            WorkerMessage::Renew(body) => self.renew(decode(&body)?).await,
            // On the heap: an appraisal's four kilobytes would otherwise be part of every session for its whole life.
            WorkerMessage::Answer(answer) => Box::pin(self.answer(answer)).await,
        }
    }

    async fn renew(&mut self, renew: Renew) -> Result<(), Ending> {
        if renew.leases.len() > BATCH_TASKS_MAX {
            return Err(Ending::Closed(ErrorCode::FrameMalformed));
        }
        let query = RenewQuery {
            worker: self.live.worker.clone(),
            leases: renew.leases,
            lease_duration_ms: self.gateway.lease_duration_ms,
            now_ms: self.gateway.now_ms(),
        };
        match self.gateway.store.renew(query).await {
            Ok(leases) => {
                let body = encode(&Renewed { leases })?;
                self.send(GatewayMessage::Renewed(body)).await
            }
            Err(error) => {
                // Unanswered, the worker asks again before its leases run out.
                tracing::warn!(worker = %self.live.worker, %error, "leases cannot be renewed");
                Ok(())
            }
        }
    }

    async fn answer(&mut self, answer: Answer) -> Result<(), Ending> {
        match self.appraise_again(answer).await {
            Ok(()) => {
                self.gateway.metrics.admitted("reattestation");
                let now = self.gateway.clock.monotonic();
                let verdict = verdict(&self.live.id.to_string(), &self.life, now);
                self.send(GatewayMessage::Outcome(Outcome::Admitted(verdict)))
                    .await
            }
            Err(code) if code.is_verifiers_own() => {
                tracing::warn!(worker = %self.live.worker, %code, title = code.title(), "no verdict on a session's new evidence; it is asked for again until its deadline");
                self.happened(Event::Undecided).await
            }
            Err(code) => {
                self.gateway.metrics.refused("reattestation", code);
                self.happened(Event::Refused(code)).await
            }
        }
    }

    async fn appraise_again(&mut self, answer: Answer) -> Result<(), ErrorCode> {
        let presented = self.rebinder.verify(answer).map_err(|error| error.code())?;
        let attested = self
            .gateway
            .relying_party
            .appraise(self.live.id, presented, Some(self.live.attested()))
            .await?;
        let random = random_u16()?;
        let now = self.gateway.clock.monotonic();
        // Accepted evidence asks for nothing.
        let _ = self.life.handle(Event::Attested { random }, now);
        self.live.attested_again(attested, self.life.deadline());
        Ok(())
    }

    async fn send(&mut self, message: GatewayMessage) -> Result<(), Ending> {
        let Some(control) = &self.control else {
            return Ok(());
        };
        // A worker that reads nothing must not keep its session's life from going on.
        match tokio::time::timeout(CONTROL_SEND, control.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::debug!(worker = %self.live.worker, %error, "the control stream ended");
                Err(Ending::Control)
            }
            Err(_) => {
                tracing::warn!(worker = %self.live.worker, "the worker does not read its control stream");
                Err(Ending::Control)
            }
        }
    }
}

/// The control stream, once it is there: a session has one, and a second one is told so by its handler.
async fn handed_over(
    controls: &mut Option<oneshot::Receiver<ControlStream>>,
) -> Option<ControlStream> {
    let Some(place) = controls else {
        return std::future::pending().await;
    };
    let control = place.await;
    *controls = None;
    control.ok()
}

/// The next message of the control stream; waits for ever while there is none.
async fn receive(
    receiver: &mut Option<ControlReceiver<WorkerMessage>>,
) -> Result<Option<WorkerMessage>, ErrorCode> {
    match receiver {
        Some(receiver) => receiver.recv().await.map_err(|error| error.code()),
        None => std::future::pending().await,
    }
}

fn encode<T: serde::Serialize>(message: &T) -> Result<Bytes, Ending> {
    wire::encode(message)
        .map(Bytes::from)
        .map_err(|_| Ending::Closed(ErrorCode::Internal))
}

fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Ending> {
    wire::decode(body, channel::FRAME_BODY_BYTES_MAX)
        .map_err(|_| Ending::Closed(ErrorCode::FrameMalformed))
}
