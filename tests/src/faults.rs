//! `cargo ci faults`: a pool of real processes under steady load, one of which after another is killed or stopped at random:
//! the gateway, a worker, an executor child. Whatever the API confirmed must be there, once, right, and with a receipt that
//! verifies; and in the end nothing may be left running.
//!
//! ```text
//! load         submits mixed tasks, each until it is confirmed ─▶ journal
//! misfortune   SIGKILL, SIGSTOP … SIGCONT, and starts again what it killed
//! check        reads each confirmed task when it has finished: state, output (computed once more), receipt
//!              and every so often the whole pool against the journal
//! ```

mod check;
mod journal;
mod load;
mod misfortune;
mod processes;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::devnet::Signals;
use crate::fleet::{Fleet, FleetOptions, now_s};
use journal::Journal;
use misfortune::Misfortune;
use report::Report;

/// Short, so that what a killed worker held moves on soon.
const LEASE_S: u32 = 4;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);
/// When all faults have ended, everything that was confirmed finishes within this.
const SETTLE_LIMIT: Duration = Duration::from_mins(5);

/// A pool of real processes (simulated quotes), killed and stopped at random under load.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo ci faults", bin_name = "cargo ci faults")]
pub struct Arguments {
    /// How long things go wrong; then everything must come to its end.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,

    /// Who is hit when, and which tasks there are, follow from it; drawn and printed where it is not given.
    #[arg(long)]
    pub seed: Option<u64>,

    /// Workers to start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub workers: u16,

    /// Appends the outcome to this file, as a section in Markdown.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// What the section's heading opens with, as in a date and a revision.
    #[arg(long, default_value = "A run", hide = true)]
    pub title: String,

    /// Where configuration, state, logs and journal go; must be empty or absent. Removed after a run without violations.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// Runs it; an error says what was violated, and where the logs are.
pub async fn run(arguments: Arguments) -> Result<()> {
    let seed = arguments.seed.unwrap_or_else(now_s);
    let folder = arguments.folder.clone().unwrap_or_else(default_folder);
    let began = Instant::now();
    let report = Arc::new(Report::default());
    report::say(&format!(
        "seed {seed}, {} s, {} workers, in {}",
        arguments.seconds,
        arguments.workers,
        folder.display()
    ));
    let mut signals = Signals::listen()?;
    // The parts of a run share one thread: the processes need the others.
    let parts = LocalSet::new();
    let outcome = tokio::select! {
        outcome = parts.run_until(run_in(&arguments, seed, &folder, &report)) => outcome,
        () = signals.next() => bail!("interrupted; every process was killed"),
    };
    let summary = report.summary(seed, &arguments, began.elapsed(), outcome.as_ref().err());
    report::say(&summary);
    if let Some(log) = &arguments.log {
        report::append(log, &summary)?;
    }
    outcome.with_context(|| {
        let shown = folder.display();
        format!("violated, with seed {seed}; logs and journal are in {shown}")
    })?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Short, for the sockets in it have paths of at most 107 bytes.
fn default_folder() -> PathBuf {
    std::env::temp_dir().join(format!("cocoon-faults-{}", std::process::id()))
}

async fn run_in(
    arguments: &Arguments,
    seed: u64,
    folder: &Path,
    report: &Arc<Report>,
) -> Result<()> {
    let options = FleetOptions {
        lease_duration_s: LEASE_S,
        // A stopped process in this one's group would have that group hung up on when its shell ends.
        own_process_groups: true,
        ..FleetOptions::in_folder(folder)
    };
    let mut fleet = Fleet::start(options).await?;
    let mut workers = Vec::new();
    for number in 1..=arguments.workers {
        workers.push(fleet.add_worker(&format!("worker-{number}")).await?);
    }
    for id in &workers {
        fleet.wait_live(id).await?;
    }
    let journal = Arc::new(Journal::create(&folder.join("journal"), seed)?);
    let pool = check::Pool::of(&fleet, &journal, report)?;
    let quiet = CancellationToken::new();
    let mut tasks = JoinSet::new();
    load::start(&mut tasks, &pool, &quiet);
    check::start(&mut tasks, &pool, &folder.join("proofs"))?;

    let mut misfortune = Misfortune::new(seed, &workers, Arc::clone(report));
    let ends_at = Instant::now() + Duration::from_secs(u64::from(arguments.seconds));
    goes_wrong(&mut fleet, &mut misfortune, &mut tasks, &pool, ends_at).await?;
    misfortune.end(&mut fleet).await?;
    quiet.cancel();
    settle(&mut tasks, &pool).await?;
    for id in &workers {
        fleet.wait_live(id).await?;
    }
    check::whole_pool(&pool).await?;
    check::nothing_runs(&pool).await?;
    for process in fleet.processes() {
        let panicked = process.log().contains("panicked at");
        ensure!(
            !panicked,
            "{} panicked:\n{}",
            process.name(),
            process.log_end()
        );
    }
    misfortune.look(&mut fleet)?;
    fleet.stop().await?;
    misfortune.expect_gone().await
}

/// Until the time is up, or something is violated.
async fn goes_wrong(
    fleet: &mut Fleet,
    misfortune: &mut Misfortune,
    tasks: &mut JoinSet<Result<()>>,
    pool: &check::Pool,
    ends_at: Instant,
) -> Result<()> {
    let mut progress = tokio::time::interval(PROGRESS);
    progress.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    progress.tick().await;
    loop {
        let next = misfortune.next_at().min(ends_at);
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                if Instant::now() >= ends_at {
                    return Ok(());
                }
                misfortune.strike(fleet).await?;
            }
            ended = tasks.join_next() => return Err(early(ended)),
            _ = progress.tick() => report::say(&pool.report.progress()),
        }
        misfortune.expect_alive(fleet)?;
        misfortune.look(fleet)?;
    }
}

/// Everything that was submitted is confirmed, everything that was confirmed is checked.
async fn settle(tasks: &mut JoinSet<Result<()>>, pool: &check::Pool) -> Result<()> {
    report::say("all faults have ended; everything must come to its end");
    let settled = async {
        while let Some(ended) = tasks.join_next().await {
            ended.context("a part of the run panicked")??;
        }
        Ok(())
    };
    match tokio::time::timeout(SETTLE_LIMIT, settled).await {
        Ok(outcome) => outcome,
        Err(_) => bail!(
            "not finished within {} s: {}",
            SETTLE_LIMIT.as_secs(),
            pool.journal.unfinished()
        ),
    }
}

/// A part ends before it is told to only where something was violated.
fn early(ended: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(Err(violated))) => violated,
        Some(Err(panicked)) => anyhow::Error::new(panicked).context("a part of the run panicked"),
        Some(Ok(Ok(()))) | None => anyhow::anyhow!("a part of the run ended by itself"),
    }
}
