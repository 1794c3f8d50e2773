//! `receipt verify`: from a receipt to the root, offline, every step shown.
//!
//! ```text
//! leaf ─ inclusion ─▶ signed statement ─▶ receipt key ─▶ claims ─▶ report data ─▶ quote ─▶ trust anchor
//! ```

mod chain;

use anyhow::Context;
use attestation::Outcome;
use protocol::receipt::{Leaf, Receipt, VerifiedReceipt};
use serde_json::json;

use crate::{
    World,
    answer::Answer,
    arguments::ReceiptVerify,
    input,
    output::{Document, Section},
    verdict::{Subject, Verdict, foreign_root, in_date_s},
    verifiers::Verifiers,
    verify,
};

/// What a receipt is worth, whatever the verdict.
const RECEIPT_NOTE: &str = "a receipt says which measured code says it ran the task; it proves neither the arithmetic nor \
     that the gateway accepted the output";

pub(crate) fn run(arguments: &ReceiptVerify, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let path = &arguments.receipt;
    let receipt: Receipt = serde_json::from_slice(&input::read(path, world.input)?)
        .with_context(|| format!("{} is no receipt", path.display()))?;
    let record = verify::read_record(&arguments.attestation, world)?;
    let policy = match &arguments.policy {
        Some(path) => verify::read_policy(path, world)?,
        None => verify::recorded_policy(&record)?,
    };
    let now_s = match &arguments.time {
        Some(text) => input::parse_time(text, world.now_s)?,
        None => record.time_s(),
    };
    let Verifiers { quotes, gpus } = Verifiers::of(world);
    let transcript = record.audit_under(&quotes, &gpus, &policy, now_s);
    let (mut checks, holding) = chain::inside(&receipt);
    let ties = chain::ties(&receipt, holding.as_ref(), &record);
    let is_tied = ties.iter().all(|tie| tie.outcome == Outcome::Pass);
    checks.extend(ties);
    let mut notes = vec![RECEIPT_NOTE.to_owned()];
    notes.extend(verify::record_notes(&record, arguments.policy.as_deref()));
    Ok(Answer::Verdict(Box::new(Verdict {
        schema: "cocoon-attest/receipt-verify/1",
        anchor: world.anchor.clone(),
        subject: holding.as_ref().map_or(Subject::Evidence, |verified| {
            let leaf = verified.leaf();
            let attested = is_tied && chain::gpu_attested(leaf, &record, &transcript);
            subject(verified, attested)
        }),
        checks,
        transcript,
        foreign_root: foreign_root(&world.anchor, record.collateral()),
        in_date_s: in_date_s(record.collateral()),
        notes,
    })))
}

/// What the leaf says, and what its GPU's evidence was worth, shown only where the receipt holds by itself.
fn subject(verified: &VerifiedReceipt, gpu_attested: bool) -> Subject {
    let (leaf, statement) = (verified.leaf(), verified.statement());
    let section = Section::new("receipt")
        .field("task", leaf.task.clone())
        .field("task_digest", leaf.task_digest.to_string())
        .field("operation", leaf.operation.clone())
        .field("operation_version", leaf.operation_version)
        .field("module_digest", leaf.module_digest.to_string())
        .field(
            "model_digest",
            leaf.model_digest.map(|digest| digest.to_string()),
        )
        .field("inputs", json!(leaf.inputs))
        .field("output", leaf.output.to_string())
        .field("output_bytes", leaf.output_bytes)
        .field("executor", leaf.executor.clone())
        .field("gpu_uuid", leaf.gpu_uuid.clone())
        .field("gpu_attested", gpu_attested)
        .field("attempt", leaf.attempt)
        .field("started", time(leaf.started_ms))
        .field("duration_ms", duration_ms(leaf))
        .field("worker", statement.worker.to_string())
        .field("session", statement.session.to_string());
    Subject::Receipt(Document::new("cocoon-attest/receipt/1", vec![section]))
}

fn time(milliseconds: u64) -> String {
    attestation::rfc_3339(milliseconds / 1_000)
}

/// A worker's clock may jump back; that is no reason to show a number of centuries.
fn duration_ms(leaf: &Leaf) -> u64 {
    leaf.finished_ms.saturating_sub(leaf.started_ms)
}
