//! `policy simulate`: whom would a policy cut, by the evidence that is stored?

mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use attestation::{AppraisalPolicy, Claims, ErrorCode, Outcome, Transcript};
use serde::Serialize;
use serde_json::json;

use crate::{
    Exit, World,
    answer::{Answer, Findings},
    arguments::PolicySimulate,
    bundle::Bundle,
    input,
    output::Paint,
    verdict::refused_step,
    verifiers::Verifiers,
    verify::read_policy,
};

/// A pool of a thousand workers has some ten records of each.
const FILES_COUNT_MAX: usize = 10_000;

/// One stored piece of evidence under both policies.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// The file's name.
    pub(crate) file: String,
    /// The worker, as it calls itself; covered by the quote only where the verdict is an acceptance.
    pub(crate) worker: Option<String>,
    /// The attestation's id: the report data that the quote must carry.
    pub(crate) attestation: Option<String>,
    /// Under the file's own policy.
    pub(crate) before: Opinion,
    /// Under the policy that is tried.
    pub(crate) after: Opinion,
    /// What the policy would do.
    pub(crate) effect: Effect,
}

/// The step of the platform's enrolment: it is the policy's, and taken of all evidence that verifies.
const POLICY_STEP: u8 = 9;

/// How an appraisal ended.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Opinion {
    pub(crate) accepted: bool,
    /// Whether the policy had its say.
    pub(crate) appraised: bool,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) step: Option<String>,
}

/// What the new policy does to one piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effect {
    /// Accepted before and after.
    Kept,
    /// Accepted before, refused after.
    Cut,
    /// Refused before, accepted after.
    Gained,
    /// Refused before and after.
    Refused,
    /// Refused before either policy had its say: it does not verify.
    Unappraised,
}

/// A file that holds no evidence.
#[derive(Debug, Serialize)]
pub(crate) struct Unreadable {
    pub(crate) file: String,
    pub(crate) error: String,
}

pub(crate) fn simulate(
    arguments: &PolicySimulate,
    world: &mut World<'_>,
) -> anyhow::Result<Answer> {
    let policy = read_policy(&arguments.policy, world)?;
    let time_s = match &arguments.time {
        Some(text) => Some(input::parse_time(text, world.now_s)?),
        None => None,
    };
    let verifiers = Verifiers::of(world);
    let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
    for path in files(&arguments.evidence_dir)? {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let file = file.into_owned();
        match row(&path, file.clone(), &policy, &verifiers, time_s) {
            Ok(row) => rows.push(row),
            Err(error) => unreadable.push(Unreadable {
                file,
                error: format!("{error:#}"),
            }),
        }
    }
    let count = |effect| rows.iter().filter(|row| row.effect == effect).count();
    let (cut, unappraised) = (count(Effect::Cut), count(Effect::Unappraised));
    Ok(Answer::Findings(Findings {
        json: json!({
            "schema": "cocoon-attest/policy-simulate/1",
            "policy_digest": hex::encode(policy.digest()),
            "trust_anchor": world.anchor.label(),
            "kept": count(Effect::Kept),
            "cut": cut,
            "gained": count(Effect::Gained),
            "refused": count(Effect::Refused),
            "unappraised": unappraised,
            "rows": rows,
            "unreadable": unreadable,
        }),
        text: table::shown(&rows, &unreadable, Paint(world.machine.colour)),
        exit: match (cut, unreadable.len()) {
            // Of evidence that no policy looked at, none can be cut.
            (0, 0) if unappraised < rows.len() => Exit::Success,
            // What could not be read might be cut too: that is no "nobody".
            (0, 1..) => Exit::Error,
            _ => Exit::Findings,
        },
    }))
}

/// The records and bundles of a folder, by name.
fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = dir.display();
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot open {name}"))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {name}"))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
        ensure!(
            files.len() <= FILES_COUNT_MAX,
            "{name} holds more than {FILES_COUNT_MAX} files"
        );
    }
    ensure!(
        !files.is_empty(),
        "{name} holds no *.json; for each worker: `cocoon-admin worker attestation --id WORKER --output {}`",
        dir.join("WORKER.json").display()
    );
    files.sort_unstable();
    Ok(files)
}

fn row(
    path: &Path,
    file: String,
    policy: &AppraisalPolicy,
    verifiers: &Verifiers,
    time_s: Option<u64>,
) -> anyhow::Result<Row> {
    let bundle = Bundle::parse(&input::read(path, &mut std::io::empty())?)?;
    let now_s = time_s.unwrap_or(bundle.time_s);
    let own = bundle.own_policy()?;
    let before = opinion(&bundle.audit(verifiers, &own, now_s));
    let after = opinion(&bundle.audit(verifiers, policy, now_s));
    let effect = match (before.accepted, after.accepted) {
        (true, true) => Effect::Kept,
        (true, false) => Effect::Cut,
        (false, true) => Effect::Gained,
        (false, false) if before.appraised || after.appraised => Effect::Refused,
        (false, false) => Effect::Unappraised,
    };
    let evidence = bundle.evidence();
    let claims = evidence.and_then(|evidence| Claims::decode(&evidence.claims).ok());
    Ok(Row {
        file,
        worker: claims.map(|claims| claims.worker_id),
        attestation: bundle.attestation_id().map(|id| id.to_string()),
        before,
        after,
        effect,
    })
}

fn opinion(transcript: &Transcript) -> Opinion {
    let code = transcript.refusal();
    Opinion {
        accepted: code.is_none(),
        appraised: (transcript.steps.iter())
            .any(|step| step.number == POLICY_STEP && step.outcome != Outcome::Skip),
        code,
        step: code.and_then(|_| refused_step(transcript).map(|step| step.name.clone())),
    }
}
