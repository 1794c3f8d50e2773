//! The life of an admitted session as a plain state machine: when to ask for evidence again, when to appraise again what is
//! recorded, when the session is stale, when it ends. Time (monotonic, since any fixed moment) and randomness are arguments; the worker listener's driver
//! carries the actions out.
//!
//! ```text
//! resting ─due─▶ asked ─deadline─▶ stale ─stale_session─▶ closed
//!    ▲             │                 │
//!    └──attested───┴────attested─────┘        refused, silent or too old: closed
//! ```
//!
//! Beside that, a replaced policy or collateral has the recorded evidence appraised again, at once and in any phase. What
//! stands changes no phase; what is refused closes; where there is no verdict, the worker is asked.

use std::time::Duration;

use attestation::ErrorCode;

use crate::limits::{REATTEST_JITTER_PERCENT, REATTEST_TRIES};

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
    /// When to ask once more, after an answer on which there was no verdict.
    ask_again_at: Option<Duration>,
    reappraisal: Reappraisal,
}

/// Appraising again what is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reappraisal {
    None,
    Running,
    /// There was no verdict; it is not tried again before something else is replaced.
    Undecided {
        replacements: u64,
    },
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
    /// Evidence was refused, be it new or appraised again.
    Refused(ErrorCode),
    /// On new evidence there was no verdict, for want of something that is the gateway's own.
    Undecided,
    /// What the session was accepted under is not in force any more; `replacements` counts how often something was replaced.
    Outdated { replacements: u64 },
    /// The recorded evidence is accepted under what is in force now, or new evidence has come in the meantime.
    Reappraised,
    /// On the recorded evidence there was no verdict; `replacements` as when that was asked for.
    NotReappraised { replacements: u64 },
    /// The agent gave a sign of life.
    Heard,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask the worker for new evidence.
    Request,
    /// Appraise the recorded evidence again.
    Reappraise,
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
            ask_again_at: None,
            reappraisal: Reappraisal::None,
        }
    }

    /// Takes an event in; [`SessionLife::poll`] then says what to do.
    pub fn handle(&mut self, event: Event, now: Duration) -> Option<Action> {
        if self.phase == Phase::Closed {
            return None;
        }
        match event {
            Event::Heard => self.silent_at = now.saturating_add(self.schedule.silence_max),
            Event::Refused(code) => return Some(self.close(code)),
            Event::Attested { random } => {
                let due = now.saturating_add(jittered(self.schedule.reattest_interval, random));
                self.phase = Phase::Resting { due };
                self.ask_again_at = None;
            }
            Event::Undecided => {
                let pause = self.schedule.reattest_grace / REATTEST_TRIES;
                self.ask_again_at = self.awaits_evidence().then(|| now.saturating_add(pause));
            }
            Event::Outdated { replacements } => return self.outdated(replacements),
            Event::Reappraised => self.reappraisal = Reappraisal::None,
            Event::NotReappraised { replacements } => {
                self.reappraisal = Reappraisal::Undecided { replacements };
                // Who is asked already has a deadline.
                return (!self.awaits_evidence()).then(|| self.ask(now));
            }
        }
        None
    }

    fn outdated(&mut self, replacements: u64) -> Option<Action> {
        let tried = Reappraisal::Undecided { replacements };
        if self.reappraisal == Reappraisal::Running || self.reappraisal == tried {
            return None;
        }
        self.reappraisal = Reappraisal::Running;
        Some(Action::Reappraise)
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
            _ => self.ask_again(now),
        }
    }

    fn ask_again(&mut self, now: Duration) -> Option<Action> {
        self.ask_again_at.take_if(|at| now >= *at)?;
        Some(Action::Request)
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
        let again = self.ask_again_at.unwrap_or(Duration::MAX);
        next.min(again).min(self.ends_at).min(self.silent_at)
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
        self.ask_again_at = None;
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
mod tests;
