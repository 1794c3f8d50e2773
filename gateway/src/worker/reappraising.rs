//! One session's evidence, appraised again in a task of its own. Its driver may wait for seconds for a worker that reads
//! nothing, and what an appraisal holds is everybody's: it must come to its end whatever the driver waits for.

use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::LiveSession;
use crate::admission::{Reappraisal, RelyingParty};
use crate::session::Event;

/// The verdict that is being reached, if one is. It ends with its session's driver.
#[derive(Debug, Default)]
pub(super) struct Reappraising(JoinSet<Reappraised>);

/// A verdict on recorded evidence. The session holds to it already.
#[derive(Debug)]
pub(super) struct Reappraised {
    /// Whose evidence it is.
    pub(super) attestation: String,
    /// What it means to the session's life, unless its worker has attested in the meantime.
    pub(super) event: Event,
}

impl Reappraising {
    /// `replacements`: how often something had been replaced by now.
    pub(super) fn start(
        &mut self,
        party: &Arc<RelyingParty>,
        live: &Arc<LiveSession>,
        replacements: u64,
    ) {
        let (party, live) = (Arc::clone(party), Arc::clone(live));
        self.0.spawn(async move {
            let attestation = live.attested().key.attestation;
            let event = match party.reappraise(&live.worker, &attestation).await {
                Reappraisal::Stands(attested) => {
                    live.reappraised(*attested);
                    Event::Reappraised
                }
                Reappraisal::Cut(code) => {
                    // Before the driver comes to say so: no further task byte leaves.
                    live.refused(&attestation);
                    Event::Refused(code)
                }
                Reappraisal::Undecided => Event::NotReappraised { replacements },
            };
            Reappraised { attestation, event }
        });
    }

    /// Waits for ever while none is being reached.
    pub(super) async fn next(&mut self) -> Result<Reappraised, JoinError> {
        match self.0.join_next().await {
            Some(reappraised) => reappraised,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metrics::Gauge;
    use protocol::SessionId;

    use super::*;
    use crate::admission::in_force::tests::another_policy;
    use crate::admission::reappraisal::tests::accepted;
    use crate::worker::Sessions;
    use crate::world::SystemClock;

    /// Longer than anything here takes; what waits for ever fails.
    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_driver_that_waits_for_its_worker_holds_up_nobody() {
        let accepted = accepted().await;
        let party = &accepted.party;
        let in_force = Arc::clone(&party.in_force);
        let sessions = Sessions::new(
            Gauge::noop(),
            Arc::new(SystemClock::start()),
            Arc::clone(&in_force),
        );
        let (id, peer) = (SessionId::from_parts(1, 0), "127.0.0.1:1".parse().unwrap());
        let attested = accepted.attested.clone();
        let opened = sessions.open(id, peer, attested, Duration::from_hours(1));
        let live = opened.unwrap().0;
        in_force.replace_policy(another_policy(&in_force));

        // As many as may be at once, whose drivers look at none of them: each waits until its worker reads.
        let mut busy: Vec<_> = (0..crate::limits::REAPPRAISALS_IN_FLIGHT_MAX)
            .map(|_| {
                let mut reappraising = Reappraising::default();
                reappraising.start(party, &live, 1);
                reappraising
            })
            .collect();
        // So that each has its place first.
        tokio::task::yield_now().await;
        let attestation = accepted.attested.key.attestation.clone();
        let another = party.reappraise(&live.worker, &attestation);
        let another = tokio::time::timeout(LIMIT, another).await.unwrap();
        assert!(matches!(another, Reappraisal::Stands(_)), "{another:?}");
        for reappraising in &mut busy {
            let reappraised = tokio::time::timeout(LIMIT, reappraising.next()).await;
            let reappraised = reappraised.unwrap().unwrap();
            assert_eq!(reappraised.attestation, attestation);
            assert_eq!(reappraised.event, Event::Reappraised);
        }
        assert!(!live.is_stale(), "the verdict counts before a driver looks");
    }
}
