//! What a handler of the worker listener is given: a session that came out of the gate.

use std::sync::Arc;

use channel::{ControlReceiver, ControlSender, GatewayMessage, WorkerMessage};
use protocol::problem::{Problem, ProblemCode};
use tokio::sync::mpsc;

use super::LiveSession;
use crate::gateway::Gateway;
use crate::problem::ApiProblem;

/// A session's control stream, on its way from the handler that accepted it to the driver.
pub(crate) type ControlStream = (
    ControlSender<GatewayMessage>,
    ControlReceiver<WorkerMessage>,
);

/// One attested connection. The driver alone makes one, out of an admitted session, so that no handler here can be
/// reached over anything else.
#[derive(Debug, Clone)]
pub(crate) struct AttestedConnection {
    gateway: Arc<Gateway>,
    session: Arc<LiveSession>,
    control: mpsc::Sender<ControlStream>,
}

impl AttestedConnection {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        session: Arc<LiveSession>,
        control: mpsc::Sender<ControlStream>,
    ) -> Self {
        Self {
            gateway,
            session,
            control,
        }
    }

    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    pub(super) fn session(&self) -> &Arc<LiveSession> {
        &self.session
    }

    /// The session, unless it is overdue to attest: then it gets no task byte and gives none back.
    pub(super) fn fresh_session(&self) -> Result<&Arc<LiveSession>, ApiProblem> {
        require_fresh(&self.session)?;
        Ok(&self.session)
    }

    /// Hands the control stream to the driver. A session has one.
    pub(super) fn hand_over(&self, control: ControlStream) -> Result<(), ApiProblem> {
        self.control.try_send(control).map_err(|_| {
            Problem::new(
                ProblemCode::WrongState,
                "the session has its control stream already",
            )
            .into()
        })
    }
}

pub(super) fn require_fresh(session: &LiveSession) -> Result<(), ApiProblem> {
    if session.is_stale() {
        let detail =
            "the session is overdue to attest again; keep the outputs and come back when it has";
        return Err(Problem::new(ProblemCode::SessionStale, detail).into());
    }
    Ok(())
}
