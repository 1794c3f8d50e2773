//! Admission: the relying party. What a worker presents is appraised, recorded, and becomes a session, or a refusal of
//! which the worker learns the code alone.

mod collateral;
mod gate;
pub(crate) mod in_force;
pub(crate) mod reappraisal;
mod relying_party;

pub(crate) use gate::{Gate, verdict};
pub(crate) use in_force::InForce;
pub(crate) use reappraisal::Reappraisal;
pub(crate) use relying_party::{Attested, RelyingParty};

use std::net::SocketAddr;

use protocol::{SessionId, WorkerId};

use crate::session::SessionLife;

/// An admitted connection. Only [`Gate`] makes one, from evidence that passed every required step.
#[derive(Debug)]
pub(crate) struct Session {
    id: SessionId,
    worker: WorkerId,
    peer: SocketAddr,
    attested: Attested,
    life: SessionLife,
}

impl Session {
    pub(crate) fn into_parts(self) -> (SessionId, WorkerId, SocketAddr, Attested, SessionLife) {
        (self.id, self.worker, self.peer, self.attested, self.life)
    }
}
