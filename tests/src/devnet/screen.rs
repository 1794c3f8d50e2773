//! What a person sees: all of it on standard error, since the exit code is what programs read.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::api::WorkerView;
use protocol::task::TaskState;

use super::proof::Proof;
use crate::fleet::Fleet;

const BANNER: &str = "\
SIMULATED  This pool runs on this machine alone. Its quotes are forged under the simulator's own root, not Intel's:
SIMULATED  they prove nothing. Everything else, from TLS to receipts, is what ships.";

pub(super) fn banner() {
    eprintln!("{BANNER}\n");
}

pub(super) fn step(text: &str) {
    eprintln!("• {text}");
}

pub(super) fn admitted(worker: &WorkerView) {
    let session = worker.session.as_ref();
    let tcb = session.map_or("unknown", |session| session.tcb_status.as_str());
    step(&format!(
        "{}: attested and admitted (TCB status {tcb}, SIMULATED)",
        worker.id
    ));
}

/// A bar on a terminal; elsewhere one line when it starts.
pub(super) fn bar(what: &str, count: usize) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        step(&format!("{what}: {count} tasks"));
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(u64::try_from(count).ok(), target);
    let style = ProgressStyle::with_template("• {msg:22} {wide_bar} {pos}/{len} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_message(what.to_owned())
}

pub(super) fn workers(workers: &[WorkerView]) {
    let mut table = table(&[
        "worker",
        "attestation (SIMULATED)",
        "TCB",
        "executor",
        "tasks done",
    ]);
    for worker in workers {
        let session = worker.session.as_ref();
        let verdict = match (session, &worker.refusal) {
            (Some(_), _) => "PASS".to_owned(),
            (None, Some(refusal)) => format!("refused {}: {}", refusal.code, refusal.title),
            (None, None) => "no session".to_owned(),
        };
        table.add_row(vec![
            Cell::new(&worker.id),
            Cell::new(verdict),
            Cell::new(session.map_or("", |session| session.tcb_status.as_str())),
            Cell::new(session.map_or("", |session| session.executor.as_str())),
            right(&worker.tasks_succeeded),
        ]);
    }
    eprintln!("\n{table}");
}

pub(super) fn tasks(proofs: &[Proof]) {
    let mut table = table(&[
        "operation",
        "tasks",
        "succeeded",
        "attempts",
        "input",
        "output = reference",
        "receipts verified",
    ]);
    for (operation, proofs) in by_operation(proofs) {
        let count = |holds: fn(&Proof) -> bool| proofs.iter().filter(|proof| holds(proof)).count();
        table.add_row(vec![
            Cell::new(operation),
            right(&proofs.len()),
            right(&count(|proof| proof.view.state == TaskState::Succeeded)),
            right(&proofs.iter().map(|proof| proof.view.attempts).sum::<u32>()),
            right(&indicatif::BinaryBytes(
                proofs.iter().map(|proof| proof.input_bytes).sum(),
            )),
            right(&count(|proof| proof.output_equal)),
            right(&count(|proof| proof.receipt_verified)),
        ]);
    }
    eprintln!("\n{table}\n");
}

/// Whether everything held; what did not is named, with where to look.
pub(super) fn summary(proofs: &[Proof], receipts: &Path) -> bool {
    let failed: Vec<_> = proofs.iter().filter(|proof| !proof.holds()).collect();
    for proof in &failed {
        let (task, operation, state) = (proof.view.id, &proof.view.operation, proof.view.state);
        eprintln!(
            "FAIL  task {task} ({operation}, {state}): {}",
            why(proof, receipts)
        );
    }
    let held = proofs.len().saturating_sub(failed.len());
    eprintln!(
        "{held} of {} tasks: output equal to the independent reference, receipt verified to the SIMULATED root",
        proofs.len()
    );
    failed.is_empty()
}

fn why(proof: &Proof, receipts: &Path) -> String {
    let file = |kind: &str| {
        let path = receipts.join(format!("{}.{kind}", proof.view.id));
        path.display().to_string()
    };
    if proof.view.state != TaskState::Succeeded {
        let fault = proof.view.fault.as_deref();
        fault.unwrap_or("it has no output").to_owned()
    } else if proof.output_equal {
        format!("its receipt does not hold: {}", file("refused.txt"))
    } else {
        format!("the reference has another output: {}", file("output"))
    }
}

/// The end of every log, when the devnet cannot go on.
pub(super) fn logs(fleet: &mut Fleet) {
    for process in fleet.processes() {
        eprintln!(
            "\n── last lines of {}\n{}",
            process.name(),
            process.log_end()
        );
    }
}

pub(super) fn keeps_running(fleet: &Fleet) {
    let listening = fleet.listening();
    eprintln!(
        "
The pool keeps running until Ctrl-C.
  API       https://localhost:{} (OpenAPI document at /openapi.json)
  metrics   http://{}/metrics
  files     {}

In another terminal:
  . {}
  cocoon submit sha256_batch README.md --wait
  cocoon-admin status
",
        listening.api.port(),
        listening.metrics,
        fleet.path("").display(),
        fleet.path("env").display(),
    );
}

fn by_operation(proofs: &[Proof]) -> BTreeMap<&str, Vec<&Proof>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for proof in proofs {
        groups
            .entry(proof.view.operation.as_str())
            .or_default()
            .push(proof);
    }
    groups
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

fn right(value: &impl ToString) -> Cell {
    Cell::new(value.to_string()).set_alignment(CellAlignment::Right)
}
