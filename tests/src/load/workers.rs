//! Many attested workers on one gateway.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use tokio::sync::Semaphore;

use super::clock::now;
use super::crew::{Crew, enrol};
use super::figures::{Figures, Target};
use super::gateway::{LoadedGateway, Usage};
use super::say;
use super::worker::Enrolled;
use crate::fleet::{Memory, memory};

/// Before what is at rest is measured: the admissions' own work is done by then.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Simulated workers, each with telemetry at the interval that ships and a request for work that waits.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub(super) count: u32,
    /// How long the workers are watched at rest.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

pub(super) async fn run(options: &Options, gateway: &mut LoadedGateway) -> Result<Figures> {
    let mut figures = Figures::default();
    say(&format!("enrolling {} workers", options.count));
    let start = now();
    let enrolled = enrol(gateway, options.count).await?;
    let took = start.elapsed().as_secs_f64();
    figures.add(
        "enrolment_s",
        "enrolment of all workers over the API, s",
        took,
    );
    let empty = memory(gateway.process_id())?;
    let crew = come(gateway, &enrolled, &mut figures).await?;
    tokio::time::sleep(SETTLE).await;
    let resting = rest(gateway, &crew, options).await?;
    add_resting(&mut figures, &resting, options);
    let held = memory(gateway.process_id())?;
    add_memory(&mut figures, empty, held, options);
    come_back(gateway, &crew, options, &mut figures).await?;
    crew.stop().await;
    Ok(figures)
}

/// All connect at once.
async fn come(
    gateway: &mut LoadedGateway,
    enrolled: &[Enrolled],
    figures: &mut Figures,
) -> Result<Crew> {
    let before = gateway.usage().await?;
    let crew = Crew::start(gateway, enrolled, 1, Arc::new(Semaphore::new(0)))?;
    let came = crew.wait_all().await?.as_secs_f64();
    let used = gateway.usage().await?.since(before);
    let count = f64::from(u32::try_from(enrolled.len())?);
    figures.add("connect_s", "until all workers are admitted, s", came);
    figures.add("connects_per_second", "admissions a second", count / came);
    let each = each_ms(used.gateway, count);
    figures.add(
        "connect_gateway_cpu_ms",
        "admission: CPU of the gateway, ms a worker",
        each,
    );
    let each = each_ms(used.generator, count);
    figures.add(
        "connect_generator_cpu_ms",
        "admission: CPU of a simulated worker, ms",
        each,
    );
    Ok(crew)
}

fn add_memory(figures: &mut Figures, empty: Memory, held: Memory, options: &Options) {
    let mib = |kib: u32| f64::from(kib) / 1_024.0;
    let each = |with: u32, without: u32| {
        f64::from(with.saturating_sub(without)) / f64::from(options.count)
    };
    let resident = mib(held.resident_kib);
    figures.add_with_target(
        "gateway_rss_mib",
        "memory of the gateway (RSS), MiB",
        resident,
        Target::AtMost(600.0),
    );
    figures.add(
        "gateway_pss_mib",
        "memory of the gateway (PSS), MiB",
        mib(held.proportional_kib),
    );
    figures.add(
        "gateway_empty_rss_mib",
        "memory of the gateway without workers (RSS), MiB",
        mib(empty.resident_kib),
    );
    let worker = each(held.resident_kib, empty.resident_kib);
    figures.add("worker_rss_kib", "memory a worker (RSS), KiB", worker);
    let worker = each(held.proportional_kib, empty.proportional_kib);
    figures.add("worker_pss_kib", "memory a worker (PSS), KiB", worker);
}

fn each_ms(all: Duration, count: f64) -> f64 {
    all.as_secs_f64() * 1e3 / count
}

/// What a gateway with all its workers at rest uses.
struct Resting {
    elapsed: Duration,
    used: Usage,
    heartbeats: u64,
    disconnected: u64,
}

async fn rest(gateway: &mut LoadedGateway, crew: &Crew, options: &Options) -> Result<Resting> {
    say(&format!("{} s at rest", options.seconds));
    let heard = |crew: &Crew| crew.counts().heartbeats.load(Ordering::Relaxed);
    let lost = |crew: &Crew| crew.counts().disconnected.load(Ordering::Relaxed);
    let (heartbeats, disconnected) = (heard(crew), lost(crew));
    let before = gateway.usage().await?;
    let start = now();
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let resting = Resting {
        elapsed: start.elapsed(),
        used: gateway.usage().await?.since(before),
        heartbeats: heard(crew) - heartbeats,
        disconnected: lost(crew) - disconnected,
    };
    let live = gateway.fleet.operator()?.status().await?.workers.live;
    ensure!(
        live == u64::from(options.count),
        "the gateway has {live} live workers, not {}",
        options.count
    );
    Ok(resting)
}

fn add_resting(figures: &mut Figures, resting: &Resting, options: &Options) {
    let seconds = resting.elapsed.as_secs_f64();
    let percent = 100.0 * resting.used.gateway.as_secs_f64() / seconds;
    figures.add(
        "resting_gateway_cpu_percent",
        "at rest: CPU of the gateway, % of one core",
        percent,
    );
    let heartbeats = u32::try_from(resting.heartbeats).map_or(f64::INFINITY, f64::from);
    figures.add(
        "heartbeats_per_second",
        "at rest: heartbeats a second",
        heartbeats / seconds,
    );
    let each = resting.used.gateway.as_secs_f64() * 1e6 / seconds / f64::from(options.count);
    figures.add(
        "resting_worker_cpu_us_per_second",
        "at rest: CPU of the gateway, µs a worker and second",
        each,
    );
    figures.add(
        "resting_flushes_per_second",
        "at rest: flushes a second",
        resting.used.store.commits / seconds,
    );
    let lost = u32::try_from(resting.disconnected).map_or(f64::INFINITY, f64::from);
    figures.add_with_target(
        "resting_disconnected",
        "at rest: sessions lost",
        lost,
        Target::AtMost(0.0),
    );
}

/// Kills the gateway and starts it again; its workers find that out by themselves.
async fn come_back(
    gateway: &mut LoadedGateway,
    crew: &Crew,
    options: &Options,
    figures: &mut Figures,
) -> Result<()> {
    say("restarting the gateway");
    let start = now();
    let (_, ready) = gateway.restart(true).await?;
    let before = gateway.usage().await?;
    crew.wait_all().await?;
    let back = start.elapsed();
    let used = gateway.usage().await?.since(before);
    let live = gateway.fleet.operator()?.status().await?.workers.live;
    ensure!(
        live == u64::from(options.count),
        "the gateway has {live} live workers, not {}",
        options.count
    );
    figures.add(
        "restart_ready_s",
        "restart: until the API answers, s",
        ready.as_secs_f64(),
    );
    figures.add_with_target(
        "return_s",
        "restart: until all workers are admitted again, s",
        back.as_secs_f64(),
        Target::AtMost(60.0),
    );
    figures.add(
        "return_gateway_cpu_ms",
        "restart: CPU of the gateway, ms a worker",
        each_ms(used.gateway, f64::from(options.count)),
    );
    Ok(())
}
