//! What goes wrong beside the network: processes that stop and die, clocks that jump, operators who intervene.

use http::Method;
use protocol::api::{CreatedWorker, TaskList};
use protocol::task::TaskState;

use super::Simulation;
use super::ledger::{Checked, ensure};
use super::network::Happening;
use super::plan::Sabotage;
use agent::machine::Event;

/// How far the gateway's wall clock is wrong at most; leases that were given under it last as long as that in the worst case.
const JUMP_MS_MAX: u64 = 300_000;

impl Simulation {
    /// One misfortune, and the next one's time.
    pub(super) async fn fault(&mut self) -> Checked {
        if self.is_calm {
            return Ok(());
        }
        let pause = self.dice.between(self.plan.fault_ms.clone());
        self.after(pause, Happening::Fault);
        let worker = self.dice.index(self.workers.len());
        match self.dice.between(0..=99) {
            0..=17 => self.stops(worker),
            18..=31 => self.dies(worker),
            32..=39 => self.is_told_to_stop(worker),
            40..=51 => self.is_cut(worker),
            52..=61 => self.jumps(),
            62..=69 => {
                let length = self.dice.between(1_000..=20_000);
                self.partition_until_ms = self.now_ms + length;
                self.tally.partitions += 1;
            }
            70..=79 => return self.drains(worker).await,
            80..=86 => return self.removes(worker).await,
            87..=90 => {
                let connection = self.workers[worker].connection(worker);
                let what = super::network::What::Own(Event::DevicesChanged);
                if let Some(connection) = connection {
                    self.tell(connection, what);
                }
            }
            _ => self.crash(),
        }
        Ok(())
    }

    /// SIGSTOP: its timers and messages wait.
    fn stops(&mut self, worker: usize) {
        let at = &mut self.workers[worker];
        if at.process.is_some() && at.held_back.is_none() {
            at.held_back = Some(Vec::new());
            self.tally.stopped += 1;
            let length = self.dice.between(500..=45_000);
            self.after(length, Happening::Resumes(worker));
        }
    }

    pub(super) fn resumes(&mut self, worker: usize) {
        for news in self.workers[worker].held_back.take().unwrap_or_default() {
            self.reaches(news);
        }
    }

    /// SIGKILL: the kernel closes its connection.
    fn dies(&mut self, worker: usize) {
        if self.workers[worker].process.is_some() {
            let connection = self.workers[worker].connection(worker);
            self.broken.extend(connection);
            self.tally.killed += 1;
            self.ends(worker);
        }
    }

    /// SIGTERM.
    fn is_told_to_stop(&mut self, worker: usize) {
        if let Some(connection) = self.workers[worker].connection(worker) {
            self.tally.told_to_stop += 1;
            let what = super::network::What::Own(Event::StopRequested);
            self.tell(connection, what);
        }
    }

    fn is_cut(&mut self, worker: usize) {
        if let Some(connection) = self.workers[worker].connection(worker) {
            self.broken.push(connection);
            self.tally.cut += 1;
            if self.workers[worker].held_back.is_none() {
                self.disconnected(worker);
            }
        }
    }

    fn jumps(&mut self) {
        let by = i64::try_from(self.dice.between(0..=2 * JUMP_MS_MAX)).unwrap();
        self.clock.jump(by - i64::try_from(JUMP_MS_MAX).unwrap());
        self.tally.jumps += 1;
    }

    async fn drains(&mut self, worker: usize) -> Checked {
        let later = self.dice.between(2_000..=20_000);
        self.after(later, Happening::Undrains(worker));
        self.set_draining(worker, true).await
    }

    pub(super) async fn set_draining(&mut self, worker: usize, draining: bool) -> Checked {
        let id = self.workers[worker].id.clone();
        if !self.pool.is_up() || !self.ledger.is_enrolled(&id) {
            return Ok(());
        }
        let verb = if draining { "drain" } else { "undrain" };
        let path = format!("/v1/workers/{id}/{verb}");
        let answer = self.pool.call(None, Method::POST, &path, None).await;
        ensure(answer.status.is_success(), || answer.text())?;
        self.ledger.set_draining(&id, draining);
        self.tally.drained += u64::from(draining);
        if self.dies_now().await? {
            self.crash();
        }
        Ok(())
    }

    async fn removes(&mut self, worker: usize) -> Checked {
        let id = self.workers[worker].id.clone();
        if !self.pool.is_up() || !self.ledger.is_enrolled(&id) {
            return Ok(());
        }
        if self.plan.sabotage != Some(Sabotage::KeepsLeases) {
            let path = format!("/v1/workers/{id}");
            let answer = self.pool.call(None, Method::DELETE, &path, None).await;
            ensure(answer.status.is_success(), || answer.text())?;
        }
        self.ledger.removed(&id);
        self.tally.removed += 1;
        let later = self.dice.between(1_000..=15_000);
        self.after(later, Happening::Enrols(worker));
        if self.dies_now().await? {
            self.crash();
        }
        Ok(())
    }

    /// With a new secret, which its owner puts in place at once.
    pub(super) async fn enrols(&mut self, worker: usize) -> Checked {
        let id = self.workers[worker].id.clone();
        if self.ledger.is_enrolled(&id) {
            return Ok(());
        }
        if !self.pool.is_up() {
            self.after(1_000, Happening::Enrols(worker));
            return Ok(());
        }
        let body = serde_json::to_vec(&serde_json::json!({ "id": id })).unwrap();
        let body = Some(("application/json", body));
        let answer = self
            .pool
            .call(None, Method::POST, "/v1/workers", body)
            .await;
        if self.plan.sabotage != Some(Sabotage::KeepsLeases) {
            ensure(answer.status.as_u16() == 201, || answer.text())?;
            let secret = hex::decode(answer.json::<CreatedWorker>().enrolment_secret).unwrap();
            self.workers[worker].secret.copy_from_slice(&secret);
        }
        self.ledger.enrolled(&id);
        if self.dies_now().await? {
            self.crash();
        }
        Ok(())
    }

    /// An operator returns a dead letter to the queue.
    pub(super) async fn redrives(&mut self) -> Checked {
        if self.is_calm {
            return Ok(());
        }
        let pause = self.dice.between(5_000..=25_000);
        self.after(pause, Happening::Redrive);
        if !self.pool.is_up() {
            return Ok(());
        }
        let path = "/v1/tasks?all=true&state=dead-letter";
        let list: TaskList = self.pool.call(None, Method::GET, path, None).await.json();
        let dead = u64::try_from(list.tasks.len()).unwrap();
        let right = self.ledger.count(TaskState::DeadLetter);
        ensure(dead == right, || {
            format!("{dead} dead letters are listed, not {right}")
        })?;
        let Some(task) = list.tasks.first() else {
            return Ok(());
        };
        let path = format!("/v1/tasks/{}/redrive", task.id);
        let answer = self.pool.call(None, Method::POST, &path, None).await;
        self.ledger.redriven(task.id, answer.status.is_success())?;
        self.tally.redriven += 1;
        if self.dies_now().await? {
            self.crash();
        }
        Ok(())
    }
}

/// The gateway.
impl Simulation {
    /// Whether its write of a drawn number is done: nobody hears of it.
    pub(super) async fn dies_now(&mut self) -> Checked<bool> {
        self.settles().await?;
        let writes = self.pool.writes();
        let due = self.crashes_due.first().is_some_and(|at| writes >= *at);
        if due {
            self.crashes_due.retain(|at| *at > writes);
        }
        Ok(due)
    }

    /// SIGKILL.
    pub(super) fn crash(&mut self) {
        self.is_gone();
        self.pool.crash();
        self.tally.crashes += 1;
    }

    /// A crash that takes along what was confirmed.
    pub(super) fn forget(&mut self, image: &std::path::Path) {
        self.is_gone();
        self.pool.crash_back_to(image);
    }

    fn is_gone(&mut self) {
        if !self.pool.is_up() {
            return;
        }
        self.parked.clear();
        self.granted.clear();
        self.broken.clear();
        for (connection, _) in std::mem::take(&mut self.served) {
            self.tell(connection, super::network::What::Disconnected);
        }
        let pause = self.dice.between(100..=6_000);
        self.after(pause, Happening::GatewayStarts);
    }

    pub(super) async fn gateway_starts(&mut self) -> Checked {
        if !self.pool.is_up() {
            self.pool.restart().await;
            self.compare().await?;
        }
        Ok(())
    }
}
