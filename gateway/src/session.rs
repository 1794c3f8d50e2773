//! The life of an admitted session as a plain state machine: when to ask for evidence again, when the session is stale,
//! when it ends. Time (monotonic, since any fixed moment) and randomness are arguments; the worker listener's driver
//! carries the actions out.
//!
//! ```text
//! resting ─due─▶ asked ─deadline─▶ stale ─stale_session─▶ closed
//!    ▲             │                 │
//!    └──attested───┴────attested─────┘        refused, silent or too old: closed
//! ```

use std::time::Duration;

use attestation::ErrorCode;

use crate::limits::REATTEST_JITTER_PERCENT;

/// How long each part of a session's life lasts.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Between two attestations, give or take the jitter.
    pub reattest_interval: Duration,
    /// From the request for evidence to the deadline.
    pub reattest_grace: Duration,
    /// From the deadline to the end of a session that still has not attested.
    pub stale_session: Duration,
    /// From admission to the end of any session.
    pub session_age_max: Duration,
    /// From a heartbeat to the end of a session that sends no other: its agent is presumed gone.
    pub silence_max: Duration,
}

/// Where one session is in its life.
#[derive(Debug)]
pub struct SessionLife {
    schedule: Schedule,
    ends_at: Duration,
    silent_at: Duration,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Attested; to be asked again at `due`.
    Resting {
        due: Duration,
    },
    Asked {
        deadline: Duration,
    },
    Stale {
        close_at: Duration,
    },
    Closed,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// New evidence was appraised and accepted. `random`: any uniformly distributed value.
    Attested { random: u16 },
    /// New evidence was refused.
    Refused(ErrorCode),
    /// The agent gave a sign of life.
    Heard,
    /// Evidence is wanted now, whatever the schedule says: the appraisal policy changed.
    Demanded,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask the worker for new evidence.
    Request,
    /// Give it no work until it has attested.
    MarkStale,
    /// End the connection, for this reason.
    Close(ErrorCode),
}

impl SessionLife {
    /// A session admitted at `now`.
    #[must_use]
    pub fn new(schedule: Schedule, now: Duration, random: u16) -> Self {
        let due = now.saturating_add(jittered(schedule.reattest_interval, random));
        Self {
            schedule,
            ends_at: now.saturating_add(schedule.session_age_max),
            silent_at: now.saturating_add(schedule.silence_max),
            phase: Phase::Resting { due },
        }
    }

    /// Takes an event in; [`SessionLife::poll`] then says what to do.
    pub fn handle(&mut self, event: Event, now: Duration) -> Option<Action> {
        match (event, self.phase) {
            // Closed, or asked already and with a deadline.
            (_, Phase::Closed) | (Event::Demanded, Phase::Asked { .. } | Phase::Stale { .. }) => {
                None
            }
            (Event::Heard, _) => {
                self.silent_at = now.saturating_add(self.schedule.silence_max);
                None
            }
            (Event::Refused(code), _) => Some(self.close(code)),
            (Event::Attested { random }, _) => {
                let due = now.saturating_add(jittered(self.schedule.reattest_interval, random));
                self.phase = Phase::Resting { due };
                None
            }
            (Event::Demanded, Phase::Resting { .. }) => Some(self.ask(now)),
        }
    }

    /// What is due at `now`; call again until there is nothing.
    pub fn poll(&mut self, now: Duration) -> Option<Action> {
        match self.phase {
            Phase::Closed => None,
            _ if now >= self.ends_at => Some(self.close(ErrorCode::SessionExpired)),
            _ if now >= self.silent_at => Some(self.close(ErrorCode::ConnectionLost)),
            Phase::Resting { due } if now >= due => Some(self.ask(now)),
            Phase::Asked { deadline } if now >= deadline => {
                let close_at = deadline.saturating_add(self.schedule.stale_session);
                self.phase = Phase::Stale { close_at };
                Some(Action::MarkStale)
            }
            Phase::Stale { close_at } if now >= close_at => {
                Some(self.close(ErrorCode::SessionExpired))
            }
            _ => None,
        }
    }

    /// When to poll next.
    #[must_use]
    pub fn wakes_at(&self) -> Duration {
        let next = match self.phase {
            Phase::Resting { due } => due,
            Phase::Asked { deadline } => deadline,
            Phase::Stale { close_at } => close_at,
            Phase::Closed => Duration::MAX,
        };
        next.min(self.ends_at).min(self.silent_at)
    }

    /// By when the worker must have attested; the verdict tells it.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        let deadline = match self.phase {
            Phase::Resting { due } => due.saturating_add(self.schedule.reattest_grace),
            Phase::Asked { deadline } => deadline,
            Phase::Stale { close_at } => close_at,
            Phase::Closed => Duration::ZERO,
        };
        deadline.min(self.ends_at)
    }

    /// When the session ends, whatever happens.
    #[must_use]
    pub fn ends_at(&self) -> Duration {
        self.ends_at
    }

    /// Whether evidence was asked for and has not come: a request that could not be sent yet is then to be sent.
    #[must_use]
    pub fn awaits_evidence(&self) -> bool {
        matches!(self.phase, Phase::Asked { .. } | Phase::Stale { .. })
    }

    fn ask(&mut self, now: Duration) -> Action {
        let deadline = now.saturating_add(self.schedule.reattest_grace);
        self.phase = Phase::Asked { deadline };
        Action::Request
    }

    fn close(&mut self, code: ErrorCode) -> Action {
        self.phase = Phase::Closed;
        Action::Close(code)
    }
}

/// The interval times a factor from 1 − jitter to 1 + jitter.
fn jittered(interval: Duration, random: u16) -> Duration {
    let span = interval.saturating_mul(2 * REATTEST_JITTER_PERCENT) / 100;
    let shortest = interval.saturating_mul(100 - REATTEST_JITTER_PERCENT) / 100;
    shortest.saturating_add(span.saturating_mul(u32::from(random)) / u32::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        reattest_interval: Duration::from_mins(10),
        reattest_grace: Duration::from_mins(1),
        stale_session: Duration::from_mins(1),
        session_age_max: Duration::from_hours(24),
        // The tests of silence set their own.
        silence_max: Duration::MAX,
    };
    /// The middle of the range: no jitter, to within 10 ms.
    const MIDDLE: u16 = u16::MAX / 2;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn life() -> SessionLife {
        SessionLife::new(SCHEDULE, at(1_000), MIDDLE)
    }

    #[test]
    fn a_silent_session_ends_and_a_sign_of_life_puts_that_off() {
        let schedule = Schedule {
            silence_max: at(15),
            ..SCHEDULE
        };
        let mut life = SessionLife::new(schedule, at(1_000), MIDDLE);
        assert_eq!(life.wakes_at(), at(1_015));
        assert_eq!(life.handle(Event::Heard, at(1_010)), None);
        assert_eq!(life.poll(at(1_024)), None);
        assert_eq!(
            life.poll(at(1_025)),
            Some(Action::Close(ErrorCode::ConnectionLost))
        );
        assert_eq!(life.handle(Event::Heard, at(1_026)), None);
        assert_eq!(life.poll(at(9_999)), None);
    }

    #[test]
    fn jitter_spans_a_fifth_either_way() {
        assert_eq!(jittered(at(600), 0), at(480));
        assert_eq!(jittered(at(600), u16::MAX), at(720));
        let middle = jittered(at(600), MIDDLE);
        assert!(
            middle > at(600).saturating_sub(Duration::from_millis(10)) && middle <= at(600),
            "{middle:?}"
        );
        assert!(jittered(Duration::MAX, u16::MAX) > at(1 << 40));
    }

    #[test]
    fn a_worker_that_attests_in_time_is_asked_for_a_day() {
        let (mut life, mut rounds) = (life(), 0);
        let ended_at = loop {
            let now = life.wakes_at();
            match life.poll(now) {
                Some(Action::Request) => {
                    assert_eq!(life.handle(Event::Attested { random: MIDDLE }, now), None);
                    assert!(!life.awaits_evidence());
                    rounds += 1;
                }
                Some(Action::Close(code)) => {
                    assert_eq!(code, ErrorCode::SessionExpired);
                    break now;
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ended_at, at(1_000 + 86_400));
        assert_eq!(rounds, 144);
    }

    #[test]
    fn silence_makes_a_session_stale_and_then_ends_it() {
        let mut life = life();
        assert_eq!(life.poll(at(1_599)), None);
        assert_eq!(life.poll(at(1_600)), Some(Action::Request));
        assert_eq!(life.poll(at(1_600)), None);
        assert_eq!(life.deadline(), at(1_660));
        assert_eq!(life.poll(at(1_660)), Some(Action::MarkStale));
        assert!(life.awaits_evidence());
        assert_eq!(life.poll(at(1_719)), None);
        assert_eq!(
            life.poll(at(1_720)),
            Some(Action::Close(ErrorCode::SessionExpired))
        );
        assert_eq!(life.poll(at(9_999_999)), None);
        assert_eq!(life.wakes_at(), at(1_000 + 86_400));
    }

    #[test]
    fn late_evidence_revives_a_stale_session() {
        let mut life = life();
        assert_eq!(life.poll(at(1_600)), Some(Action::Request));
        assert_eq!(life.poll(at(1_700)), Some(Action::MarkStale));
        assert_eq!(
            life.handle(Event::Attested { random: MIDDLE }, at(1_701)),
            None
        );
        assert_eq!(life.poll(at(1_800)), None);
        assert_eq!(life.poll(at(2_302)), Some(Action::Request));
    }

    #[test]
    fn a_refusal_ends_the_session_and_nothing_follows() {
        let mut life = life();
        let refused = Event::Refused(ErrorCode::TdDebuggable);
        assert_eq!(
            life.handle(refused, at(1_100)),
            Some(Action::Close(ErrorCode::TdDebuggable))
        );
        assert_eq!(life.handle(refused, at(1_101)), None);
        assert_eq!(life.handle(Event::Attested { random: 0 }, at(1_102)), None);
        assert_eq!(life.poll(at(9_999_999)), None);
    }

    #[test]
    fn a_demand_asks_once() {
        let mut life = life();
        assert_eq!(
            life.handle(Event::Demanded, at(1_010)),
            Some(Action::Request)
        );
        assert_eq!(life.handle(Event::Demanded, at(1_011)), None);
        assert_eq!(life.deadline(), at(1_070));
    }

    #[test]
    fn a_clock_that_leaps_yields_each_action_in_turn() {
        let mut life = life();
        let late = at(3_000);
        assert_eq!(life.poll(late), Some(Action::Request));
        // The worker gets its grace from when it was asked, not from when it should have been.
        assert_eq!(life.poll(late), None);
        assert_eq!(life.poll(at(3_060)), Some(Action::MarkStale));
        assert_eq!(
            life.poll(at(90_000)),
            Some(Action::Close(ErrorCode::SessionExpired))
        );
    }
}
