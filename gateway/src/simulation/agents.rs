//! The driver of the workers' machines: what reaches a worker goes into its machine, and what that wants is carried out.

use std::sync::Arc;

use agent::machine::{Action, Answer, Event, Failure};
use kernels::executor::Work;
use protocol::lease::LeaseRef;

use super::Simulation;
use super::network::{Happening, News, What};
use super::worker::{Letter, Run, done, is_poison};

/// As the agent's driver turns.
const TURN_MS_MAX: u64 = 5_000;

impl Simulation {
    /// Something reaches a worker's process, unless that is gone or stopped.
    pub(super) fn reaches(&mut self, news: News) {
        let worker = news.connection.worker;
        let at = &mut self.workers[worker];
        if at.process.is_none() || at.processes != news.connection.process {
            return;
        }
        if let Some(held_back) = &mut at.held_back {
            held_back.push(news);
            return;
        }
        let is_current = at.connection(worker) == Some(news.connection);
        match news.what {
            What::Due => {
                if let Some(process) = &mut self.workers[worker].process {
                    process.due_ms = None;
                }
                self.turn(worker);
            }
            What::Own(event) => self.happens(worker, event),
            What::Computes { run } => self.computes(worker, run),
            _ if !is_current => {}
            What::Disconnected => self.disconnected(worker),
            What::Said(event) => self.happens(worker, event),
            What::Asked => {
                let took = self.dice.between(10..=3_000);
                let what = What::Evidence;
                let connection = news.connection;
                self.after(took, Happening::Reaches(News { connection, what }));
            }
            What::Evidence => {
                let shown = self.workers[worker].show(self.plan.is_attested, &mut self.dice);
                if let Some(process) = &mut self.workers[worker].process {
                    process.evidence = Some(shown);
                }
                self.happens(worker, Event::EvidenceReady);
            }
            What::Overdue { request } => {
                let process = self.workers[worker].process.as_mut();
                let pending = process.and_then(|process| process.pending.remove(&request));
                if let Some(pending) = pending {
                    self.tally.overdue += 1;
                    self.happens(worker, pending.failed(Failure::Retry));
                }
            }
            What::Answered { request, event } => {
                let process = self.workers[worker].process.as_mut();
                let is_pending = process.is_some_and(|process| match event {
                    Event::Leased { more: true, .. } => process.pending.contains_key(&request),
                    _ => process.pending.remove(&request).is_some(),
                });
                if is_pending {
                    self.answered(worker, event);
                }
            }
        }
    }

    fn answered(&mut self, worker: usize, event: Event) {
        if let Some(process) = &mut self.workers[worker].process
            && matches!(event, Event::Connected(_))
        {
            process.is_up = true;
        }
        self.happens(worker, event);
    }

    fn happens(&mut self, worker: usize, event: Event) {
        if let Some(process) = &mut self.workers[worker].process {
            let tick = process.tick(self.now_ms, &mut self.dice);
            process.machine.handle(tick, event);
            self.turn(worker);
        }
    }

    /// One decision of the machine, and what follows from it.
    pub(super) fn turn(&mut self, worker: usize) {
        let Some(process) = &mut self.workers[worker].process else {
            return;
        };
        let tick = process.tick(self.now_ms, &mut self.dice);
        let actions = process.machine.poll(tick);
        for action in actions {
            self.carry_out(worker, action);
        }
        let connection = self.workers[worker].connection(worker);
        let (Some(process), Some(connection)) = (&mut self.workers[worker].process, connection)
        else {
            return;
        };
        let wake = process.machine.wake_at(tick.now);
        let wake_ms = wake.map_or(u64::MAX, |wake| {
            process.started_ms + u64::try_from(wake.as_millis()).unwrap() + 1
        });
        let due_ms = wake_ms.min(self.now_ms + TURN_MS_MAX);
        if process.due_ms.is_none_or(|earlier| earlier > due_ms) {
            process.due_ms = Some(due_ms);
            let what = What::Due;
            self.agenda
                .at(due_ms, Happening::Reaches(News { connection, what }));
        }
    }

    /// Its machine hears of it at once where it runs.
    pub(super) fn disconnected(&mut self, worker: usize) {
        let Some(process) = &mut self.workers[worker].process else {
            return;
        };
        process.connection += 1;
        let connects = process
            .pending
            .values()
            .any(|pending| matches!(pending, super::worker::Pending::Connect));
        process.pending.clear();
        let was_up = std::mem::replace(&mut process.is_up, false);
        if was_up {
            self.happens(worker, Event::Disconnected { slow: false });
        } else if connects {
            self.happens(worker, Event::ConnectFailed { slow: false });
        }
    }

    fn carry_out(&mut self, worker: usize, action: Action) {
        match action {
            Action::Connect => {
                let at = &mut self.workers[worker];
                at.process.as_mut().unwrap().connection += 1;
                let shown = at.show(self.plan.is_attested, &mut self.dice);
                self.request(worker, Letter::Connect(shown));
            }
            Action::Disconnect => {
                let connection = self.workers[worker].connection(worker);
                self.broken.extend(connection);
                self.disconnected(worker);
            }
            Action::Heartbeat(telemetry) => self.say(worker, Letter::Heartbeat(telemetry)),
            Action::Renew(leases) => self.say(worker, Letter::Renew(leases)),
            Action::SendEvidence => {
                let process = self.workers[worker].process.as_mut();
                if let Some(shown) = process.and_then(|process| process.evidence.clone()) {
                    self.say(worker, Letter::Evidence(shown));
                }
            }
            Action::Lease { tasks_max } => {
                let request = self.request(worker, Letter::Lease { tasks_max });
                if let Some(process) = &mut self.workers[worker].process {
                    process.leasing = request;
                }
            }
            Action::AbandonLease => {
                let connection = self.workers[worker].connection(worker);
                if let Some(process) = &mut self.workers[worker].process
                    && let Some(request) = process.leasing.take()
                {
                    process.pending.remove(&request);
                    if let Some(connection) = connection {
                        self.gives_up(connection, request);
                    }
                }
            }
            Action::Fetch(offer) => {
                self.request(worker, Letter::Fetch(offer));
            }
            Action::Upload(finished) => {
                self.request(worker, Letter::Upload(finished));
            }
            Action::Ack { session, finished } => {
                let process = self.workers[worker].process.as_mut().unwrap();
                process.batches += 1;
                let request = process.receipts.ack(&session, process.batches, &finished);
                self.request(worker, Letter::Ack(Arc::new(request.unwrap())));
            }
            Action::Nack(nacks) => {
                self.request(worker, Letter::Nack(nacks));
            }
            Action::StartRunner
            | Action::Canary
            | Action::Run(_)
            | Action::KillRunner
            | Action::CloseRunner => self.executor(worker, action),
            Action::Leave { .. } => {
                let connection = self.workers[worker].connection(worker);
                self.broken.extend(connection);
                self.ends(worker);
            }
        }
    }

    /// The process is gone; systemd starts another.
    pub(super) fn ends(&mut self, worker: usize) {
        let at = &mut self.workers[worker];
        at.process = None;
        at.held_back = None;
        let pause = self.dice.between(200..=8_000);
        self.after(pause, Happening::WorkerStarts(worker));
    }
}

/// The executor's supervisor.
impl Simulation {
    fn executor(&mut self, worker: usize, action: Action) {
        let is_faulty = !self.is_calm;
        let took = self.dice.between(20..=800);
        match action {
            Action::StartRunner if is_faulty && self.dice.in_1000(50) => {
                self.own_after(worker, took, Event::RunnerStartFailed);
            }
            Action::StartRunner => {
                let in_order = self.plan.in_order;
                self.own_after(worker, took, Event::RunnerStarted { in_order });
            }
            Action::Canary => {
                let passed = !is_faulty || !self.dice.in_1000(100);
                self.own_after(worker, took, Event::CanaryEnded { passed });
            }
            Action::Run(works) => {
                let process = self.workers[worker].process.as_mut().unwrap();
                process.runs += 1;
                let number = process.runs;
                process.run = Some(Run {
                    number,
                    works: works.into(),
                    is_killed: false,
                });
                self.next_work(worker, number);
            }
            Action::KillRunner => {
                let process = self.workers[worker].process.as_mut().unwrap();
                if let Some(run) = &mut process.run {
                    run.is_killed = true;
                    let number = run.number;
                    self.computes_after(worker, 5, number);
                }
            }
            _ => self.own_after(worker, took, Event::RunnerClosed),
        }
    }

    fn own_after(&mut self, worker: usize, ms: u64, event: Event) {
        if let Some(connection) = self.workers[worker].connection(worker) {
            let what = What::Own(event);
            self.after(ms, Happening::Reaches(News { connection, what }));
        }
    }

    fn computes_after(&mut self, worker: usize, ms: u64, run: u64) {
        if let Some(connection) = self.workers[worker].connection(worker) {
            let what = What::Computes { run };
            self.after(ms, Happening::Reaches(News { connection, what }));
        }
    }

    /// Most works take no time, a few longer than their lease.
    fn next_work(&mut self, worker: usize, run: u64) {
        let took = match self.dice.between(0..=99) {
            0..=79 => self.dice.between(1..=300),
            80..=94 => self.dice.between(300..=3_000),
            _ => self.dice.between(3_000..=25_000),
        };
        self.computes_after(worker, took, run);
    }

    /// A work is done, or its executor dies under it.
    fn computes(&mut self, worker: usize, number: u64) {
        let (is_calm, dice) = (self.is_calm, &mut self.dice);
        let Some(process) = &mut self.workers[worker].process else {
            return;
        };
        let Some(run) = process.run.as_mut().filter(|run| run.number == number) else {
            return;
        };
        let Some((lease, work)) = run.works.front() else {
            return;
        };
        let faulty = |dice: &mut super::dice::Dice, times| !is_calm && dice.in_1000(times);
        if run.is_killed || is_poison(work) || faulty(dice, 25) {
            return self.child_lost(worker);
        }
        let answer = if faulty(dice, 15) {
            Answer::NotHere("no memory".to_owned())
        } else if faulty(dice, 5) {
            Answer::TaskFault("it can never work".to_owned())
        } else {
            done(work, self.clock.wall_ms(), 1)
        };
        let lease = *lease;
        run.works.pop_front();
        let has_more = !run.works.is_empty();
        if !has_more {
            process.run = None;
        }
        self.happens(worker, Event::Answered { lease, answer });
        if has_more {
            self.next_work(worker, number);
        } else {
            self.happens(worker, Event::RunEnded { child_lost: false });
        }
    }

    /// In order, the first one was at work and the others were not begun; otherwise all of them were.
    fn child_lost(&mut self, worker: usize) {
        let process = self.workers[worker].process.as_mut().unwrap();
        let works: Vec<(LeaseRef, Work)> = process.run.take().unwrap().works.into();
        let alone = self.plan.in_order || works.len() == 1;
        for (position, (lease, _)) in works.into_iter().enumerate() {
            let text = "the executor died".to_owned();
            let answer = match position {
                _ if !alone => Answer::Suspect(text),
                0 => Answer::Lost(text),
                _ => Answer::NotRun,
            };
            self.happens(worker, Event::Answered { lease, answer });
        }
        self.tally.children += 1;
        self.happens(worker, Event::RunEnded { child_lost: true });
    }
}
