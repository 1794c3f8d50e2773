//! The worker's side of the gate.

use std::sync::Arc;

use attestation::Binding;
use rustls::pki_types::ServerName;

use super::{GateError, Outcome, Unattested, read_only, within};
use crate::{
    authenticator::AuthRequest,
    evidence::{Attester, Verdict},
    frame::{Frame, FrameKind, write_frame},
    rebind::{Answer, WorkerRebinder},
    tls::TlsIo,
};

/// The worker's end of a connection.
#[derive(Debug)]
pub struct WorkerSide {
    rebinder: WorkerRebinder,
    authority: Arc<str>,
}

impl WorkerSide {
    pub(crate) fn new(rebinder: WorkerRebinder, server_name: &ServerName<'_>) -> Self {
        let name = server_name.to_str();
        // RFC 3986 section 3.2.2: an IPv6 address stands in brackets.
        let authority = if name.contains(':') {
            format!("[{name}]")
        } else {
            name.into_owned()
        };
        Self {
            rebinder,
            authority: authority.into(),
        }
    }
}

/// The worker's end of an admitted connection. [`into_http2`](AttestedWorker::into_http2) goes on from here.
#[derive(Debug)]
pub struct AttestedWorker {
    pub(crate) io: TlsIo,
    pub(crate) rebinder: WorkerRebinder,
    pub(crate) authority: Arc<str>,
    verdict: Verdict,
    binding: Binding,
}

impl AttestedWorker {
    /// The session that the gateway opened.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// What the first evidence was bound to.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }
}

impl Unattested<WorkerSide> {
    /// Passes the gate: answers the gateway's request with evidence from `attester` and learns the outcome. On any error
    /// the connection is closed.
    pub async fn attest(mut self, attester: &impl Attester) -> Result<AttestedWorker, GateError> {
        let (verdict, binding) = within(
            self.limit,
            exchange(&mut self.io, &self.side.rebinder, attester),
        )
        .await?;
        let WorkerSide {
            rebinder,
            authority,
        } = self.side;
        Ok(AttestedWorker {
            io: self.io,
            rebinder,
            authority,
            verdict,
            binding,
        })
    }
}

async fn exchange(
    io: &mut TlsIo,
    rebinder: &WorkerRebinder,
    attester: &impl Attester,
) -> Result<(Verdict, Binding), GateError> {
    let request = read_only(io, FrameKind::AuthRequest).await?.into_body();
    let request = AuthRequest::parse(&request).map_err(GateError::Authenticator)?;
    let binding = rebinder.binding(&request)?;
    let answer = rebinder.answer(&request, attester).await?;
    for frame in frames(answer)? {
        write_frame(io, &frame).await.map_err(GateError::Frame)?;
    }
    let outcome = read_only(io, FrameKind::Outcome).await?.into_body();
    match Outcome::parse(&outcome).map_err(GateError::Outcome)? {
        Outcome::Admitted(verdict) => Ok((verdict, binding)),
        Outcome::Refused(code) => Err(GateError::Refused { code }),
    }
}

/// The device evidence goes first, so that the authenticator ends the answer and nothing need announce it.
fn frames(answer: Answer) -> Result<Vec<Frame>, GateError> {
    let Answer {
        authenticator,
        device_evidence,
    } = answer;
    device_evidence
        .map(|body| (FrameKind::DeviceEvidence, body))
        .into_iter()
        .chain([(FrameKind::Authenticator, authenticator)])
        .map(|(kind, body)| Frame::new(kind, body).map_err(GateError::Frame))
        .collect()
}
