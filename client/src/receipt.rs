//! What a receipt proves to somebody who knows what was submitted.
//!
//! Offline: the signature, the place in the batch, and that the receipt is about this task, these inputs and this output.
//! That the receipt key belongs to an attested worker, and that its measurements are good ones, is `cocoon-attest`'s part.

#[cfg(test)]
mod tests;

use protocol::api::OutputView;
use protocol::receipt::{Leaf, Receipt, ReceiptError, VerifiedReceipt};
use protocol::task::{InputDescriptor, TaskBody};
use protocol::{Sha256Digest, TaskId};
use serde::Serialize;

/// What is known of the task independently of the receipt; what is `None` is not compared, and the verdict says so.
#[derive(Debug, Clone)]
pub struct Expectation {
    pub task: TaskId,
    pub digest: Option<Sha256Digest>,
    pub body: Option<TaskBody>,
    pub output: Option<KnownOutput>,
}

/// An output, and how it is known.
#[derive(Debug, Clone)]
pub struct KnownOutput {
    pub content: OutputView,
    /// As in "the downloaded output".
    pub origin: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Pass,
    Fail,
    Skip,
}

/// One step of a verification, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub name: &'static str,
    pub outcome: Outcome,
    /// What was seen, and what was wanted where they differ.
    pub detail: String,
}

/// The verdict with its steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    pub holds: bool,
    pub steps: Vec<Step>,
    /// What no step covered, in sentences.
    pub not_verified: Vec<String>,
}

/// Verifies the receipt and compares it with what is known.
#[must_use]
pub fn verify(receipt: &Receipt, expected: &Expectation) -> Verification {
    let mut steps = Vec::new();
    match receipt.verify() {
        Ok(verified) => {
            steps.extend(proof_steps(None));
            steps.extend(content_steps(&verified, expected));
        }
        Err(error) => {
            steps.extend(proof_steps(Some(&error)));
            let skipped = CONTENT_STEPS
                .iter()
                .map(|name| skip(name, "the receipt itself does not hold"));
            steps.extend(skipped);
        }
    }
    Verification {
        holds: steps.iter().all(|step| step.outcome != Outcome::Fail),
        steps,
        not_verified: not_verified(expected.task),
    }
}

const PROOF_STEPS: [&str; 3] = ["signature", "inclusion", "leaf"];
const CONTENT_STEPS: [&str; 5] = ["task", "task digest", "operation", "inputs", "output"];

/// The proof stands or falls at one step; those after it were not reached.
fn proof_steps(error: Option<&ReceiptError>) -> Vec<Step> {
    let failed_at = error.map(|error| match error {
        ReceiptError::Key(_) | ReceiptError::Statement(_) => 0,
        ReceiptError::Inclusion(_) => 1,
        ReceiptError::LeafTooLarge(_) | ReceiptError::Leaf(_) => 2,
    });
    let good = [
        "holds under the receipt key",
        "the leaf is in the signed batch",
        "one encoding, known version",
    ];
    let step = |(index, (name, good)): (usize, (&'static str, &str))| match (failed_at, error) {
        (Some(failed), Some(error)) if index == failed => fail(name, &chain(error)),
        (Some(failed), _) if index > failed => skip(name, "not reached"),
        (Some(_), Some(ReceiptError::LeafTooLarge(_))) => skip(name, "not reached"),
        _ => pass(name, good),
    };
    PROOF_STEPS
        .into_iter()
        .zip(good)
        .enumerate()
        .map(step)
        .collect()
}

fn content_steps(verified: &VerifiedReceipt, expected: &Expectation) -> Vec<Step> {
    let leaf = verified.leaf();
    let [task, digest, operation, inputs, output] = CONTENT_STEPS;
    let unknown = "not known here: the task was submitted elsewhere";
    vec![
        compare(task, &leaf.task, &expected.task.to_string()),
        expected.digest.map_or_else(
            || skip(digest, unknown),
            |wanted| compare(digest, &leaf.task_digest.to_string(), &wanted.to_string()),
        ),
        expected.body.as_ref().map_or_else(
            || skip(operation, unknown),
            |body| operation_step(operation, leaf, body),
        ),
        expected.body.as_ref().map_or_else(
            || skip(inputs, unknown),
            |body| inputs_step(inputs, leaf, &body.inputs),
        ),
        expected.output.as_ref().map_or_else(
            || skip(output, "not known here: nothing was downloaded"),
            |known| output_step(output, leaf, known),
        ),
    ]
}

fn operation_step(name: &'static str, leaf: &Leaf, body: &TaskBody) -> Step {
    let seen = format!("{} version {}", leaf.operation, leaf.operation_version);
    let step = compare(
        name,
        &seen,
        &format!("{} version {}", body.operation, body.version),
    );
    match &leaf.model_digest {
        Some(model) if step.outcome == Outcome::Pass => {
            pass(name, &format!("{seen}, with the model {model}"))
        }
        _ => step,
    }
}

fn inputs_step(name: &'static str, leaf: &Leaf, wanted: &[InputDescriptor]) -> Step {
    if leaf.inputs.len() != wanted.len() {
        let detail = format!("{} inputs, not {}", leaf.inputs.len(), wanted.len());
        return fail(name, &detail);
    }
    let mut pairs = leaf.inputs.iter().zip(wanted).enumerate();
    match pairs.find(|(_, (seen, wanted))| **seen != wanted.sha256) {
        Some((index, (seen, wanted))) => fail(
            name,
            &format!("input {index} is {seen}, not {}", wanted.sha256),
        ),
        None => pass(name, &format!("all {} as submitted", wanted.len())),
    }
}

fn output_step(name: &'static str, leaf: &Leaf, known: &KnownOutput) -> Step {
    let seen = format!("{} ({} bytes)", leaf.output, leaf.output_bytes);
    let wanted = format!("{} ({} bytes)", known.content.sha256, known.content.bytes);
    if seen == wanted {
        pass(name, &format!("{seen}, {}", known.origin))
    } else {
        fail(name, &format!("{seen}, not {wanted}, {}", known.origin))
    }
}

fn compare(name: &'static str, seen: &str, wanted: &str) -> Step {
    if seen == wanted {
        pass(name, seen)
    } else {
        fail(name, &format!("{seen}, not {wanted}"))
    }
}

fn pass(name: &'static str, detail: &str) -> Step {
    step(name, Outcome::Pass, detail)
}

fn fail(name: &'static str, detail: &str) -> Step {
    step(name, Outcome::Fail, detail)
}

fn skip(name: &'static str, detail: &str) -> Step {
    step(name, Outcome::Skip, detail)
}

fn step(name: &'static str, outcome: Outcome, detail: &str) -> Step {
    Step {
        name,
        outcome,
        detail: detail.to_owned(),
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn not_verified(task: TaskId) -> Vec<String> {
    vec![
        "Whose key signed this is not verified here: neither that it belongs to an attested worker, nor that the worker's code and platform are the ones you trust.".to_owned(),
        format!(
            "To verify that too:\n    cocoon receipt {task} -o receipt.json\n    cocoon attestation {task} -o record.json\n    cocoon-attest receipt verify --receipt receipt.json --attestation record.json"
        ),
        "No receipt proves that the arithmetic is right; it proves which code says that it ran.".to_owned(),
    ]
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        })
    }
}
