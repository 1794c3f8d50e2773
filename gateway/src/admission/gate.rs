//! The channel's [`Admission`]: from presented evidence to a [`Session`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use channel::{Admission, Admitted, Presented, Refusal, Verdict};

use super::{Attested, Session};
use crate::gateway::{Gateway, random_u16};
use crate::session::SessionLife;

/// Judges one connection.
#[derive(Debug)]
pub(crate) struct Gate<'a> {
    pub(crate) gateway: &'a Arc<Gateway>,
    pub(crate) peer: SocketAddr,
}

impl Admission for Gate<'_> {
    type Session = Session;

    async fn admit(&self, presented: Presented) -> Result<Admitted<Session>, Refusal> {
        let gateway = self.gateway;
        let id = gateway.new_session_id().map_err(|code| Refusal { code })?;
        let attested = gateway
            .relying_party
            .appraise(id, presented, None)
            .await
            .map_err(|code| Refusal { code })?;
        let now = gateway.clock.monotonic();
        let random = random_u16().map_err(|code| Refusal { code })?;
        let life = SessionLife::new(gateway.schedule, now, random);
        let verdict = verdict(&id.to_string(), &life, now);
        let session = open(id, attested, self.peer, life);
        Ok(Admitted { session, verdict })
    }
}

fn open(
    id: protocol::SessionId,
    attested: Attested,
    peer: SocketAddr,
    life: SessionLife,
) -> Session {
    Session {
        id,
        worker: attested.worker.clone(),
        peer,
        attested,
        life,
    }
}

/// What the worker is told of its session at `now`.
pub(crate) fn verdict(session_id: &str, life: &SessionLife, now: Duration) -> Verdict {
    let seconds =
        |at: Duration| u32::try_from(at.saturating_sub(now).as_secs()).unwrap_or(u32::MAX);
    Verdict {
        session_id: session_id.to_owned(),
        reattest_by_s: seconds(life.deadline()),
        max_age_s: seconds(life.ends_at()),
    }
}
