//! What happens next: messages under way, with their delays and losses, and everything else that waits for its time.

use std::collections::BTreeMap;

use agent::machine::{Event, Failure};

use super::Simulation;
use super::worker::{Connection, Letter, Pending};

/// As the agent gives a request up that stays without an answer, and a long poll.
const REQUEST_LIMIT_MS: u64 = 30_000;
pub(super) const LEASE_LIMIT_MS: u64 = 45_000;

/// A message to the gateway, under way.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) connection: Connection,
    /// Of the request that wants an answer.
    pub(super) request: Option<u64>,
    pub(super) letter: Letter,
}

/// Something that reaches a worker's process.
#[derive(Debug)]
pub(super) struct News {
    pub(super) connection: Connection,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// The answer to a request.
    Answered {
        request: u64,
        event: Event,
    },
    /// No answer came in time.
    Overdue {
        request: u64,
    },
    /// By the control stream.
    Said(Event),
    /// To attest again.
    Asked,
    Disconnected,
    /// From the worker's own machine, whatever the connection.
    Own(Event),
    /// Evidence is made.
    Evidence,
    Computes {
        run: u64,
    },
    Due,
}

#[derive(Debug)]
pub(super) enum Happening {
    Arrives(Post),
    Reaches(News),
    Housekeeping,
    Client { order: usize, step: Step },
    Redrive,
    Fault,
    GatewayStarts,
    WorkerStarts(usize),
    Resumes(usize),
    Undrains(usize),
    Enrols(usize),
}

/// What a client does about one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Submit,
    Read,
    Cancel,
    /// Another order under the same key.
    Conflict,
}

/// Everything that waits, by time and then by when it was put here.
#[derive(Default)]
pub(super) struct Agenda {
    waiting: BTreeMap<(u64, u64), Happening>,
    put: u64,
}

impl Agenda {
    pub(super) fn at(&mut self, at_ms: u64, happening: Happening) {
        self.put += 1;
        self.waiting.insert((at_ms, self.put), happening);
    }

    pub(super) fn next(&mut self) -> Option<(u64, Happening)> {
        let ((at_ms, _), happening) = self.waiting.pop_first()?;
        Some((at_ms, happening))
    }
}

/// Messages of workers and to them.
impl Simulation {
    pub(super) fn after(&mut self, ms: u64, happening: Happening) {
        self.agenda.at(self.now_ms + ms, happening);
    }

    pub(super) fn delay(&mut self) -> u64 {
        let delay = self.dice.between(self.plan.delay_ms.clone());
        let late = !self.is_calm && self.dice.in_1000(self.plan.late);
        if late {
            self.tally.late += 1;
            delay + self.dice.between(500..=20_000)
        } else {
            delay
        }
    }

    pub(super) fn is_lost(&mut self) -> bool {
        let lost = !self.is_calm
            && (self.now_ms < self.partition_until_ms || self.dice.in_1000(self.plan.lost));
        self.tally.lost += u64::from(lost);
        lost
    }

    /// A request on a stream of its own: it may be overtaken, lost, or come twice.
    pub(super) fn request(&mut self, worker: usize, letter: Letter) -> Option<u64> {
        let connection = self.workers[worker].connection(worker)?;
        let pending = Pending::of(&letter)?;
        let process = self.workers[worker].process.as_mut()?;
        process.requests += 1;
        let request = process.requests;
        process.pending.insert(request, pending);
        let limit_ms = match letter {
            Letter::Lease { .. } => LEASE_LIMIT_MS,
            _ => REQUEST_LIMIT_MS,
        };
        let what = What::Overdue { request };
        self.after(limit_ms, Happening::Reaches(News { connection, what }));
        let post = Post {
            connection,
            request: Some(request),
            letter,
        };
        let copies = !self.is_calm && self.dice.in_1000(self.plan.copied);
        if copies && !matches!(post.letter, Letter::Connect(_)) {
            self.tally.copied += 1;
            let delay = self.delay() + self.dice.between(0..=5_000);
            self.after(delay, Happening::Arrives(post.clone()));
        }
        if !self.is_lost() {
            let delay = self.delay();
            self.after(delay, Happening::Arrives(post));
        }
        Some(request)
    }

    /// By the control stream: in order, as long as the connection lasts.
    pub(super) fn say(&mut self, worker: usize, letter: Letter) {
        let Some(connection) = self.workers[worker].connection(worker) else {
            return;
        };
        let post = Post {
            connection,
            request: None,
            letter,
        };
        let delay = *self.plan.delay_ms.end();
        self.after(delay, Happening::Arrives(post));
    }

    pub(super) fn answer(&mut self, post: &Post, event: Event) {
        let Some(request) = post.request else { return };
        if !self.is_lost() {
            let delay = self.delay();
            let what = What::Answered { request, event };
            let connection = post.connection;
            self.after(delay, Happening::Reaches(News { connection, what }));
        }
    }

    /// The gateway's end of the control stream.
    pub(super) fn tell(&mut self, connection: Connection, what: What) {
        let delay = *self.plan.delay_ms.end();
        self.after(delay, Happening::Reaches(News { connection, what }));
    }
}

/// What an agent makes of an answer that is no success.
pub(super) fn failure(status: http::StatusCode, text: String) -> Failure {
    let is_temporary = matches!(status.as_u16(), 408 | 429);
    if status.is_client_error() && !is_temporary {
        Failure::Permanent(text)
    } else {
        Failure::Retry
    }
}
