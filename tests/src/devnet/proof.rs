//! What is proved of one finished task: its output equals an independent computation's, and its receipt is about this task
//! and leads through an attested key to the (simulated) root.

use std::path::Path;

use anyhow::{Context, Result};
use attestation_cli::{Exit, Machine, World};
use client::Gateway;
use client::receipt::{Expectation, KnownOutput, Outcome, verify};
use protocol::Sha256Digest;
use protocol::api::{OutputView, TaskView};
use protocol::receipt::Receipt;
use protocol::task::TaskState;
use simulator::SimulatedPlatform;

use super::work::{Expected, Work};
use crate::fleet::now_s;

/// One task's outcome. Both verdicts hold only for a task that succeeded.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(super) view: TaskView,
    pub(super) input_bytes: u64,
    pub(crate) output_equal: bool,
    pub(crate) receipt_verified: bool,
}

impl Proof {
    pub(super) fn holds(&self) -> bool {
        self.output_equal && self.receipt_verified
    }
}

/// Fetches output, receipt and attestation record into the folder, and verifies all three.
pub(crate) async fn prove(
    client: &Gateway,
    platform: &SimulatedPlatform,
    work: &Work,
    view: TaskView,
    folder: &Path,
) -> Result<Proof> {
    let mut proof = Proof {
        input_bytes: work.input_bytes(),
        output_equal: false,
        receipt_verified: false,
        view,
    };
    if proof.view.state != TaskState::Succeeded {
        return Ok(proof);
    }
    let output = output(client, &proof.view, folder).await?;
    proof.output_equal = work.expected.is(&output);
    // A receipt names an output bit by bit: the reference's, or one that the reference agrees with.
    let reference = match &work.expected {
        Expected::Bytes(bytes) => bytes,
        Expected::Embeddings(_) => &output,
    };
    proof.receipt_verified =
        receipt(client, platform, work, reference, &proof.view, folder).await?;
    Ok(proof)
}

async fn output(client: &Gateway, view: &TaskView, folder: &Path) -> Result<Vec<u8>> {
    let wanted = view.output.context("a task that succeeded has an output")?;
    let path = folder.join(format!("{}.output", view.id));
    let mut file = tokio::fs::File::create(&path)
        .await
        .context("cannot write an output")?;
    client.download(view.id, wanted, &mut file, |_| ()).await?;
    tokio::fs::read(&path)
        .await
        .context("cannot read an output back")
}

/// Whether the receipt is about this task and its key leads to the root; what was found goes to a file where it does not.
async fn receipt(
    client: &Gateway,
    platform: &SimulatedPlatform,
    work: &Work,
    reference: &[u8],
    view: &TaskView,
    folder: &Path,
) -> Result<bool> {
    let receipt = client.receipt(view.id).await?;
    let record = client.task_attestation(view.id).await?;
    let file = |kind: &str| folder.join(format!("{}.{kind}", view.id));
    let (receipt_file, record_file) = (file("receipt.json"), file("attestation.json"));
    std::fs::write(&receipt_file, serde_json::to_vec_pretty(&receipt)?)
        .context("cannot write a receipt")?;
    std::fs::write(&record_file, record).context("cannot write an attestation record")?;
    let findings = match compare(&receipt, work, reference, view) {
        None => attest(platform, &receipt_file, &record_file),
        findings => findings,
    };
    if let Some(findings) = &findings {
        std::fs::write(file("refused.txt"), findings)
            .context("cannot write why a receipt does not hold")?;
    }
    Ok(findings.is_none())
}

/// What `cocoon receipt --verify` finds wrong, given what was submitted and the reference's output: never the gateway's
/// word for either.
fn compare(receipt: &Receipt, work: &Work, reference: &[u8], view: &TaskView) -> Option<String> {
    let content = OutputView {
        sha256: Sha256Digest::of(reference),
        bytes: work.task.output_bytes(),
    };
    let expected = Expectation {
        task: view.id,
        digest: Some(work.task.digest()),
        body: Some(work.task.body().clone()),
        output: Some(KnownOutput {
            content,
            origin: "as the reference has it",
        }),
    };
    let verification = verify(receipt, &expected);
    let steps = verification.steps.iter();
    let findings: Vec<_> = steps
        .filter(|step| step.outcome != Outcome::Pass)
        .map(|step| format!("{} {}: {}\n", step.outcome, step.name, step.detail))
        .collect();
    (!findings.is_empty()).then(|| findings.concat())
}

/// What `cocoon-attest receipt verify` finds wrong, with the simulator's root where the shipped binary has Intel's.
fn attest(platform: &SimulatedPlatform, receipt: &Path, record: &Path) -> Option<String> {
    let arguments = [
        "cocoon-attest".as_ref(),
        "receipt".as_ref(),
        "verify".as_ref(),
        "--receipt".as_ref(),
        receipt.as_os_str(),
        "--attestation".as_ref(),
        record.as_os_str(),
    ];
    let (mut shown, mut errors) = (Vec::new(), Vec::new());
    let world = World {
        anchor: platform.trust_anchor(),
        gpu_anchor: platform.gpu_trust_anchor(),
        now_s: &now_s,
        input: &mut std::io::empty(),
        output: &mut shown,
        errors: &mut errors,
        machine: Machine::default(),
    };
    let exit = attestation_cli::run(arguments, world);
    let said = || String::from_utf8_lossy(&[shown, errors].concat()).into_owned();
    (exit != Exit::Success).then(said)
}
