//! `verify`: a quote, or a whole attestation record, held against a policy at a point in time.

use std::path::Path;

use anyhow::{Context, anyhow};
use attestation::{
    AppraisalPolicy, Appraiser, AttestationRecord, Collateral, ErrorCode, ReportData, Transcript,
    Verifier,
    gpu::{GpuVerifier, VerifiedReferences},
};

use crate::{
    World,
    answer::Answer,
    arguments::Verify,
    input,
    verdict::{Subject, Verdict, foreign_root},
};

/// What an auditor must know of a record, whatever the verdict.
pub(crate) const RECORD_NOTE: &str = "binding and time of a record are the gateway's word";

/// Whoever wrote the record chose the rules in it.
const OWN_POLICY_NOTE: &str = "the appraisal policy is the record's own, and the verdict is worth no more than it: compare its digest with \
     the one you trust, or name that one with --policy";

const NOT_FRESH_NOTE: &str =
    "no report data was given, so for whom and when the quote was made was not judged";

pub(crate) fn run(arguments: &Verify, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let verifier = Verifier::new(world.anchor.clone());
    let Findings {
        transcript,
        foreign_root,
        notes,
    } = match &arguments.record {
        Some(path) => record(path, arguments, &verifier, world)?,
        None => quote(arguments, &verifier, world)?,
    };
    Ok(Answer::Verdict(Box::new(Verdict {
        schema: "cocoon-attest/verify/1",
        anchor: world.anchor.clone(),
        subject: Subject::Evidence,
        checks: Vec::new(),
        transcript,
        foreign_root,
        notes,
    })))
}

/// What a verdict is made of.
struct Findings {
    transcript: Transcript,
    foreign_root: Option<String>,
    notes: Vec<String>,
}

fn quote(
    arguments: &Verify,
    verifier: &Verifier,
    world: &mut World<'_>,
) -> anyhow::Result<Findings> {
    let quote = input::read(required(arguments.quote.as_deref())?, world.input)?;
    let quote = input::decode_quote(quote)?;
    let collateral = read_collateral(required(arguments.collateral.as_deref())?, world)?;
    let policy = read_policy(required(arguments.policy.as_deref())?, world)?;
    let now_s = input::parse_time(required(arguments.time.as_deref())?, world.now_s)?;
    let report_data = match &arguments.report_data {
        Some(text) => Some(ReportData(input::decode_hex_array("--report-data", text)?)),
        None => None,
    };
    let notes = match report_data {
        Some(_) => Vec::new(),
        None => vec![NOT_FRESH_NOTE.to_owned()],
    };
    let gpu_verifier = GpuVerifier::new(world.gpu_anchor.clone());
    let appraiser = Appraiser {
        verifier,
        gpu_verifier: &gpu_verifier,
        policy: &policy,
        collateral: &collateral,
        references: &VerifiedReferences::default(),
    };
    Ok(Findings {
        transcript: appraiser.audit_quote(&quote, report_data, now_s),
        foreign_root: foreign_root(verifier.anchor(), &collateral),
        notes,
    })
}

fn record(
    path: &Path,
    arguments: &Verify,
    verifier: &Verifier,
    world: &mut World<'_>,
) -> anyhow::Result<Findings> {
    let record = read_record(path, world)?;
    let collateral = match &arguments.collateral {
        Some(path) => read_collateral(path, world)?,
        None => record.collateral().clone(),
    };
    let policy = match &arguments.policy {
        Some(path) => read_policy(path, world)?,
        None => recorded_policy(&record)?,
    };
    let now_s = match &arguments.time {
        Some(text) => input::parse_time(text, world.now_s)?,
        None => record.time_s(),
    };
    let gpu_verifier = GpuVerifier::new(world.gpu_anchor.clone());
    let appraiser = Appraiser {
        verifier,
        gpu_verifier: &gpu_verifier,
        policy: &policy,
        collateral: &collateral,
        references: &VerifiedReferences::verify(record.references(), &world.gpu_anchor),
    };
    Ok(Findings {
        transcript: appraiser.audit(record.evidence(), record.binding(), now_s),
        foreign_root: foreign_root(verifier.anchor(), &collateral),
        notes: record_notes(&record, arguments.policy.as_deref()),
    })
}

/// What the verdict on a record rests on, and what the gateway said at the time.
pub(crate) fn record_notes(record: &AttestationRecord, policy: Option<&Path>) -> Vec<String> {
    let verdict = record.transcript().refusal().map_or_else(
        || "accepted".to_owned(),
        |code: ErrorCode| format!("refused {code}"),
    );
    let time = input::format_time(record.time_s());
    let mut notes = vec![
        RECORD_NOTE.to_owned(),
        format!("by its own word, the gateway {verdict} this evidence at {time}"),
    ];
    if policy.is_none() {
        notes.push(OWN_POLICY_NOTE.to_owned());
    }
    notes
}

pub(crate) fn read_record(path: &Path, world: &mut World<'_>) -> anyhow::Result<AttestationRecord> {
    let bytes = input::read(path, world.input)?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is no attestation record", path.display()))
}

pub(crate) fn read_policy(path: &Path, world: &mut World<'_>) -> anyhow::Result<AppraisalPolicy> {
    let text = input::read_text(path, world.input)?;
    AppraisalPolicy::from_toml(&text)
        .with_context(|| format!("{} is no appraisal policy", path.display()))
}

pub(crate) fn recorded_policy(record: &AttestationRecord) -> anyhow::Result<AppraisalPolicy> {
    AppraisalPolicy::from_toml(record.policy_text())
        .context("the record's own policy cannot be read; name another with --policy")
}

fn read_collateral(path: &Path, world: &mut World<'_>) -> anyhow::Result<Collateral> {
    let bytes = input::read(path, world.input)?;
    Collateral::from_json(&bytes).with_context(|| format!("{} is no collateral", path.display()))
}

/// The parser has seen to it that these are there; were it wrong, that is an error and not a panic.
fn required<T>(argument: Option<T>) -> anyhow::Result<T> {
    argument.ok_or_else(|| {
        anyhow!("--quote needs --collateral, --policy and --time; --record brings its own")
    })
}
