//! One admitted connection: its control stream with heartbeats, renewals and re-attestation, and work beside it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agent::machine::Session;
use anyhow::{Context, Result};
use bytes::Bytes;
use channel::{
    AttestedWorker, ControlError, ControlSender, GatewayMessage, Outcome, WorkerDriver, WorkerHttp,
    WorkerMessage,
};
use protocol::control::{Heartbeat, Renew};
use protocol::limits::BATCH_TASKS_MAX;
use protocol::limits::HEARTBEAT_INTERVAL_S;
use protocol::telemetry::{GpuTelemetry, Telemetry};
use protocol::wire;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::tasks::{Held, Work};
use super::{Shared, Worker};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1).saturating_mul(HEARTBEAT_INTERVAL_S);

/// A connection that passed the gate.
pub(super) struct Connected {
    http: WorkerHttp,
    driver: WorkerDriver,
    session: Session,
}

impl Connected {
    pub(super) async fn start(
        attested: AttestedWorker,
        attestation: Option<String>,
    ) -> Result<Self> {
        let session = Session {
            id: attested.verdict().session_id.parse()?,
            attestation: attestation.context("no evidence was made")?,
        };
        let (http, driver) = attested.into_http2().await?;
        Ok(Self {
            http,
            driver,
            session,
        })
    }
}

/// Counts a session as long as it lives.
struct Admitted<'a>(&'a Shared);

impl<'a> Admitted<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.counts.admitted.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.counts.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Keeps the session until it ends.
pub(super) async fn keep(worker: &Arc<Worker>, connected: Connected) -> Result<(), ControlError> {
    let Connected {
        http,
        driver,
        session,
    } = connected;
    // Whatever ends the session ends what runs beside it.
    let mut beside = JoinSet::new();
    beside.spawn(async {
        let _ = driver.await;
    });
    let (sender, mut receiver) = http.open_control().await?;
    let _admitted = Admitted::new(&worker.shared);
    let held = Held::default();
    let work = Work::new(Arc::clone(worker), http.clone(), session, held.clone());
    let signing = work.signing();
    beside.spawn(work.lease_and_ack());
    let mut heartbeats = tokio::time::interval(HEARTBEAT_INTERVAL);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sequence = 0;
    let mut attesting = None;
    loop {
        tokio::select! {
            _ = beside.join_next() => return Err(ControlError::Closed),
            _ = heartbeats.tick() => {
                sequence += 1;
                say(&sender, &worker.heartbeat(sequence, &held), WorkerMessage::Heartbeat)?;
                worker.shared.counts.heartbeats.fetch_add(1, Ordering::Relaxed);
                for leases in held.leases().chunks(BATCH_TASKS_MAX) {
                    say(&sender, &Renew { leases: leases.to_vec() }, WorkerMessage::Renew)?;
                }
            }
            message = receiver.recv() => match message? {
                None | Some(GatewayMessage::Outcome(Outcome::Refused(_))) => return Ok(()),
                Some(GatewayMessage::AuthRequest(request)) => {
                    let attester = worker.evidence.attester(&worker.shared);
                    let Ok(answer) = http.rebinder().answer(&request, &attester).await else {
                        return Err(ControlError::Closed);
                    };
                    attesting = attester.attestation();
                    sender.try_send(WorkerMessage::Answer(answer))?;
                }
                Some(GatewayMessage::Outcome(Outcome::Admitted(_))) => {
                    worker.shared.counts.attestations.fetch_add(1, Ordering::Relaxed);
                    if let Some(attestation) = attesting.take() {
                        signing.readmitted(attestation);
                    }
                }
                // Tasks here last no longer than a cancellation takes to come.
                Some(GatewayMessage::Renewed(_) | GatewayMessage::Cancel(_) | GatewayMessage::Drain(_)) => {}
            },
        }
    }
}

fn say<T: Serialize>(
    sender: &ControlSender<WorkerMessage>,
    message: &T,
    wrap: fn(Bytes) -> WorkerMessage,
) -> Result<(), ControlError> {
    match wire::encode(message) {
        Ok(body) => sender.try_send(wrap(Bytes::from(body))),
        Err(_) => Err(ControlError::Closed),
    }
}

impl Worker {
    /// As large as that of a worker with a GPU.
    fn heartbeat(&self, sequence: u64, held: &Held) -> Heartbeat {
        Heartbeat {
            sequence,
            telemetry: Telemetry {
                tasks_held: u32::try_from(held.leases().len()).unwrap_or(u32::MAX),
                tasks_succeeded: sequence,
                tasks_failed: 0,
                executor_restarts: 0,
                quarantined: false,
                gpus: vec![GpuTelemetry {
                    uuid: format!("GPU-{}", self.enrolled.id),
                    name: "NVIDIA H100 80GB HBM3".to_owned(),
                    utilisation_percent: Some(97),
                    memory_used_bytes: Some(64 << 30),
                    memory_total_bytes: Some(80 << 30),
                    temperature_celsius: Some(61),
                    power_milliwatts: Some(640_000),
                    sm_clock_mhz: Some(1_980),
                    ecc_uncorrected_count: Some(0),
                }],
            },
        }
    }
}
