//! `receipt` and `attestation`: what proves a task, fetched and as far as possible verified.

use protocol::TaskId;
use protocol::api::{OutputView, TaskView};
use protocol::receipt::Receipt;
use serde_json::json;

use super::arguments::{Attestation, Receipt as ReceiptArguments};
use super::{Session, tasks};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::files::{hand_out_record, write_whole};
use crate::ledger::Submission;
use crate::program::World;
use crate::receipt::{Expectation, KnownOutput, Verification, verify};
use crate::table::{cell, table};
use crate::task::digest_file;
use crate::terminal::Terminal;

pub(super) async fn receipt(
    arguments: &ReceiptArguments,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let given = arguments
        .output_file
        .as_deref()
        .map(digest_file)
        .transpose()?;
    let receipt = match session.gateway.receipt(arguments.task).await {
        Ok(receipt) => receipt,
        Err(error) => return Err(tasks::refused(arguments.task, error, session).await),
    };
    if let Some(path) = &arguments.output {
        write_whole(path, to_json(&receipt)?.as_bytes())?;
    }
    let verification = if arguments.verify {
        let task = session.gateway.task(arguments.task).await?;
        let submission = session.ledger.find(arguments.task)?;
        let mut expected = expectation(&task, submission);
        expected.digest = arguments.task_digest.or(expected.digest);
        if let Some(given) = given {
            let content = OutputView {
                sha256: given.sha256,
                bytes: given.bytes,
            };
            expected.output = Some(KnownOutput {
                content,
                origin: "as in the file",
            });
        }
        Some(verify(&receipt, &expected))
    } else {
        None
    };
    let mut terminal = world.terminal(session.style);
    show(arguments, &receipt, verification.as_ref(), &mut terminal)?;
    Ok(verification.map_or(Exit::Success, |verification| exit_of(&verification)))
}

pub(super) fn exit_of(verification: &Verification) -> Exit {
    if verification.holds {
        Exit::Success
    } else {
        Exit::Findings
    }
}

/// What this machine knows of a task: what it submitted and what it downloaded, else the gateway's word for the output.
pub(super) fn expectation(task: &TaskView, submission: Option<Submission>) -> Expectation {
    let announced = task.output.map(|content| KnownOutput {
        content,
        origin: "as the gateway announces it; nothing was downloaded here",
    });
    match submission {
        Some(submission) => {
            let downloaded = submission.output.map(|content| KnownOutput {
                content,
                origin: "as downloaded",
            });
            Expectation {
                task: task.id,
                digest: Some(submission.digest),
                body: Some(submission.body),
                output: downloaded.or(announced),
            }
        }
        None => Expectation {
            task: task.id,
            digest: None,
            body: None,
            output: announced,
        },
    }
}

fn show(
    arguments: &ReceiptArguments,
    receipt: &Receipt,
    verification: Option<&Verification>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    if terminal.style.json {
        let value =
            json!({"task": arguments.task, "receipt": receipt, "verification": verification});
        return Ok(terminal.json(&value)?);
    }
    if let Some(verification) = verification {
        return Ok(show_verification(verification, terminal)?);
    }
    if arguments.output.is_none() {
        terminal.json_text(&to_json(receipt)?)?;
    }
    Ok(())
}

/// PASS and FAIL lines, the verdict, and what it does not cover.
pub(super) fn show_verification(
    verification: &Verification,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<()> {
    let mut table = table(terminal.style, &["", "STEP", "SEEN"]);
    for step in &verification.steps {
        table.add_row([
            cell(step.outcome.to_string()),
            cell(step.name),
            cell(&step.detail),
        ]);
    }
    terminal.table(&table)?;
    terminal.line(if verification.holds {
        "The receipt holds as far as it was verified here."
    } else {
        "The receipt does NOT hold. Do not use the output; tell the operator, and keep the receipt."
    })?;
    terminal.line("")?;
    terminal.line("Not verified here:")?;
    for sentence in &verification.not_verified {
        terminal.line(format_args!("  {sentence}"))?;
    }
    Ok(())
}

pub(super) async fn attestation(
    arguments: &Attestation,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let record = match session.gateway.task_attestation(arguments.task).await {
        Ok(record) => record,
        Err(error) => return Err(tasks::refused(arguments.task, error, session).await),
    };
    hand_out_record(
        &record,
        arguments.output.as_deref(),
        &mut world.terminal(session.style),
    )?;
    Ok(Exit::Success)
}

fn to_json(receipt: &Receipt) -> std::io::Result<String> {
    Ok(serde_json::to_string_pretty(receipt)? + "\n")
}

/// The receipt of a task that was just waited for: verified, told in one line, or in full when it does not hold.
pub(super) async fn verify_after_wait(
    id: TaskId,
    expected: &Expectation,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Verification, Failure> {
    let receipt = session.gateway.receipt(id).await?;
    let verification = verify(&receipt, expected);
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        return Ok(verification);
    }
    if verification.holds {
        terminal.note(format_args!(
            "receipt: signature, inclusion, task, inputs and output hold (whose key signed it: `cocoon receipt {id} --verify`)"
        ))?;
    } else {
        // Standard output belongs to the output; a receipt that does not hold must be seen all the same.
        let mut errors = Terminal {
            output: &mut *terminal.errors,
            errors: &mut std::io::sink(),
            style: terminal.style,
        };
        show_verification(&verification, &mut errors)?;
    }
    Ok(verification)
}
