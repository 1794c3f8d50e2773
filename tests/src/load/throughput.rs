//! Tasks a second, from submitted to acknowledged, and what each costs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tokio::sync::Semaphore;

use super::clock::{now, us_each};
use super::crew::{Crew, enrol};
use super::disk::Flushes;
use super::figures::{Figures, Target};
use super::gateway::{LoadedGateway, Usage};
use super::say;
use super::submitting::{Submitting, submit};
use super::worker::Enrolled;

const POLL: Duration = Duration::from_millis(5);
const PROGRESS: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_secs(2);
/// Without one more ack in this time the run is over: leases that were lost have run out by then.
const STALLED: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Tasks of one measurement, each a digest of 1 KiB.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    tasks: u32,
    /// Simulated workers.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(super) workers: u16,
    /// Tasks that a worker leases at once.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    lease: u16,
    /// Tasks in one submission.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    batch: u32,
    /// Connections that submit, each a batch at a time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Tasks between submission and acknowledgement at a time.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    window: u32,
    /// Queue so many tasks after the first measurement, measure again, then restart the gateway.
    #[arg(long, default_value_t = 0, value_name = "TASKS", value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    backlog: u32,
}

impl Options {
    fn submitting(&self) -> Submitting {
        Submitting {
            connections: self.connections,
            batch: self.batch,
        }
    }
}

/// What one measurement found.
struct Measured {
    tasks: u32,
    elapsed: Duration,
    used: Usage,
    unacknowledged: u64,
}

impl Measured {
    fn per_second(&self) -> f64 {
        f64::from(self.tasks) / self.elapsed.as_secs_f64()
    }

    /// Each under its name; `prefix` tells one measurement's from another's.
    fn add_to(&self, figures: &mut Figures, prefix: &str, label: &str) {
        let flushes = self.used.store.commits / f64::from(self.tasks);
        let carried = self.used.store.operations / self.used.store.commits.max(1.0);
        let mut add = |name: &str, what: &str, value, target| {
            let (name, what) = (format!("{prefix}{name}"), format!("{label}{what}"));
            match target {
                Some(target) => figures.add_with_target(&name, &what, value, target),
                None => figures.add(&name, &what, value),
            }
        };
        add(
            "tasks_per_second",
            "tasks a second, submitted to acknowledged",
            self.per_second(),
            Some(Target::AtLeast(10_000.0)),
        );
        add(
            "gateway_cpu_us_per_task",
            "CPU of the gateway, µs a task",
            us_each(self.used.gateway, self.tasks),
            Some(Target::AtMost(80.0)),
        );
        if let Some(database) = self.used.database {
            add(
                "database_cpu_us_per_task",
                "CPU of the PostgreSQL server, µs a task",
                us_each(database, self.tasks),
                None,
            );
        }
        add(
            "generator_cpu_us_per_task",
            "CPU of clients and workers, µs a task",
            us_each(self.used.generator, self.tasks),
            None,
        );
        add(
            "flushes_per_task",
            "flushes a task",
            flushes,
            Some(Target::AtMost(0.05)),
        );
        add(
            "store_operations_per_flush",
            "store operations a flush",
            carried,
            None,
        );
        let unacknowledged = u32::try_from(self.unacknowledged).map_or(f64::INFINITY, f64::from);
        add(
            "unacknowledged",
            "tasks whose first ack failed",
            unacknowledged,
            None,
        );
    }
}

pub(super) async fn run(options: &Options, gateway: &mut LoadedGateway) -> Result<Figures> {
    let enrolled = enrol(gateway, u32::from(options.workers)).await?;
    let mut figures = Figures::default();
    let disk = Flushes::measure(&gateway.folder()).await?;
    let first = measure(gateway, options, &enrolled).await?;
    first.add_to(&mut figures, "", "");
    if options.backlog > 0 {
        fill(gateway, options, &mut figures).await?;
        let second = measure(gateway, options, &enrolled).await?;
        second.add_to(&mut figures, "backlog_", "with the backlog: ");
        let ratio = 100.0 * second.per_second() / first.per_second();
        figures.add_with_target(
            "backlog_throughput_percent",
            "with the backlog: % of the throughput without",
            ratio,
            Target::AtLeast(80.0),
        );
        restart(gateway, &mut figures).await?;
    }
    disk.add_to(&mut figures);
    Ok(figures)
}

/// A crew of its own for each measurement, so that nobody leases while a backlog is queued.
async fn measure(
    gateway: &mut LoadedGateway,
    options: &Options,
    enrolled: &[Enrolled],
) -> Result<Measured> {
    let window = Arc::new(Semaphore::new(usize::try_from(options.window)?));
    let crew = Crew::start(gateway, enrolled, options.lease, Arc::clone(&window))?;
    crew.wait_all().await?;
    say(&format!(
        "{} tasks through {} workers",
        options.tasks, options.workers
    ));
    let before = gateway.usage().await?;
    let start = now();
    let submitted = submit(gateway, options.tasks, options.submitting(), window);
    // The first that fails ends both.
    let ((), tasks) = tokio::try_join!(submitted, wait_acknowledged(&crew, options.tasks))?;
    let elapsed = start.elapsed();
    let used = gateway.usage().await?.since(before);
    let unacknowledged = crew.counts().unacknowledged.load(Ordering::Relaxed);
    crew.stop().await;
    Ok(Measured {
        tasks,
        elapsed,
        used,
        unacknowledged,
    })
}

/// Answers how many were acknowledged: with a backlog, workers go on where the measurement ends.
async fn wait_acknowledged(crew: &Crew, tasks: u32) -> Result<u32> {
    let (start, mut told, mut moved, mut seen) = (now(), now(), now(), 0);
    loop {
        let acknowledged = crew.counts().acknowledged.load(Ordering::Relaxed);
        if acknowledged >= u64::from(tasks) {
            return Ok(u32::try_from(acknowledged)?);
        }
        if acknowledged > seen {
            (moved, seen) = (now(), acknowledged);
        }
        if moved.elapsed() >= STALLED {
            bail!(
                "{acknowledged} of {tasks} tasks were acknowledged, and no other for {STALLED:?}"
            );
        }
        if told.elapsed() >= PROGRESS {
            told = now();
            let seconds = start.elapsed().as_secs_f64();
            say(&format!(
                "{seconds:.0} s: {acknowledged} of {tasks} tasks acknowledged"
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Queues the backlog through the API, with no worker there.
async fn fill(gateway: &mut LoadedGateway, options: &Options, figures: &mut Figures) -> Result<()> {
    say(&format!("queueing {} tasks", options.backlog));
    let before = gateway.usage().await?;
    let start = now();
    // Nobody gives permits back, so there is one for each task.
    let window = Arc::new(Semaphore::new(usize::try_from(options.backlog)?));
    submit(gateway, options.backlog, options.submitting(), window).await?;
    let elapsed = start.elapsed();
    let used = gateway.usage().await?.since(before);
    let queued = gateway.fleet.operator()?.status().await?.tasks.queued;
    ensure!(
        queued == u64::from(options.backlog),
        "{queued} tasks are queued, not {}",
        options.backlog
    );
    let rate = f64::from(options.backlog) / elapsed.as_secs_f64();
    figures.add(
        "queueing_per_second",
        "tasks queued a second, without workers",
        rate,
    );
    figures.add(
        "queueing_gateway_cpu_us_per_task",
        "queueing: CPU of the gateway, µs a task",
        us_each(used.gateway, options.backlog),
    );
    Ok(())
}

/// By SIGKILL while its log is long, which must lose nothing, then in order.
async fn restart(gateway: &mut LoadedGateway, figures: &mut Figures) -> Result<()> {
    say("restarting the gateway over the backlog");
    // Acks that were under way when their workers left are recorded by then.
    tokio::time::sleep(SETTLE).await;
    let before = held(gateway).await?;
    let (_, ready) = gateway.restart(true).await?;
    let target = Target::AtMost(3.5);
    let what = "with the backlog: from a start after SIGKILL to an answer, s";
    figures.add_with_target("killed_ready_s", what, ready.as_secs_f64(), target);
    let after = held(gateway).await?;
    ensure!(
        before == after,
        "SIGKILL lost something: unfinished and succeeded tasks were {before} and are {after}"
    );
    let (stopped, ready) = gateway.restart(false).await?;
    let what = "with the backlog: an orderly stop, s";
    figures.add("stop_s", what, stopped.as_secs_f64());
    let what = "with the backlog: from a start after that to an answer, s";
    figures.add_with_target("restart_ready_s", what, ready.as_secs_f64(), target);
    Ok(())
}

/// Tasks that are not finished, and those that are.
async fn held(gateway: &LoadedGateway) -> Result<String> {
    let status = gateway.fleet.operator()?.status().await;
    let tasks = status
        .context("the gateway does not answer after its restart")?
        .tasks;
    let unfinished = tasks.queued + tasks.running;
    Ok(format!("{unfinished} and {}", tasks.succeeded))
}
