//! Workers as tables.

use client::table::{bytes, cell, duration, facts, or_dash, table, time};
use client::terminal::{Style, Terminal};
use comfy_table::{Cell, Color, Table};
use protocol::api::{SessionView, WorkerState, WorkerView};
use protocol::telemetry::GpuTelemetry;

/// One row for each worker.
pub(super) fn table_of(style: Style, workers: &[WorkerView], now_ms: u64) -> Table {
    let heads = [
        "WORKER",
        "STATE",
        "RUNNING",
        "SUCCEEDED",
        "EXECUTOR",
        "TCB",
        "ATTESTED",
        "REFUSAL",
    ];
    let mut table = table(style, &heads);
    for worker in workers {
        let session = worker.session.as_ref();
        table.add_row([
            cell(worker.id.as_str()),
            state_cell(worker),
            cell(worker.tasks_running.to_string()),
            cell(worker.tasks_succeeded.to_string()),
            cell(or_dash(session.map(|session| session.executor.as_str()))),
            cell(or_dash(session.map(|session| session.tcb_status.as_str()))),
            cell(or_dash(
                session.map(|session| ago(session.attested_ms, now_ms)),
            )),
            cell(or_dash(
                worker.refusal.as_ref().map(|refusal| refusal.code.as_str()),
            )),
        ]);
    }
    table
}

/// Everything about one worker.
pub(super) fn details(
    worker: &WorkerView,
    now_ms: u64,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<()> {
    let mut rows = vec![
        ("worker", worker.id.to_string()),
        ("state", state_text(worker)),
        ("enrolled", time(worker.created_ms)),
        (
            "tasks",
            format!(
                "{} running, {} succeeded",
                worker.tasks_running, worker.tasks_succeeded
            ),
        ),
    ];
    if worker.draining && worker.tasks_running == 0 {
        rows.push((
            "draining",
            "done: it runs nothing and gets nothing".to_owned(),
        ));
    }
    if let Some(session) = &worker.session {
        rows.extend(session_rows(session, now_ms));
    }
    if let Some(refusal) = &worker.refusal {
        rows.push((
            "latest refusal",
            format!(
                "{} {} at {}",
                refusal.code,
                refusal.title,
                time(refusal.at_ms)
            ),
        ));
    }
    terminal.table(&facts(terminal.style, &rows))?;
    let telemetry = worker
        .session
        .as_ref()
        .and_then(|session| session.telemetry.as_ref());
    match telemetry.map(|telemetry| telemetry.gpus.as_slice()) {
        Some([]) => terminal.note("It reports no GPU."),
        Some(gpus) => terminal.table(&gpus_table(terminal.style, gpus)),
        None => Ok(()),
    }
}

fn words_or_none(words: &[String]) -> String {
    match words {
        [] => "none".to_owned(),
        words => words.join(" "),
    }
}

/// The status, and for how long the policy still tolerates it where it does so for a while only.
fn tcb_status(session: &SessionView, now_ms: u64) -> String {
    let Some(ends_ms) = session.tcb_grace_ends_ms else {
        return session.tcb_status.clone();
    };
    let left = duration(ends_ms.saturating_sub(now_ms));
    format!("{}, tolerated for {left} more", session.tcb_status)
}

fn session_rows(session: &SessionView, now_ms: u64) -> Vec<(&'static str, String)> {
    vec![
        ("session", session.id.to_string()),
        ("peer", session.peer.clone()),
        ("admitted", time(session.admitted_ms)),
        (
            "attested",
            format!(
                "{} ({})",
                time(session.attested_ms),
                ago(session.attested_ms, now_ms)
            ),
        ),
        ("attestation", session.attestation.clone()),
        (
            "appraised",
            format!(
                "{} ({}); again since the session began: {} times",
                time(session.appraised_ms),
                ago(session.appraised_ms, now_ms),
                session.reappraisals
            ),
        ),
        (
            "appraisal policy",
            session.appraisal_policy_sha256.to_string(),
        ),
        ("attests again by", time(session.reattest_by_ms)),
        (
            "heartbeat",
            or_dash(session.heartbeat_ms.map(|at_ms| ago(at_ms, now_ms))),
        ),
        ("trust anchor", session.trust_anchor.clone()),
        ("TCB status", tcb_status(session, now_ms)),
        ("GPUs attested", words_or_none(&session.gpus_attested)),
        ("advisories", words_or_none(&session.advisory_ids)),
        ("executor", session.executor.clone()),
    ]
}

fn gpus_table(style: Style, gpus: &[GpuTelemetry]) -> Table {
    let heads = [
        "GPU",
        "NAME",
        "LOAD",
        "MEMORY",
        "TEMPERATURE",
        "POWER",
        "ECC",
    ];
    let mut table = table(style, &heads);
    for gpu in gpus {
        let memory = gpu.memory_used_bytes.zip(gpu.memory_total_bytes);
        table.add_row([
            cell(&gpu.uuid),
            cell(&gpu.name),
            cell(or_dash(
                gpu.utilisation_percent
                    .map(|percent| format!("{percent} %")),
            )),
            cell(or_dash(memory.map(|(used, total)| {
                format!("{} of {}", bytes(used), bytes(total))
            }))),
            cell(or_dash(
                gpu.temperature_celsius
                    .map(|celsius| format!("{celsius} °C")),
            )),
            cell(or_dash(
                gpu.power_milliwatts
                    .map(|milliwatts| format!("{} W", milliwatts / 1_000)),
            )),
            cell(or_dash(gpu.ecc_uncorrected_count)),
        ]);
    }
    table
}

fn ago(at_ms: u64, now_ms: u64) -> String {
    format!("{} ago", duration(now_ms.saturating_sub(at_ms)))
}

fn state_text(worker: &WorkerView) -> String {
    let state = match worker.state {
        WorkerState::Offline => "offline",
        WorkerState::Live => "live",
        WorkerState::Stale => "stale",
    };
    match (worker.draining, worker.tasks_running) {
        (false, _) => state.to_owned(),
        (true, 0) => format!("{state}, drained"),
        (true, _) => format!("{state}, draining"),
    }
}

fn state_cell(worker: &WorkerView) -> Cell {
    let cell = cell(state_text(worker));
    match worker.state {
        WorkerState::Offline => cell,
        WorkerState::Live => cell.fg(Color::Green),
        WorkerState::Stale => cell.fg(Color::Yellow),
    }
}
