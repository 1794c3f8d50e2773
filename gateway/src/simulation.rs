//! Pools that go wrong, each out of one seed: the gateway's own admission, handlers, sessions and store, and the agent's own
//! machine and receipts, with everything between and around them simulated.
//!
//! A seed draws a few workers, clients and tasks, and what happens to them: messages are lost, come twice, late and out of
//! order; workers are stopped past their leases, killed, told to stop, cut off, taken out; executors die; the gateway's wall clock
//! jumps; the gateway dies, also right after a write of which nobody hears, and before one of which a worker has heard. Then all faults end, and every task must.
//!
//! Every answer of the gateway is held against the `ledger` as it is given; the whole store is at each start of the gateway; and
//! in the end what clients were promised is there, once, with the right output and a receipt that holds.
//!
//! | part | real | simulated |
//! |---|---|---|
//! | gateway | API routes, routes of attested connections, leases that wait in the store, sessions and their life, receipts, store and SQLite, blobs | listeners, TLS and HTTP/2, `worker::driver` (the same parts, called by `sessions`) |
//! | admission | the relying party on forged evidence, in one run of fifty; elsewhere sessions are opened without | the channel that binds evidence to a connection |
//! | worker | the machine that decides, leases as they are read, leaves and signatures | its driver, the executor, the quote broker |
//! | time | | both clocks |
//! | a crash | SQLite's files as they are at that moment, log and all, and recovery from them | |
//!
//! Forgotten tasks (retention) and replaced policies are not part of it. What is simulated here, real processes go through in
//! `cargo ci faults`.
//!
//! A failure prints its seed and what happened before. `COCOON_FAULTS_SEED=<seed> cargo test --package gateway simulation` runs
//! that one alone, `COCOON_FAULTS_SEEDS=<number>` more than a thousand.

mod agents;
mod audit;
mod clients;
mod clock;
mod dice;
mod faults;
mod ledger;
mod network;
mod parked;
mod plan;
mod pool;
mod sessions;
mod tally;
mod tests;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;

use agent::machine::Event;
use clients::{Order, Promises};
use clock::SimulatedClock;
use dice::Dice;
use ledger::{Checked, Ledger, Violation};
use network::{Agenda, Happening, Post, Step};
use parked::Parked;
use plan::{Plan, Sabotage};
use pool::Pool;
use sessions::Served;
use tally::Tally;
use worker::{Connection, Worker};

/// So long things go wrong.
const CHAOS_MS: u64 = 35_000;
/// By then everything has come to its end, or never does.
const HORIZON_MS: u64 = 1_800_000;
/// As often as the gateway looks after leases and sessions here; itself it does so more often.
const HOUSEKEEPING_MS: u64 = 3_000;

/// One run.
struct Simulation {
    plan: Plan,
    dice: Dice,
    clock: Arc<SimulatedClock>,
    now_ms: u64,
    agenda: Agenda,
    pool: Pool,
    served: BTreeMap<Connection, Served>,
    parked: Vec<Parked>,
    /// Answers to those that waited, on their way.
    granted: Vec<(Post, Event)>,
    /// Connections that the gateway is yet to miss.
    broken: Vec<Connection>,
    workers: Vec<Worker>,
    orders: Vec<Order>,
    ledger: Ledger,
    promises: Promises,
    is_calm: bool,
    partition_until_ms: u64,
    crashes_due: Vec<u64>,
    tally: Tally,
    trace: Vec<String>,
    is_traced: bool,
}

/// What a run came to.
struct Outcome {
    verdict: Checked,
    tally: Tally,
    trace: Vec<String>,
    writes: u64,
}

impl Simulation {
    async fn new(plan: Plan, mut dice: Dice, is_traced: bool) -> Self {
        let clock = Arc::new(SimulatedClock::default());
        let pool = Pool::start(Arc::clone(&clock), plan.lease).await;
        let orders = (0..plan.tasks).map(|number| Order::draw(number, &mut dice));
        Self {
            orders: orders.collect(),
            workers: (0..plan.workers).map(Worker::new).collect(),
            crashes_due: plan.crash_after_writes.clone(),
            plan,
            dice,
            clock,
            now_ms: 0,
            agenda: Agenda::default(),
            pool,
            served: BTreeMap::new(),
            parked: Vec::new(),
            granted: Vec::new(),
            broken: Vec::new(),
            ledger: Ledger::default(),
            promises: Promises::default(),
            is_calm: false,
            partition_until_ms: 0,
            tally: Tally::default(),
            trace: Vec::new(),
            is_traced,
        }
    }

    /// To the end, or to what must not be.
    async fn run(mut self) -> Outcome {
        let verdict = self.live().await;
        Outcome {
            verdict,
            writes: self.pool.writes(),
            tally: self.tally,
            trace: self.trace,
        }
    }

    async fn live(&mut self) -> Checked {
        self.begin();
        while let Some((at_ms, happening)) = self.agenda.next() {
            // A millisecond for each, so that no two have the same time.
            self.now_ms = at_ms.max(self.now_ms + 1);
            self.clock.advance(self.now_ms);
            if self.is_traced {
                let line = format!("{:>8} ms  {happening:?}", self.now_ms);
                self.trace.push(line);
            }
            self.happen(happening).await?;
            self.passes_on().await?;
            if !self.is_calm && self.now_ms >= CHAOS_MS {
                self.calm().await?;
            }
            if self.is_over() {
                return self.audit().await;
            }
            ledger::ensure(self.now_ms < HORIZON_MS, || {
                let left = self.ledger.tasks.values();
                let left: Vec<_> = left.filter(|entry| !entry.state.is_finished()).collect();
                format!("these never come to an end: {left:?}")
            })?;
        }
        Err(Violation("nothing happens any more".to_owned()))
    }

    /// Whoever waited for what just happened hears of it, unless the gateway dies first.
    async fn passes_on(&mut self) -> Checked {
        if self.pool.is_up() && self.dies_now().await? {
            self.crash();
        }
        self.hands_out();
        Ok(())
    }

    fn begin(&mut self) {
        for worker in 0..self.workers.len() {
            self.after(0, Happening::Enrols(worker));
            let later = self.dice.between(1..=5_000);
            self.after(later, Happening::WorkerStarts(worker));
        }
        for order in 0..self.orders.len() {
            let later = self.dice.between(1..=25_000);
            let step = Step::Submit;
            self.after(later, Happening::Client { order, step });
        }
        self.after(HOUSEKEEPING_MS, Happening::Housekeeping);
        self.after(3_000, Happening::Fault);
        self.after(10_000, Happening::Redrive);
    }

    async fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Arrives(post) => return self.arrives(post).await,
            Happening::Reaches(news) => self.reaches(news),
            Happening::Housekeeping => return self.housekeeping().await,
            Happening::Client { order, step } => return self.client(order, step).await,
            Happening::Redrive => return self.redrives().await,
            Happening::Fault => return self.fault().await,
            Happening::GatewayStarts => return self.gateway_starts().await,
            Happening::WorkerStarts(worker) => {
                if self.workers[worker].process.is_none() {
                    self.workers[worker].start(self.now_ms);
                    self.turn(worker);
                }
            }
            Happening::Resumes(worker) => self.resumes(worker),
            Happening::Undrains(worker) => return self.set_draining(worker, false).await,
            Happening::Enrols(worker) => return self.enrols(worker).await,
        }
        Ok(())
    }

    async fn housekeeping(&mut self) -> Checked {
        self.after(HOUSEKEEPING_MS, Happening::Housekeeping);
        if !self.pool.is_up() {
            return Ok(());
        }
        if self.plan.sabotage != Some(Sabotage::NeverExpires) {
            let now_ms = self.clock.wall_ms();
            let expired = self.pool.store().expire(now_ms).await.unwrap();
            self.ledger.expired(now_ms, expired)?;
            self.tally.ran_out += expired.requeued + expired.dead_lettered;
        }
        if self.dies_now().await? {
            self.crash();
            return Ok(());
        }
        self.session_turns().await;
        self.look_again().await
    }

    /// All faults end.
    async fn calm(&mut self) -> Checked {
        self.is_calm = true;
        self.crashes_due.clear();
        self.clock.jump(0);
        if !self.pool.is_up() {
            self.pool.restart().await;
        }
        for worker in 0..self.workers.len() {
            self.resumes(worker);
            self.enrols(worker).await?;
            self.set_draining(worker, false).await?;
        }
        for order in 0..self.orders.len() {
            let is_known = self.promises.confirmed.contains_key(&order);
            if self.orders[order].has_key() && (!is_known || self.dice.in_1000(250)) {
                let later = self.dice.between(0..=2_000);
                let step = Step::Submit;
                self.after(later, Happening::Client { order, step });
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let keyed = self.orders.iter().enumerate();
        let mut keyed = keyed.filter(|(_, order)| order.has_key());
        self.is_calm
            && self.now_ms >= CHAOS_MS + 2 * HOUSEKEEPING_MS
            && self.pool.is_up()
            && self.ledger.all_finished()
            && keyed.all(|(order, _)| self.promises.confirmed.contains_key(&order))
    }
}
