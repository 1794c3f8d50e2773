//! `status`, and the line that no command of a simulated pool goes without.

use client::Exit;
use client::failure::Failure;
use client::program::World;
use client::table::{counted, duration, facts, time};
use client::terminal::{Terminal, within_line};
use protocol::api::{PoolStatus, WorkerCounts};

use crate::Session;

/// Says that the pool is a simulation, before anything else and whatever `--quiet` wants.
pub(crate) fn announce(status: &PoolStatus, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    if status.simulated {
        let label = &status.trust_anchor;
        let root = label.strip_prefix("NOT INTEL: ").unwrap_or(label);
        terminal.warning(format_args!(
            "SIMULATED pool: nothing here is attested by Intel (root: {})",
            within_line(root)
        ))?;
    }
    Ok(())
}

/// Has the gateway read its appraisal policy again.
pub(crate) async fn reload_policy(
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let policy = session.gateway.reload_appraisal_policy().await?;
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&policy)?;
    } else {
        terminal.line(format_args!("appraisal policy in force: {}", policy.sha256))?;
        terminal
            .note("Sessions that it refuses are cut; `worker list` shows them with their codes.")?;
    }
    Ok(Exit::Success)
}

pub(crate) fn show(status: &PoolStatus, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    if terminal.style.json {
        terminal.json(status)?;
        return Ok(exit_of(status));
    }
    let (tasks, workers) = (status.tasks, status.workers);
    let up = duration(status.now_ms.saturating_sub(status.started_ms));
    let rows = [
        ("version", status.version.clone()),
        (
            "running",
            format!("{up}, since {}", time(status.started_ms)),
        ),
        ("trust anchor", status.trust_anchor.clone()),
        ("appraisal policy", status.appraisal_policy_sha256.clone()),
        ("collateral", collateral(status)),
        (
            "workers",
            format!(
                "{} live, {} stale, {} offline ({} enrolled, {} draining)",
                workers.live,
                workers.stale,
                offline(workers),
                workers.enrolled,
                workers.draining
            ),
        ),
        (
            "tasks",
            format!(
                "{} queued, {} running, {} succeeded",
                tasks.queued, tasks.running, tasks.succeeded
            ),
        ),
        (
            "tasks that failed",
            format!(
                "{}, {} expired, {} cancelled",
                counted(tasks.dead_letter, "dead letter"),
                tasks.expired,
                tasks.cancelled
            ),
        ),
    ];
    terminal.table(&facts(terminal.style, &rows))?;
    Ok(exit_of(status))
}

/// Enrolled and without a session.
fn offline(workers: WorkerCounts) -> u64 {
    workers
        .enrolled
        .saturating_sub(workers.live)
        .saturating_sub(workers.stale)
}

fn collateral(status: &PoolStatus) -> String {
    match status.collateral_next_update_ms {
        None => "no worker can be admitted: no collateral".to_owned(),
        Some(due_ms) if due_ms <= status.now_ms => {
            format!("OVERDUE since {}: no worker can be admitted", time(due_ms))
        }
        Some(due_ms) => {
            let left = duration(due_ms.saturating_sub(status.now_ms));
            format!("to be renewed by {} (in {left})", time(due_ms))
        }
    }
}

/// Overdue collateral stops the pool before long: a finding for whoever watches by exit code.
fn exit_of(status: &PoolStatus) -> Exit {
    match status.collateral_next_update_ms {
        Some(due_ms) if due_ms <= status.now_ms => Exit::Findings,
        _ => Exit::Success,
    }
}
