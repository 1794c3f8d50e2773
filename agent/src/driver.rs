//! Carries out what the [`Machine`] decides: the one `select!`, the one `JoinSet` of the worker.

mod live;
mod report;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use channel::{Answer, ControlError, GateError, GatewayMessage, HttpError, Outcome};
use protocol::lease::OperationId;
use protocol::telemetry::Telemetry as Readings;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::chain;
use crate::executor::Executor;
use crate::health::{Gauges, Health};
use crate::machine::{Action, Event, Failure, Finished, Machine, Session, Tick};
use crate::receipts::Receipts;
use crate::session::{ConnectError, Connected, Connector, Leasing};
use crate::systemd::ServiceManager;
use crate::telemetry::Telemetry;
use crate::world::World;
use live::{Control, Live, open_control};

/// The driver turns at least this often, so that probes and the watchdog can tell that it does.
const TURN_MAX: Duration = Duration::from_secs(5);
/// A child that was killed is reaped at once, and one that was told to end gets two seconds.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Executor answers taken in one turn.
const EVENTS_MAX: usize = 256;

/// What the driver works with.
#[derive(Debug)]
pub struct Parts {
    pub connector: Connector,
    pub receipts: Arc<Receipts>,
    pub operations: Arc<[OperationId]>,
    pub executor: Executor,
    pub executor_events: mpsc::Receiver<Event>,
    pub telemetry: Telemetry,
    pub health: Arc<Health>,
    pub gauges: Arc<Gauges>,
}

/// Why the driver ended otherwise than in order.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("a task of the driver panicked")]
    Panicked(#[source] JoinError),
    #[error("the executor's thread ended")]
    ExecutorThread,
}

/// What a spawned task brings back, with the number of the connection it ran on.
struct Done {
    connection: u64,
    what: What,
}

enum What {
    Connected(Box<Result<Connected, ConnectError>>),
    ConnectionEnded(Result<(), HttpError>),
    ControlOpen(Result<Control, ControlError>),
    Evidence(Result<(Answer, String), GateError>),
    Leased(Event, Option<Leasing>),
    Event(Event),
}

/// The worker's driver.
#[derive(Debug)]
pub struct Driver {
    machine: Machine,
    parts: Parts,
    world: World,
    started: Instant,
    tasks: JoinSet<Done>,
    live: Option<Live>,
    /// Number of the present connection; what older ones bring back is stale.
    connection: u64,
    /// Ack batches signed so far.
    batches: u64,
    heartbeats: u64,
    /// When the GPUs' metrics are due.
    gpus_at: Duration,
    manager: ServiceManager,
}

/// What woke the driver.
enum Woken {
    Control(Result<Option<GatewayMessage>, ControlError>),
    Done(Result<Done, JoinError>),
    Executor(usize),
    Gpus,
    Stop,
    Time,
}

impl Driver {
    #[must_use]
    pub fn new(machine: Machine, parts: Parts, world: World, started: Instant) -> Self {
        Self {
            machine,
            parts,
            world,
            started,
            tasks: JoinSet::new(),
            live: None,
            connection: 0,
            batches: 0,
            heartbeats: 0,
            gpus_at: Duration::ZERO,
            manager: ServiceManager::new(),
        }
    }

    /// Runs until the machine leaves, after `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), DriverError> {
        self.manager.ready();
        let mut stopping = false;
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            if self.turn().is_break() {
                return self.leave().await;
            }
            let wake_at = self.wake_at();
            let woken = tokio::select! {
                message = Live::receive(&mut self.live) => Woken::Control(message),
                Some(done) = self.tasks.join_next() => Woken::Done(done),
                count = self.parts.executor_events.recv_many(&mut events, EVENTS_MAX) => Woken::Executor(count),
                () = self.parts.telemetry.changed() => Woken::Gpus,
                () = shutdown.cancelled(), if !stopping => Woken::Stop,
                () = tokio::time::sleep_until(wake_at.into()) => Woken::Time,
            };
            match woken {
                Woken::Control(message) => self.control(message),
                Woken::Done(done) => self.done(done)?,
                Woken::Executor(0) => return Err(DriverError::ExecutorThread),
                Woken::Executor(_) => events.drain(..).for_each(|event| self.handle(event)),
                // A worker whose tasks run on the CPU attests no GPU.
                Woken::Gpus if self.parts.connector.evidence.has_gpus() => {
                    self.handle(Event::DevicesChanged);
                }
                Woken::Stop => {
                    stopping = true;
                    self.stop();
                }
                Woken::Gpus | Woken::Time => {}
            }
        }
    }

    fn stop(&mut self) {
        tracing::info!(
            tasks_held = self.machine.tasks_held(),
            "stopping: no new tasks; those that run finish"
        );
        self.manager.stopping();
        self.handle(Event::StopRequested);
    }

    /// Waits until the executor child is gone.
    async fn leave(mut self) -> Result<(), DriverError> {
        drop(self.live.take());
        self.tasks.shutdown().await;
        let closed = async {
            while let Some(event) = self.parts.executor_events.recv().await {
                if matches!(event, Event::RunnerClosed) {
                    break;
                }
            }
        };
        if timeout(CLOSE_LIMIT, closed).await.is_ok() {
            tracing::info!("stopped");
        } else {
            // The child ends by itself when this process does.
            tracing::warn!("stopped without waiting for the executor child");
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        (self.world.monotonic)().saturating_duration_since(self.started)
    }

    fn tick(&self) -> Tick {
        Tick {
            now: self.now(),
            random: (self.world.random)(),
        }
    }

    fn handle(&mut self, event: Event) {
        self.machine.handle(self.tick(), event);
    }

    fn wake_at(&self) -> Instant {
        let now = self.now();
        let wake_at = [self.machine.wake_at(now), self.manager.wake_at()]
            .into_iter()
            .flatten()
            .fold(now.saturating_add(TURN_MAX), Duration::min);
        self.started.checked_add(wake_at).unwrap_or(self.started)
    }

    /// One decision and everything that follows from it.
    fn turn(&mut self) -> ControlFlow<()> {
        let tick = self.tick();
        for action in self.machine.poll(tick) {
            self.carry_out(action)?;
        }
        self.report(tick);
        ControlFlow::Continue(())
    }
}

/// Actions.
impl Driver {
    fn carry_out(&mut self, action: Action) -> ControlFlow<()> {
        match action {
            Action::Connect => self.connect(),
            Action::Disconnect => self.disconnect("the devices changed", false),
            Action::StartRunner => self.parts.executor.start(),
            Action::Canary => self.parts.executor.canary(),
            Action::Run(works) => self.parts.executor.run(works),
            Action::KillRunner => self.parts.executor.kill(),
            Action::CloseRunner => self.parts.executor.close(),
            Action::Leave { abandoned } => {
                if abandoned > 0 {
                    tracing::warn!(
                        abandoned,
                        "the deadline has passed; the gateway will hand these tasks out again"
                    );
                }
                return ControlFlow::Break(());
            }
            action => self.carry_out_live(action),
        }
        ControlFlow::Continue(())
    }

    fn connect(&mut self) {
        self.connection = self.connection.saturating_add(1);
        let connector = self.parts.connector.clone();
        self.spawn(async move { What::Connected(Box::new(connector.connect().await)) });
    }

    /// The machine asks for these only while the connection is up.
    fn carry_out_live(&mut self, action: Action) {
        let Some(live) = &mut self.live else { return };
        let requests = live.requests();
        let connection = self.connection;
        let event = move |event| Done {
            connection,
            what: What::Event(event),
        };
        match action {
            Action::Heartbeat(readings) => self.heartbeat(readings),
            Action::Renew(leases) => live.renew(leases),
            Action::SendEvidence => live.send_evidence(),
            Action::Lease { tasks_max } => self.lease(requests.lease(tasks_max)),
            Action::AbandonLease => live.abandon_lease(),
            Action::Fetch(offer) => {
                self.tasks
                    .spawn(async move { event(requests.fetch(offer).await) });
            }
            Action::Upload(finished) => {
                self.tasks
                    .spawn(async move { event(requests.upload(finished).await) });
            }
            Action::Ack { session, finished } => self.ack(session, finished),
            Action::Nack(nacks) => {
                self.tasks
                    .spawn(async move { event(requests.nack(nacks).await) });
            }
            Action::Connect
            | Action::Disconnect
            | Action::StartRunner
            | Action::Canary
            | Action::Run(_)
            | Action::KillRunner
            | Action::CloseRunner
            | Action::Leave { .. } => {}
        }
    }

    fn heartbeat(&mut self, mut readings: Readings) {
        readings.gpus = self.parts.telemetry.latest();
        self.heartbeats = self.heartbeats.saturating_add(1);
        if let Some(live) = &self.live {
            live.heartbeat(self.heartbeats, readings);
        }
    }

    /// Leaves and signature are made beside the driver: a full batch digests megabytes.
    fn ack(&mut self, session: Session, finished: Vec<Arc<Finished>>) {
        let Some(live) = &self.live else { return };
        let (requests, receipts, batch) = (
            live.requests(),
            Arc::clone(&self.parts.receipts),
            self.batches,
        );
        self.batches = self.batches.saturating_add(1);
        self.spawn(async move {
            What::Event(match receipts.ack(&session, batch, &finished) {
                Ok(request) => requests.ack(request).await,
                Err(error) => {
                    tracing::error!(error = chain(&error), "an ack batch cannot be signed");
                    Event::Acked(Err(Failure::Retry))
                }
            })
        });
    }

    /// Waits for what comes next of a request for tasks.
    fn lease(&mut self, next: impl Future<Output = (Event, Option<Leasing>)> + Send + 'static) {
        let leasing = self.spawn(async move {
            let (event, open) = next.await;
            What::Leased(event, open)
        });
        if let Some(live) = &mut self.live {
            live.leasing(leasing);
        }
    }

    fn spawn(&mut self, task: impl Future<Output = What> + Send + 'static) -> AbortHandle {
        let connection = self.connection;
        self.tasks.spawn(async move {
            Done {
                connection,
                what: task.await,
            }
        })
    }
}

/// What comes back.
impl Driver {
    fn done(&mut self, done: Result<Done, JoinError>) -> Result<(), DriverError> {
        let done = match done {
            Ok(done) => done,
            Err(error) if error.is_cancelled() => return Ok(()),
            Err(error) => return Err(DriverError::Panicked(error)),
        };
        if done.connection != self.connection {
            return Ok(());
        }
        match done.what {
            What::Connected(connected) => self.connected(*connected),
            What::ConnectionEnded(ended) => {
                let reason = ended
                    .err()
                    .map_or("the gateway closed it".to_owned(), |error| chain(&error));
                self.disconnect(&reason, false);
            }
            What::ControlOpen(Ok(control)) => self.control_open(control),
            What::ControlOpen(Err(error)) => self.disconnect(&chain(&error), false),
            What::Evidence(evidence) => self.evidence(evidence),
            What::Leased(event, open) => {
                // It may have been given up meanwhile.
                if let Some(open) = open
                    && self.live.as_ref().is_some_and(Live::is_leasing)
                {
                    self.lease(open.lease());
                }
                self.handle(event);
            }
            What::Event(event) => self.handle(event),
        }
        Ok(())
    }

    fn connected(&mut self, connected: Result<Connected, ConnectError>) {
        let connected = match connected {
            Ok(connected) => connected,
            Err(error) => {
                log_refusal(&error);
                return self.handle(Event::ConnectFailed {
                    slow: error.wants_slow_retry(),
                });
            }
        };
        tracing::info!(
            session = %connected.session.id,
            attestation = connected.session.attestation,
            reattest_by_s = connected.reattest_by_s,
            "admitted by the gateway"
        );
        let (connection, driver) = (self.connection, connected.driver);
        let running = self.tasks.spawn(async move {
            Done {
                connection,
                what: What::ConnectionEnded(driver.await),
            }
        });
        let http = connected.http.clone();
        self.spawn(async move { What::ControlOpen(open_control(http).await) });
        self.live = Some(Live::new(
            connected.http,
            connected.session,
            &self.parts.operations,
            running,
        ));
    }

    /// Only now can the gateway reach the worker: the session begins.
    fn control_open(&mut self, control: Control) {
        if let Some(live) = &mut self.live {
            let session = live.control_open(control);
            self.handle(Event::Connected(session));
        }
    }

    fn disconnect(&mut self, reason: &str, slow: bool) {
        tracing::warn!(reason, "the connection to the gateway is down");
        self.live = None;
        // Whatever the old connection's requests still bring back is stale from here on.
        self.connection = self.connection.saturating_add(1);
        self.handle(Event::Disconnected { slow });
    }

    fn control(&mut self, message: Result<Option<GatewayMessage>, ControlError>) {
        match message {
            Ok(Some(GatewayMessage::AuthRequest(request))) => self.attest_again(request),
            Ok(Some(GatewayMessage::Outcome(outcome))) => self.outcome(&outcome),
            Ok(Some(message)) => match live::read(message) {
                Ok(event) => self.handle(event),
                Err(error) => self.disconnect(&chain(&error), false),
            },
            Ok(None) => self.disconnect("the gateway ended the control stream", false),
            Err(error) => self.disconnect(&chain(&error), false),
        }
    }

    fn attest_again(&mut self, request: channel::AuthRequest) {
        let Some(live) = &self.live else { return };
        let (rebinder, attester) = (live.rebinder(), self.parts.connector.evidence.attester());
        self.spawn(async move {
            let answered = rebinder.answer(&request, &attester).await;
            What::Evidence(
                answered.map(|answer| (answer, attester.attestation().unwrap_or_default())),
            )
        });
    }

    fn evidence(&mut self, evidence: Result<(Answer, String), GateError>) {
        match (evidence, &mut self.live) {
            (Ok((answer, attestation)), Some(live)) => {
                live.evidence_ready(answer, attestation);
                self.handle(Event::EvidenceReady);
            }
            // Without an answer the gateway lets the session grow stale, then closes it; the next try is a new connection.
            (Err(error), _) => {
                tracing::error!(code = %error.code(), error = chain(&error), "cannot attest again");
            }
            (Ok(_), None) => {}
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Admitted(verdict) => {
                let attestation = self.live.as_mut().and_then(Live::attestation_in_force);
                tracing::info!(
                    reattest_by_s = verdict.reattest_by_s,
                    attestation,
                    "attested again"
                );
                if let Some(attestation) = attestation {
                    self.handle(Event::Readmitted { attestation });
                }
            }
            Outcome::Refused(code) => {
                tracing::error!(%code, title = code.title(), remedy = code.remedy(), "the gateway refused to admit this worker again");
                self.disconnect("refused", code.wants_slow_retry());
            }
        }
    }
}

/// A code's title and remedy are what an operator needs first.
fn log_refusal(error: &ConnectError) {
    if let Some(code) = error.code() {
        tracing::error!(%code, title = code.title(), remedy = code.remedy(), error = chain(error), "not admitted");
    } else {
        tracing::error!(error = chain(error), "not connected");
    }
}
