//! Who is hit next, when, and how; and what is made good again later.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use protocol::WorkerId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use tokio::time::Instant;

use super::processes::{GONE_LIMIT, Identity, Seen, children, send};
use super::report::{Hit, Report};
use crate::fleet::Fleet;

/// Between two hits, in milliseconds: sometimes within one another's consequences, sometimes when all is well again.
const PAUSE_MS: RangeInclusive<u64> = 200..=3_000;
/// Until what was killed is started again.
const DOWN_MS: RangeInclusive<u64> = 0..=4_000;
/// Longer than a lease, and shorter; the gateway misses a worker after 15 s.
const STOPPED_MS: RangeInclusive<u64> = 200..=20_000;
/// A gateway that is stopped stops everybody.
const GATEWAY_STOPPED_MS: RangeInclusive<u64> = 200..=6_000;

/// What is to be made good.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Remedy {
    StartGateway,
    ContinueGateway,
    StartWorker(WorkerId),
    ContinueWorker(WorkerId),
    ContinueExecutor(Identity),
}

impl Remedy {
    /// Whether it is about the gateway, or this worker.
    fn is_of(&self, worker: Option<&WorkerId>) -> bool {
        match self {
            Self::StartGateway | Self::ContinueGateway => worker.is_none(),
            Self::StartWorker(id) | Self::ContinueWorker(id) => worker == Some(id),
            Self::ContinueExecutor(_) => false,
        }
    }
}

/// Hits one process after another.
pub(super) struct Misfortune {
    dice: StdRng,
    workers: Vec<WorkerId>,
    hits_at: Instant,
    remedies: Vec<(Instant, Remedy)>,
    executors: Seen,
    report: Arc<Report>,
}

impl Misfortune {
    pub(super) fn new(seed: u64, workers: &[WorkerId], report: Arc<Report>) -> Self {
        Self {
            dice: StdRng::seed_from_u64(seed),
            workers: workers.to_vec(),
            hits_at: Instant::now() + Duration::from_secs(1),
            remedies: Vec::new(),
            executors: Seen::default(),
            report,
        }
    }

    /// When something is due.
    pub(super) fn next_at(&self) -> Instant {
        let remedies = self.remedies.iter().map(|(at, _)| *at);
        remedies.fold(self.hits_at, Instant::min)
    }

    /// Does what is due: makes good, or hits.
    pub(super) async fn strike(&mut self, fleet: &mut Fleet) -> Result<()> {
        let now = Instant::now();
        let due = self.remedies.extract_if(.., |(at, _)| *at <= now);
        let due: Vec<_> = due.collect();
        for (_, remedy) in due {
            self.make_good(fleet, remedy).await?;
        }
        if now >= self.hits_at {
            self.hit(fleet)?;
            self.hits_at = now + self.draw(PAUSE_MS);
        }
        Ok(())
    }

    /// Nobody has ended but those that were killed.
    pub(super) fn expect_alive(&self, fleet: &mut Fleet) -> Result<()> {
        if !self.is_down(&Remedy::StartGateway) {
            fleet.gateway().expect_alive()?;
        }
        for id in &self.workers {
            if !self.is_down(&Remedy::StartWorker(id.clone()))
                && let Some(process) = fleet.worker(id)
            {
                process.expect_alive()?;
            }
        }
        Ok(())
    }

    /// Remembers the executor children that there are now.
    pub(super) fn look(&mut self, fleet: &mut Fleet) -> Result<()> {
        let workers = self.workers.iter();
        let workers = workers.filter_map(|id| Some(fleet.worker(id)?.process_id()));
        let workers: Vec<_> = workers.collect();
        self.executors.look(workers)
    }

    /// Nor does any executor child outlive its worker.
    pub(super) async fn expect_gone(&self) -> Result<()> {
        self.executors.expect_gone(GONE_LIMIT).await
    }

    fn is_down(&self, start: &Remedy) -> bool {
        self.remedies.iter().any(|(_, remedy)| remedy == start)
    }

    /// Makes everything good.
    pub(super) async fn end(&mut self, fleet: &mut Fleet) -> Result<()> {
        for (_, remedy) in std::mem::take(&mut self.remedies) {
            self.make_good(fleet, remedy).await?;
        }
        Ok(())
    }

    fn draw(&mut self, ms: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.dice.random_range(ms))
    }

    fn later(&mut self, after: Duration, remedy: Remedy) {
        self.remedies.push((Instant::now() + after, remedy));
    }

    /// Whoever is down or stopped is not hit again before it is well.
    fn is_well(&self, worker: Option<&WorkerId>) -> bool {
        !self.remedies.iter().any(|(_, remedy)| remedy.is_of(worker))
    }

    fn hit(&mut self, fleet: &mut Fleet) -> Result<()> {
        let at = self.dice.random_range(0..self.workers.len());
        let Some(worker) = self.workers.get(at).cloned() else {
            return Ok(());
        };
        match self.dice.random_range(0..100_u32) {
            0..20 if self.is_well(None) => {
                fleet.kill_gateway()?;
                self.report.hit(Hit::GatewayKilled);
                let down = self.draw(DOWN_MS);
                self.later(down, Remedy::StartGateway);
            }
            20..30 if self.is_well(None) => {
                fleet.gateway().signal(Signal::STOP)?;
                self.report.hit(Hit::GatewayStopped);
                let stopped = self.draw(GATEWAY_STOPPED_MS);
                self.later(stopped, Remedy::ContinueGateway);
            }
            30..55 if self.is_well(Some(&worker)) => self.kill_worker(fleet, worker)?,
            55..70 if self.is_well(Some(&worker)) => self.stop_worker(fleet, worker)?,
            70.. if self.is_well(Some(&worker)) => self.hit_executor(fleet, &worker)?,
            _ => {}
        }
        Ok(())
    }

    fn kill_worker(&mut self, fleet: &mut Fleet, worker: WorkerId) -> Result<()> {
        let Some(process) = fleet.worker(&worker) else {
            return Ok(());
        };
        process.kill()?;
        self.report.hit(Hit::WorkerKilled);
        let down = self.draw(DOWN_MS);
        self.later(down, Remedy::StartWorker(worker));
        Ok(())
    }

    fn stop_worker(&mut self, fleet: &mut Fleet, worker: WorkerId) -> Result<()> {
        let Some(process) = fleet.worker(&worker) else {
            return Ok(());
        };
        process.signal(Signal::STOP)?;
        self.report.hit(Hit::WorkerStopped);
        let stopped = self.draw(STOPPED_MS);
        self.later(stopped, Remedy::ContinueWorker(worker));
        Ok(())
    }

    /// A worker whose child has just died may have none.
    fn hit_executor(&mut self, fleet: &mut Fleet, worker: &WorkerId) -> Result<()> {
        let stops = self.dice.random_ratio(1, 4);
        let stopped = self.draw(STOPPED_MS);
        let Some(process) = fleet.worker(worker) else {
            return Ok(());
        };
        let Some(child) = children(process.process_id())?.first().copied() else {
            return Ok(());
        };
        if stops && send(child, Signal::STOP)? {
            self.report.hit(Hit::ExecutorStopped);
            self.later(stopped, Remedy::ContinueExecutor(child));
        } else if !stops && send(child, Signal::KILL)? {
            self.report.hit(Hit::ExecutorKilled);
        }
        Ok(())
    }

    async fn make_good(&mut self, fleet: &mut Fleet, remedy: Remedy) -> Result<()> {
        match remedy {
            Remedy::StartGateway => {
                fleet.restart_gateway().await?;
                self.report.restarted();
            }
            Remedy::ContinueGateway => fleet.gateway().signal(Signal::CONT)?,
            Remedy::StartWorker(id) => {
                fleet.start_worker(&id)?;
                self.report.restarted();
            }
            Remedy::ContinueWorker(id) => {
                if let Some(process) = fleet.worker(&id) {
                    process.signal(Signal::CONT)?;
                }
            }
            Remedy::ContinueExecutor(child) => {
                // It may have been killed with its worker.
                send(child, Signal::CONT)?;
            }
        }
        Ok(())
    }
}
