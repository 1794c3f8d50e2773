//! What a handler of the worker listener is given: a session that came out of the gate.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use channel::{ControlReceiver, ControlSender, GatewayMessage, WorkerMessage};
use http::request::Parts;
use protocol::problem::{Problem, ProblemCode};
use tokio::sync::oneshot;

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
    control: ControlPlace,
}

/// Where the control stream is handed over, until it has been. A queue would hold memory for 32 of them.
type ControlPlace = Arc<Mutex<Option<oneshot::Sender<ControlStream>>>>;

impl AttestedConnection {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        session: Arc<LiveSession>,
        control: oneshot::Sender<ControlStream>,
    ) -> Self {
        Self {
            gateway,
            session,
            control: Arc::new(Mutex::new(Some(control))),
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
        // An option that is taken has no half-made state.
        let place = self.control.lock();
        let place = place.unwrap_or_else(PoisonError::into_inner).take();
        let handed_over = place.and_then(|place| place.send(control).ok());
        handed_over.ok_or_else(|| {
            Problem::new(
                ProblemCode::WrongState,
                "the session has its control stream already",
            )
            .into()
        })
    }
}

impl<S: Sync> FromRequestParts<S> for AttestedConnection {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiProblem> {
        parts.extensions.remove().ok_or_else(|| {
            ApiProblem::internal(&std::io::Error::other(
                "a request came over no attested connection",
            ))
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
