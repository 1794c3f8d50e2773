//! The worker's life, event by event: no clock, no await. `Bench` plays the driver and keeps time.

mod acks;
mod connection;
mod drain;
mod quarantine;
mod tasks;

use std::time::Duration;

use bytes::Bytes;
use protocol::control::RenewedLease;
use protocol::lease::{AckOutcome, Fault, FaultKind, LeaseInput, LeaseRef, Nack};
use protocol::{FencingToken, SessionId, Sha256Digest, TaskId};

use super::*;

/// A machine, the time, and the random number that the next tick shows.
struct Bench {
    machine: Machine,
    now: Duration,
    random: u64,
}

const CAPACITY: usize = 4;
const DRAIN_LIMIT: Duration = Duration::from_mins(1);

impl Bench {
    fn new() -> Self {
        let machine = Machine::new(Settings {
            capacity: CAPACITY,
            drain_limit: DRAIN_LIMIT,
        });
        Self {
            machine,
            now: Duration::ZERO,
            random: 0,
        }
    }

    /// Connected, with an executor, and the first lease request on its way.
    fn leasing() -> Self {
        let mut bench = Self::new();
        bench.poll();
        bench.handle(Event::RunnerStarted { in_order: true });
        let actions = bench.handle(Event::Connected(session("first")));
        assert!(has_lease(&actions), "{actions:?}");
        bench
    }

    /// As [`Bench::leasing`], with these tasks leased; they are small and come inline.
    fn running(numbers: &[u64]) -> Self {
        let mut bench = Self::leasing();
        let actions = bench.lease(numbers);
        let run = runs(&actions);
        assert_eq!(
            run,
            numbers
                .iter()
                .map(|number| lease(*number))
                .collect::<Vec<_>>()
        );
        bench
    }

    fn poll(&mut self) -> Vec<Action> {
        self.machine.poll(Tick {
            now: self.now,
            random: self.random,
        })
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        self.machine.handle(
            Tick {
                now: self.now,
                random: self.random,
            },
            event,
        );
        self.poll()
    }

    fn lease(&mut self, numbers: &[u64]) -> Vec<Action> {
        self.leased(numbers, false)
    }

    /// Leases that come of a request; `more` may come.
    fn leased(&mut self, numbers: &[u64], more: bool) -> Vec<Action> {
        let offers = numbers.iter().map(|number| offer(*number, 8)).collect();
        self.handle(Event::Leased {
            offers,
            refused: Vec::new(),
            more,
        })
    }

    fn after(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.poll()
    }

    fn done(&mut self, number: u64, output_bytes: usize) -> Vec<Action> {
        self.handle(Event::Answered {
            lease: lease(number),
            answer: done(output_bytes),
        })
    }

    fn answered(&mut self, number: u64, answer: Answer) -> Vec<Action> {
        self.handle(Event::Answered {
            lease: lease(number),
            answer,
        })
    }

    fn run_ended(&mut self) -> Vec<Action> {
        self.handle(Event::RunEnded { child_lost: false })
    }

    fn wake_at(&self) -> Option<Duration> {
        self.machine.wake_at(self.now)
    }
}

fn session(attestation: &str) -> Session {
    Session {
        id: SessionId::from_parts(1, 1),
        attestation: attestation.to_owned(),
    }
}

fn lease(number: u64) -> LeaseRef {
    LeaseRef {
        task: TaskId::from_parts(number, 0),
        fencing_token: FencingToken(number),
    }
}

/// A task over `bytes` inline bytes.
fn offer(number: u64, bytes: usize) -> Offer {
    Offer::read(crate::session::tests::lease(number, &vec![0; bytes])).unwrap()
}

/// A task whose one input is to be fetched.
fn offer_to_fetch(number: u64) -> Offer {
    let mut lease = crate::session::tests::lease(number, &[0; 8]);
    lease.inputs = vec![LeaseInput::Fetch];
    Offer::read(lease).unwrap()
}

fn work(number: u64) -> Work {
    offer(number, 8).work_inline().unwrap().unwrap()
}

fn done(output_bytes: usize) -> Answer {
    let output = Bytes::from(vec![1; output_bytes]);
    Answer::Done {
        sha256: Sha256Digest::of(&output),
        output,
        started_ms: 1,
        finished_ms: 2,
        busy_ms: 1,
    }
}

fn has_lease(actions: &[Action]) -> bool {
    actions
        .iter()
        .any(|action| matches!(action, Action::Lease { .. }))
}

fn runs(actions: &[Action]) -> Vec<LeaseRef> {
    let run = actions.iter().find_map(|action| match action {
        Action::Run(works) => Some(works.iter().map(|(lease, _)| *lease).collect()),
        _ => None,
    });
    run.unwrap_or_default()
}

fn acks(actions: &[Action]) -> Vec<LeaseRef> {
    let ack = actions.iter().find_map(|action| match action {
        Action::Ack { finished, .. } => Some(
            finished
                .iter()
                .map(|finished| finished.offer.lease)
                .collect(),
        ),
        _ => None,
    });
    ack.unwrap_or_default()
}

fn nacks(actions: &[Action]) -> Vec<(LeaseRef, FaultKind)> {
    let nack = actions.iter().find_map(|action| match action {
        Action::Nack(nacks) => Some(
            nacks
                .iter()
                .map(|Nack { lease, fault }| (*lease, fault.kind))
                .collect(),
        ),
        _ => None,
    });
    nack.unwrap_or_default()
}

fn has(actions: &[Action], wanted: fn(&Action) -> bool) -> bool {
    actions.iter().any(wanted)
}
