//! Latency at a fixed rate: a task is submitted when it is due, whatever became of those before, and its latency counts from
//! then, so that a gateway that stalls does not hide how long others would have waited.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use client::Gateway;
use protocol::task::TaskState;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::clock::{now, us_each};
use super::crew::{Crew, enrol};
use super::disk::Flushes;
use super::figures::{Durations, Figures, Target};
use super::gateway::LoadedGateway;
use super::say;
use super::submitting::task;

/// Tasks that are due and not yet taken up: a second of the highest rate.
const DUE_MAX: usize = 10_000;
/// What a cold connection or an empty cache costs is no latency of a running pool.
const WARM_UP: Duration = Duration::from_secs(2);

/// What Redis took for a task at the default rate, in streams with mutual TLS and a flush before each answer, when this was planned.
const CPU_US: f64 = 673.0;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Tasks a second.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long, after two seconds to warm up.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Simulated workers.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(super) workers: u16,
    /// Connections that submit and wait.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Wait for each result with a request of its own, as one must for a long task. Otherwise the submission waits.
    #[arg(long)]
    apart: bool,
}

pub(super) async fn run(options: &Options, gateway: &mut LoadedGateway) -> Result<Figures> {
    let enrolled = enrol(gateway, u32::from(options.workers)).await?;
    let window = Arc::new(Semaphore::new(0));
    let crew = Crew::start(gateway, &enrolled, 64, window)?;
    crew.wait_all().await?;
    let clients: Result<Vec<_>> = (0..options.connections).map(|_| gateway.client()).collect();
    let clients = clients?;
    let disk = Flushes::measure(&gateway.folder()).await?;
    at_rate(&clients, options, WARM_UP).await?;
    say(&format!(
        "{} tasks a second for {} s",
        options.rate, options.seconds
    ));
    let before = gateway.usage().await?;
    let seconds = Duration::from_secs(u64::from(options.seconds));
    let done = at_rate(&clients, options, seconds).await?;
    let used = gateway.usage().await?.since(before);
    crew.stop().await;
    let tasks = u32::try_from(done.len())?;
    let mut figures = Figures::default();
    figures.add("tasks", "tasks submitted and confirmed", f64::from(tasks));
    add_latencies(&mut figures, &done, options.apart)?;
    disk.add_to(&mut figures);
    figures.add_with_target(
        "gateway_cpu_us_per_task",
        "CPU of the gateway, µs a task",
        us_each(used.gateway, tasks),
        Target::AtMost(CPU_US),
    );
    if let Some(database) = used.database {
        figures.add(
            "database_cpu_us_per_task",
            "CPU of the PostgreSQL server, µs a task",
            us_each(database, tasks),
        );
    }
    figures.add(
        "generator_cpu_us_per_task",
        "CPU of clients and workers, µs a task",
        us_each(used.generator, tasks),
    );
    figures.add(
        "flushes_per_task",
        "flushes a task",
        used.store.commits / f64::from(tasks),
    );
    Ok(figures)
}

/// Where a submission has an answer of its own, its latency stands first.
fn add_latencies(figures: &mut Figures, done: &[Done], apart: bool) -> Result<()> {
    let submitted = done.iter().filter_map(|done| done.submitted).collect();
    if let Some(submitted) = Durations::new(submitted) {
        let what = "due to submission confirmed";
        submitted.add_to(figures, "submitted", what, [None; 4]);
    }
    let confirmed = done.iter().map(|done| done.confirmed).collect();
    let confirmed = Durations::new(confirmed).context("no task was confirmed")?;
    let targets = [
        Some(Target::AtMost(1.5)),
        None,
        Some(Target::AtMost(5.0)),
        None,
    ];
    let what = if apart {
        "due to result confirmed, by two requests"
    } else {
        "due to result confirmed, by one request"
    };
    confirmed.add_to(figures, "confirmed", what, targets);
    Ok(())
}

/// One task's times, from when it was due.
struct Done {
    /// Where that has an answer of its own.
    submitted: Option<Duration>,
    confirmed: Duration,
}

/// Submits at the rate for so long and waits for every result.
async fn at_rate(clients: &[Gateway], options: &Options, length: Duration) -> Result<Vec<Done>> {
    let (rate, apart) = (options.rate, options.apart);
    let (due, mut dues) = mpsc::channel(DUE_MAX);
    let pacing = tokio::task::spawn_blocking(move || pace(rate, length, &due));
    let mut under_way = JoinSet::new();
    let mut clients = clients.iter().cycle();
    let mut number = 0;
    while let Some(due) = dues.recv().await {
        let client = clients.next().context("there is no client")?.clone();
        under_way.spawn(one(client, number, due, apart));
        number += 1;
    }
    pacing.await??;
    let mut done = Vec::new();
    while let Some(ended) = under_way.join_next().await {
        done.push(ended??);
    }
    Ok(done)
}

/// On a thread of its own: the runtime's timer counts in milliseconds.
fn pace(rate: u32, length: Duration, due: &mpsc::Sender<Instant>) -> Result<()> {
    let (start, each) = (now(), Duration::from_secs(1) / rate);
    let mut at = Duration::ZERO;
    while at < length {
        std::thread::sleep((start + at).saturating_duration_since(now()));
        if due.try_send(start + at).is_err() {
            bail!(
                "{DUE_MAX} tasks are due and not taken up: the rate is more than this machine can generate"
            );
        }
        at += each;
    }
    Ok(())
}

/// Submits a task and waits for its result, with the same request or with one long poll.
async fn one(client: Gateway, number: u32, due: Instant, apart: bool) -> Result<Done> {
    let (submitted, task) = if apart {
        let id = client.submit(&task(number)).await?.id;
        (Some(due.elapsed()), client.poll_task(id).await?)
    } else {
        (None, client.submit_and_wait(&task(number)).await?)
    };
    let confirmed = due.elapsed();
    if task.state != TaskState::Succeeded {
        let (id, state) = (task.id, task.state);
        bail!("task {id} is {state:?} after the longest wait");
    }
    Ok(Done {
        submitted,
        confirmed,
    })
}
