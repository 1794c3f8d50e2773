//! The work, the same for every server: producers that send batches and wait until each is confirmed, consumers that take
//! tasks, digest them, leave each output where its submitter finds it, and acknowledge, and a window between the two. At a fixed
//! rate outputs are awaited, too: one connection beside the producers' is told of all of them, in a way that the server offers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::awaited::{Awaited, Latency};

/// The input of one task.
const INPUT_BYTES: usize = 1_024;
/// Without one more acknowledgement in this time, a run has failed.
const STALLED: Duration = Duration::from_mins(1);

/// How much work.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// Tasks through each server, each a digest of 1 KiB.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000), conflicts_with = "rate")]
    pub tasks: u32,
    /// No task is sent after so many seconds: a slow server does fewer. At a fixed rate tasks are sent for so long, behind two seconds to
    /// warm up.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Connections that send.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub producers: u16,
    /// Connections that take and acknowledge.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub consumers: u16,
    /// Tasks of one confirmed batch.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub batch: u32,
    /// Send single tasks, so many a second in all, whatever the server does, and wait for their outputs; otherwise as fast as it takes
    /// them.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: Option<u32>,
    /// Tasks that a consumer takes at once.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub prefetch: u16,
    /// Tasks between sent and acknowledged at a time.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub window: u32,
    /// Drop outputs where a server would not keep them by itself: less than the gateway does, whose submitters get them.
    #[arg(long, conflicts_with = "rate")]
    pub drop_outputs: bool,
}

impl Plan {
    /// What is on disk when a task is acknowledged.
    pub fn kept(&self) -> &'static str {
        if self.drop_outputs {
            "tasks are on disk, a finished one is removed, its output is dropped"
        } else {
            "tasks are on disk, a finished one is removed, its output is kept"
        }
    }
}

/// A server that this machine does not have, or not in a version that can do this.
#[derive(Debug)]
pub struct Skipped(pub String);

impl std::fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub per_second: f64,
    pub server_cpu_us: f64,
    pub client_cpu_us: f64,
    /// Where submitters wait.
    pub latency: Option<Latency>,
    pub flushes: Option<f64>,
    /// What was durable and what was not.
    pub how: String,
}

/// Work that is being done.
#[derive(Debug)]
pub struct Work {
    left: AtomicU32,
    sent: AtomicU32,
    acknowledged: AtomicU32,
    window: Semaphore,
    ends_at: Instant,
    batch: u32,
    /// Where the rate is fixed.
    awaited: Option<Awaited>,
    pub keeps_outputs: bool,
}

impl Work {
    pub fn new(plan: &Plan) -> Arc<Self> {
        let awaited = plan.rate.map(|rate| Awaited::new(rate, plan.seconds));
        Arc::new(Self {
            left: AtomicU32::new(plan.tasks),
            sent: AtomicU32::new(0),
            acknowledged: AtomicU32::new(0),
            window: Semaphore::new(plan.window.try_into().unwrap_or(usize::MAX)),
            ends_at: now() + Duration::from_secs(plan.seconds.into()),
            batch: plan.batch,
            awaited,
            keeps_outputs: !plan.drop_outputs,
        })
    }

    /// Sends batches until enough was sent: each once the one before is confirmed, or, at a fixed rate, single tasks when they are due,
    /// whatever became of those before.
    pub async fn send<F>(self: Arc<Self>, send: impl Fn(Vec<Vec<u8>>) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let mut under_way: JoinSet<Result<()>> = JoinSet::new();
        while let Some(batch) = self.next().await? {
            let (count, work) = (batch.len(), Arc::clone(&self));
            let sending = send(batch);
            let sending = async move {
                sending.await?;
                work.sent(count);
                Ok(())
            };
            if !self.is_awaited() {
                sending.await?;
                continue;
            }
            under_way.spawn(sending);
            while let Some(ended) = under_way.try_join_next() {
                ended??;
            }
        }
        while let Some(ended) = under_way.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// The next batch's payloads, once the window has room for them; `None` when enough was sent.
    async fn next(&self) -> Result<Option<Vec<Vec<u8>>>> {
        if let Some(awaited) = &self.awaited {
            let Some(number) = awaited.due().await else {
                return Ok(None);
            };
            self.window.acquire().await?.forget();
            return Ok(Some(vec![payload(number)]));
        }
        if now() >= self.ends_at {
            return Ok(None);
        }
        let take = |left: u32| Some(left.saturating_sub(self.batch));
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let count = left.unwrap_or_default().min(self.batch);
        if count == 0 {
            return Ok(None);
        }
        self.window.acquire_many(count).await?.forget();
        Ok(Some((0..count).map(payload).collect()))
    }

    /// Whether somebody is to be told of outputs.
    pub fn is_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    /// What a worker makes of an input.
    pub fn output(&self, input: &[u8]) -> Result<Vec<u8>> {
        let digest = std::hint::black_box(digest(input));
        match self.awaited {
            Some(_) => Awaited::output(input, &digest),
            None => Ok(digest),
        }
    }

    /// Of this output, which is on disk.
    pub fn told(&self, output: &[u8]) -> Result<()> {
        let awaited = self.awaited.as_ref();
        awaited.context("nobody waits for an output")?.told(output)
    }

    /// The server has confirmed so many.
    fn sent(&self, count: usize) {
        self.sent
            .fetch_add(count.try_into().unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// So many tasks are done.
    pub fn acknowledged(&self, count: usize) {
        self.acknowledged
            .fetch_add(count.try_into().unwrap_or(u32::MAX), Ordering::Relaxed);
        self.window.add_permits(count);
    }

    /// Waits for the producers, then until everything is acknowledged; answers how many tasks that were.
    pub async fn finish(
        &self,
        mut producers: JoinSet<Result<()>>,
        consumers: &mut JoinSet<Result<()>>,
    ) -> Result<u32> {
        let (mut seen, mut moved) = (0, now());
        // Its own looks are to cost nothing beside the tasks, nor the time of a short run.
        let pause = Duration::from_millis(if self.is_awaited() { 50 } else { 2 });
        loop {
            while let Some(ended) = producers.try_join_next() {
                ended??;
            }
            if let Some(ended) = consumers.try_join_next() {
                ended??;
                bail!("a consumer ended");
            }
            let (sent, acknowledged) = (
                self.sent.load(Ordering::Relaxed),
                self.acknowledged.load(Ordering::Relaxed),
            );
            let told = self.awaited.as_ref().map(Awaited::count);
            let all_are_told = told.is_none_or(|told| told >= sent as usize);
            if producers.is_empty() && acknowledged >= sent && all_are_told {
                return Ok(acknowledged);
            }
            let all = acknowledged as usize + told.unwrap_or_default();
            if all > seen {
                (seen, moved) = (all, now());
            }
            if moved.elapsed() >= STALLED {
                let told = told.map_or(String::new(), |told| format!(" and {told} outputs told"));
                bail!(
                    "of {sent} tasks {acknowledged} were acknowledged{told}, and no other for {STALLED:?}"
                );
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// The number of a task, again and again.
pub fn payload(number: u32) -> Vec<u8> {
    let mut data = number.to_le_bytes().repeat(INPUT_BYTES / 4);
    data.truncate(INPUT_BYTES);
    data
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub fn now() -> Instant {
    Instant::now()
}

fn digest(input: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, input)
        .as_ref()
        .to_vec()
}

/// Time and CPU from one moment on.
pub struct Meter {
    work: Arc<Work>,
    /// Done before.
    done: u32,
    start: Instant,
    server: Duration,
    client: Duration,
}

impl Meter {
    /// Of work that has just begun: from now on or, at a fixed rate, once all is warm.
    pub async fn start(server: &crate::server::Server, work: &Arc<Work>) -> Result<Self> {
        if let Some(awaited) = &work.awaited {
            awaited.warm().await;
        }
        Ok(Self {
            work: Arc::clone(work),
            done: work.acknowledged.load(Ordering::Relaxed),
            server: server.cpu_time()?,
            client: own_cpu_time(),
            start: now(),
        })
    }

    /// `done`: all tasks, those before the start, too.
    pub fn row(
        &self,
        server: &crate::server::Server,
        name: String,
        done: u32,
        how: String,
    ) -> Result<Row> {
        let elapsed = self.start.elapsed();
        let done = done.saturating_sub(self.done);
        let each = |all: Duration| all.as_secs_f64() * 1e6 / f64::from(done.max(1));
        Ok(Row {
            name,
            per_second: f64::from(done) / elapsed.as_secs_f64(),
            server_cpu_us: each(server.cpu_time()?.saturating_sub(self.server)),
            client_cpu_us: each(own_cpu_time().saturating_sub(self.client)),
            latency: self.work.awaited.as_ref().and_then(Awaited::latency),
            flushes: None,
            how,
        })
    }
}

fn own_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            tasks: 1_500,
            seconds: 60,
            producers: 1,
            consumers: 1,
            batch: 1_000,
            rate: None,
            prefetch: 1,
            window: 1_000,
            drop_outputs: false,
        }
    }

    #[tokio::test]
    async fn batches_add_up_and_wait_for_room() {
        let work = Work::new(&plan());
        assert_eq!(work.next().await.unwrap().unwrap().len(), 1_000);
        work.acknowledged(500);
        assert_eq!(work.next().await.unwrap().unwrap().len(), 500);
        assert!(work.next().await.unwrap().is_none());
    }

    /// A server that confirms nothing before all was sent.
    #[tokio::test]
    async fn what_is_due_is_sent_whatever_became_of_those_before() {
        let mut plan = plan();
        (plan.rate, plan.seconds) = (Some(300), 1);
        let work = Work::new(&plan);
        let all = Arc::new(Semaphore::new(0));
        let (sending, seen) = (Arc::clone(&work), Arc::clone(&all));
        let mut producers = JoinSet::new();
        producers.spawn(sending.send(move |batch| {
            let seen = Arc::clone(&seen);
            async move {
                assert_eq!(batch.len(), 1);
                seen.add_permits(1);
                let _ = seen.acquire_many(900).await?;
                Ok(())
            }
        }));
        let telling = Arc::clone(&work);
        let mut consumers = JoinSet::new();
        consumers.spawn(async move {
            let _ = all.acquire_many(900).await?;
            for number in 0..900 {
                telling.acknowledged(1);
                telling.told(&telling.output(&payload(number))?)?;
            }
            std::future::pending().await
        });
        assert_eq!(work.finish(producers, &mut consumers).await.unwrap(), 900);
        let latency = work.awaited.as_ref().unwrap().latency().unwrap();
        assert!(latency.p50_ms > 250.0, "{latency:?}");
    }

    #[test]
    fn a_payload_is_a_kibibyte() {
        assert_eq!(payload(1).len(), 1_024);
        assert_eq!(digest(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
