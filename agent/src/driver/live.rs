//! The connection that is up: its requests, its control stream, and an answer that waits to be sent.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use channel::{
    Answer, ControlError, ControlReceiver, ControlSender, GatewayMessage, WorkerHttp,
    WorkerMessage, WorkerRebinder,
};
use protocol::control::{Cancel, Drain, Heartbeat, Renew, Renewed};
use protocol::lease::{LeaseRef, OperationId};
use protocol::telemetry::Telemetry;
use protocol::wire::{self, WireError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::machine::{Event, Session};
use crate::session::Requests;

/// The gateway answers at once or not at all.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// The channel's own limit on a frame.
const BODY_BYTES_MAX: usize = channel::FRAME_BODY_BYTES_MAX;

/// Both halves of a control stream.
pub(super) type Control = (
    ControlSender<WorkerMessage>,
    ControlReceiver<GatewayMessage>,
);

/// Opens the control stream of a new connection.
pub(super) async fn open_control(http: WorkerHttp) -> Result<Control, ControlError> {
    timeout(OPEN_LIMIT, http.open_control())
        .await
        .unwrap_or(Err(ControlError::Closed))
}

/// An admitted connection. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Live {
    http: WorkerHttp,
    requests: Requests,
    session: Session,
    control: Option<Control>,
    /// Evidence for the gateway's latest request, and its attestation id.
    answer: Option<Answer>,
    attestation: Option<String>,
    leasing: Option<AbortHandle>,
    running: AbortHandle,
}

impl Live {
    pub(super) fn new(
        http: WorkerHttp,
        session: Session,
        operations: &Arc<[OperationId]>,
        running: AbortHandle,
    ) -> Self {
        Self {
            requests: Requests::new(http.clone(), Arc::clone(operations)),
            http,
            session,
            control: None,
            answer: None,
            attestation: None,
            leasing: None,
            running,
        }
    }

    /// The next message of the control stream; never, while there is none. Cancel-safe.
    pub(super) async fn receive(
        live: &mut Option<Self>,
    ) -> Result<Option<GatewayMessage>, ControlError> {
        match live.as_mut().and_then(|live| live.control.as_mut()) {
            Some((_, receiver)) => receiver.recv().await,
            None => pending().await,
        }
    }

    pub(super) fn requests(&self) -> Requests {
        self.requests.clone()
    }

    pub(super) fn rebinder(&self) -> WorkerRebinder {
        self.http.rebinder()
    }

    pub(super) fn control_open(&mut self, control: Control) -> Session {
        self.control = Some(control);
        self.session.clone()
    }

    pub(super) fn leasing(&mut self, leasing: AbortHandle) {
        self.leasing = Some(leasing);
    }

    /// Whether the latest request for tasks has not been given up.
    pub(super) fn is_leasing(&self) -> bool {
        self.leasing.is_some()
    }

    pub(super) fn abandon_lease(&mut self) {
        if let Some(leasing) = self.leasing.take() {
            leasing.abort();
        }
    }

    pub(super) fn heartbeat(&self, sequence: u64, telemetry: Telemetry) {
        self.say(
            &Heartbeat {
                sequence,
                telemetry,
            },
            WorkerMessage::Heartbeat,
        );
    }

    pub(super) fn renew(&self, leases: Vec<LeaseRef>) {
        self.say(&Renew { leases }, WorkerMessage::Renew);
    }

    pub(super) fn evidence_ready(&mut self, answer: Answer, attestation: String) {
        self.answer = Some(answer);
        self.attestation = Some(attestation);
    }

    pub(super) fn send_evidence(&mut self) {
        if let Some(answer) = self.answer.take() {
            self.send(WorkerMessage::Answer(answer));
        }
    }

    /// The id of the evidence that the gateway has just accepted.
    pub(super) fn attestation_in_force(&mut self) -> Option<String> {
        self.attestation.take()
    }

    fn say<T: Serialize>(&self, message: &T, wrap: fn(Bytes) -> WorkerMessage) {
        match wire::encode(message) {
            Ok(body) => self.send(wrap(Bytes::from(body))),
            Err(error) => tracing::error!(%error, "a control message cannot be encoded"),
        }
    }

    /// A full queue means that the network is stuck: heartbeats and renewals come again, and a lost answer makes the
    /// session stale. A closed one is noticed by the receiver.
    fn send(&self, message: WorkerMessage) {
        if let Some((sender, _)) = &self.control
            && let Err(error) = sender.try_send(message)
        {
            tracing::warn!(%error, "a control message was not sent");
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Reads the messages whose bodies are the protocol's.
pub(super) fn read(message: GatewayMessage) -> Result<Event, ControlMessageError> {
    Ok(match message {
        GatewayMessage::Renewed(body) => {
            Event::Renewed(decode::<Renewed>("RENEWED", &body)?.leases)
        }
        GatewayMessage::Cancel(body) => Event::Cancelled(decode::<Cancel>("CANCEL", &body)?.leases),
        GatewayMessage::Drain(body) => {
            let drain = decode::<Drain>("DRAIN", &body)?;
            tracing::info!(reason = drain.reason, "told to drain");
            Event::Drained
        }
        GatewayMessage::AuthRequest(_) | GatewayMessage::Outcome(_) => {
            return Err(ControlMessageError::NotABody);
        }
    })
}

/// Why a control message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlMessageError {
    #[error("the gateway's {frame} message cannot be read")]
    Wire {
        frame: &'static str,
        #[source]
        source: WireError,
    },
    #[error("the message has no body of the protocol")]
    NotABody,
}

fn decode<T: DeserializeOwned>(frame: &'static str, body: &[u8]) -> Result<T, ControlMessageError> {
    wire::decode(body, BODY_BYTES_MAX).map_err(|source| ControlMessageError::Wire { frame, source })
}
