//! `verify`: a quote, a worker's collection, an attestation record or a bundle, held against a policy at a point in time.

use std::path::Path;

use anyhow::{Context, anyhow};
use attestation::{
    AppraisalPolicy, AttestationRecord, Binding, Collateral, ErrorCode, Evidence, ReportData,
    gpu::{GpuReferences, rim::UnverifiedManifest},
    rfc_3339,
};
use serde::Deserialize;

use crate::{
    World,
    answer::Answer,
    arguments::{Given, Manifest, Verify},
    bundle::{Bundle, Subject},
    input,
    verdict::{self, Verdict, foreign_root, in_date_s},
    verifiers::Verifiers,
    verify_gpu,
};

/// What an auditor must know of a record, whatever the verdict.
const RECORD_NOTE: &str = "binding and time of a record are the gateway's word";

/// Whoever wrote the record chose the rules in it.
const OWN_POLICY_NOTE: &str = "the appraisal policy is the record's own, and the verdict is worth no more than it: compare its digest with \
     the one you trust, or name that one with --policy";

const NOT_FRESH_NOTE: &str =
    "no report data was given, so for whom and when the quote was made was not judged";

const UNBOUND_NOTE: &str = "no connection was given, so for whom and when the evidence was made was not judged, and its claims and GPU evidence \
     could be anybody's";

/// Whose word a bundle is.
const BUNDLE_NOTE: &str =
    "binding and time of a bundle are its author's word; quote and collateral are signed by others";

const BUNDLE_POLICY_NOTE: &str = "the appraisal policy is the bundle's own, and the verdict is worth no more than it: compare its digest with \
     the one you trust, or name that one with --policy";

pub(crate) fn run(arguments: &Verify, world: &mut World<'_>) -> anyhow::Result<Answer> {
    if arguments.gpu.is_some() {
        return verify_gpu::run(arguments, world);
    }
    let given = &arguments.given;
    let (bundle, notes) = match (&arguments.bundle, &given.record) {
        (Some(path), _) => {
            let bundle = overridden(read_bundle(path, world)?, given, world)?;
            (bundle, bundle_notes(given.policy.as_deref()))
        }
        (None, Some(path)) => {
            let record = read_record(path, world)?;
            let bundle = overridden(Bundle::from(&record), given, world)?;
            (bundle, record_notes(&record, given.policy.as_deref()))
        }
        (None, None) => (bundle(given, world)?, Vec::new()),
    };
    let notes = notes.into_iter().chain(freshness_note(&bundle.subject));
    let policy = bundle.own_policy()?;
    let verifiers = Verifiers::of(world);
    Ok(Answer::Verdict(Box::new(Verdict {
        schema: "cocoon-attest/verify/1",
        anchor: world.anchor.clone(),
        subject: verdict::Subject::Evidence,
        checks: Vec::new(),
        transcript: bundle.audit(&verifiers, &policy, bundle.time_s),
        foreign_root: foreign_root(&world.anchor, &bundle.collateral),
        in_date_s: in_date_s(&bundle.collateral),
        notes: notes.collect(),
    })))
}

fn bundle_notes(policy: Option<&Path>) -> Vec<String> {
    let mut notes = vec![BUNDLE_NOTE.to_owned()];
    if policy.is_none() {
        notes.push(BUNDLE_POLICY_NOTE.to_owned());
    }
    notes
}

fn freshness_note(subject: &Subject) -> Option<String> {
    let note = match subject {
        Subject::Quote {
            report_data: None, ..
        } => NOT_FRESH_NOTE,
        Subject::Evidence { binding: None, .. } => UNBOUND_NOTE,
        Subject::Quote { .. } | Subject::Evidence { .. } => return None,
    };
    Some(note.to_owned())
}

/// Everything that was named, as one bundle.
pub(crate) fn bundle(given: &Given, world: &mut World<'_>) -> anyhow::Result<Bundle> {
    if let Some(path) = &given.record {
        return overridden(Bundle::from(&read_record(path, world)?), given, world);
    }
    let subject = subject(given, world)?;
    let collateral = read_collateral(required(given.collateral.as_deref())?, world)?;
    let policy = read_policy(required(given.policy.as_deref())?, world)?;
    let time_s = input::parse_time(required(given.time.as_deref())?, world.now_s)?;
    let references = read_references(&given.manifests, world)?;
    Ok(Bundle::new(subject, &policy, collateral, time_s).with_references(references))
}

/// What a record or bundle brings gives way to what was named beside it.
fn overridden(bundle: Bundle, given: &Given, world: &mut World<'_>) -> anyhow::Result<Bundle> {
    let mut bundle = bundle;
    if let Some(path) = &given.collateral {
        bundle.collateral = read_collateral(path, world)?;
    }
    if let Some(path) = &given.policy {
        bundle = bundle.with_policy(&read_policy(path, world)?);
    }
    if let Some(text) = &given.time {
        bundle.time_s = input::parse_time(text, world.now_s)?;
    }
    if !given.manifests.is_empty() {
        bundle = bundle.with_references(read_references(&given.manifests, world)?);
    }
    Ok(bundle)
}

/// Manifests, each under its identifier: the one that was named, or the file's name without its extension.
pub(crate) fn read_references(
    manifests: &[Manifest],
    world: &mut World<'_>,
) -> anyhow::Result<GpuReferences> {
    let mut documents = Vec::new();
    for Manifest { id, path } in manifests {
        let bytes = input::read(path, world.input)?;
        let name = path.display();
        // Whether it is NVIDIA's comes later; what is no manifest at all is a mistake of the command line.
        UnverifiedManifest::inspect(&bytes)
            .with_context(|| format!("{name} is no reference manifest"))?;
        GpuReferences::from_documents([(id.clone(), bytes.clone())])
            .with_context(|| format!("{name} has no identifier; name it as --rim ID=FILE"))?;
        documents.push((id.clone(), bytes));
    }
    GpuReferences::from_documents(documents).context("the reference manifests cannot be used")
}

fn subject(given: &Given, world: &mut World<'_>) -> anyhow::Result<Subject> {
    let Some(path) = &given.evidence else {
        let path = required(given.quote.as_deref())?;
        let report_data = match &given.report_data {
            Some(text) => Some(ReportData(input::decode_hex_array("--report-data", text)?)),
            None => None,
        };
        return Ok(Subject::Quote {
            bytes: input::read_binary("quote", path, world.input)?,
            report_data,
        });
    };
    let bytes = input::read_binary("collection", path, world.input)?;
    let collection = Evidence::decode(&bytes)
        .with_context(|| format!("{} is no CMW collection", path.display()))?;
    let binding = match &given.binding {
        Some(path) => Some(read_binding(path, world)?),
        None => None,
    };
    Ok(Subject::Evidence {
        collection,
        binding,
    })
}

/// The binding alone, or as a member beside others, as `report-data` and records have it.
fn read_binding(path: &Path, world: &mut World<'_>) -> anyhow::Result<Binding> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum File {
        Alone(Binding),
        Member { binding: Binding },
    }
    let file = serde_json::from_slice(&input::read(path, world.input)?).with_context(|| {
        format!(
            "{} does not hold the facts of a connection; `cocoon-attest report-data --help` names them",
            path.display()
        )
    })?;
    Ok(match file {
        File::Alone(binding) | File::Member { binding } => binding,
    })
}

/// What the verdict on a record rests on, and what the gateway said at the time.
pub(crate) fn record_notes(record: &AttestationRecord, policy: Option<&Path>) -> Vec<String> {
    let verdict = record.transcript().refusal().map_or_else(
        || "accepted".to_owned(),
        |code: ErrorCode| format!("refused {code}"),
    );
    let time = rfc_3339(record.time_s());
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

fn read_bundle(path: &Path, world: &mut World<'_>) -> anyhow::Result<Bundle> {
    Bundle::parse(&input::read(path, world.input)?)
        .with_context(|| format!("{} cannot be used", path.display()))
}

pub(crate) fn read_policy(path: &Path, world: &mut World<'_>) -> anyhow::Result<AppraisalPolicy> {
    let text = input::read_text(path, world.input)?;
    AppraisalPolicy::from_toml(&text)
        .with_context(|| format!("{} is no appraisal policy", path.display()))
}

pub(crate) fn recorded_policy(record: &AttestationRecord) -> anyhow::Result<AppraisalPolicy> {
    Bundle::from(record).own_policy()
}

pub(crate) fn read_collateral(path: &Path, world: &mut World<'_>) -> anyhow::Result<Collateral> {
    let bytes = input::read(path, world.input)?;
    Collateral::from_json(&bytes).with_context(|| format!("{} is no collateral", path.display()))
}

/// The parser has seen to it that these are there; were it wrong, that is an error and not a panic.
fn required<T>(argument: Option<T>) -> anyhow::Result<T> {
    argument.ok_or_else(|| {
        anyhow!(
            "--quote and --evidence need --collateral, --policy and --time; --record and --bundle bring their own"
        )
    })
}
