//! A verdict as it is printed: the loud line where the root is not Intel's, steps, and what to do.

use std::fmt::Write as _;

use attestation::{Collateral, ErrorCode, Outcome, Step, Transcript, TrustAnchor};
use serde_json::{Value, json};

use crate::{
    checks::Check,
    input::format_time,
    output::{Document, one_line},
};

/// What was found, with the steps that lead there.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Names the shape of the JSON; a change that breaks a reader changes the number in it.
    pub(crate) schema: &'static str,
    /// The root that the verdict ends in.
    pub(crate) anchor: TrustAnchor,
    /// What the verdict is about.
    pub(crate) subject: Subject,
    /// Steps of this tool's own, before the appraisal.
    pub(crate) checks: Vec<Check>,
    /// The appraisal's steps.
    pub(crate) transcript: Transcript,
    /// The name of the root that the collateral claims, where that is not the anchor's.
    pub(crate) foreign_root: Option<String>,
    /// What the verdict rests on, and what it does not say.
    pub(crate) notes: Vec<String>,
}

/// What the verdict is about.
#[derive(Debug)]
pub(crate) enum Subject {
    /// Evidence, which the steps show.
    Evidence,
    /// A receipt that holds by itself, and what it says.
    Receipt(Document),
}

/// The claimed root of collateral, unless it is the anchor's.
pub(crate) fn foreign_root(anchor: &TrustAnchor, collateral: &Collateral) -> Option<String> {
    let claimed = collateral.claimed_root();
    (!anchor.is_named(&claimed)).then_some(claimed)
}

/// The step that a refusal names.
struct Refusal<'a> {
    name: &'a str,
    seen: &'a str,
    code: Option<ErrorCode>,
}

impl Verdict {
    /// Every step passed, and nothing required was left out.
    pub(crate) fn passed(&self) -> bool {
        self.checks.iter().all(Check::passed) && self.transcript.refusal().is_none()
    }

    /// The first step that stands in the way.
    fn refusal(&self) -> Option<Refusal<'_>> {
        let check = self.checks.iter().find(|check| !check.passed());
        if let Some(check) = check {
            return Some(Refusal {
                name: check.name,
                seen: &check.seen,
                code: None,
            });
        }
        let code = self.transcript.refusal()?;
        let steps = &self.transcript.steps;
        let failed = steps.iter().find(|step| step.outcome == Outcome::Fail);
        let skipped = steps
            .iter()
            .find(|step| step.required && step.outcome == Outcome::Skip);
        let step = failed.or(skipped);
        Some(Refusal {
            name: step.map_or("appraisal", |step| &step.name),
            seen: step.map_or("no step was taken", |step| &step.seen),
            code: Some(code),
        })
    }

    fn simulated(&self) -> bool {
        self.anchor != TrustAnchor::intel()
    }

    pub(crate) fn to_json(&self) -> Value {
        let refusal = self.refusal();
        let code = refusal.as_ref().and_then(|refusal| refusal.code);
        let subject = match &self.subject {
            Subject::Evidence => Value::Null,
            Subject::Receipt(document) => document.to_json(),
        };
        json!({
            "schema": self.schema,
            "verdict": if refusal.is_none() { "accepted" } else { "refused" },
            "trust_anchor": self.anchor.label(),
            "simulated": self.simulated(),
            "foreign_root": self.foreign_root,
            "failed_step": refusal.as_ref().map(|refusal| refusal.name),
            "code": code,
            "remedy": code.map(ErrorCode::remedy),
            "subject": subject,
            "checks": self.checks,
            "transcript": self.transcript,
            "notes": self.notes,
        })
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_text(&mut text);
        text
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let steps = self.transcript.steps.iter().map(|step| step.name.as_str());
        self.checks.iter().map(|check| check.name).chain(steps)
    }

    fn write_text(&self, text: &mut String) -> std::fmt::Result {
        if self.simulated() {
            writeln!(
                text,
                "SIMULATED: the root of this verdict is not Intel's ({}). It proves nothing about real hardware.\n",
                self.anchor.label()
            )?;
        }
        if let Subject::Receipt(document) = &self.subject {
            writeln!(text, "{}", document.to_text())?;
        }
        let width = self
            .names()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or_default();
        for check in &self.checks {
            let Check {
                name,
                outcome,
                seen,
                wanted,
            } = check;
            write_line(
                text,
                &Line {
                    number: None,
                    name,
                    outcome: *outcome,
                    seen,
                    wanted,
                },
                width,
            )?;
        }
        for step in &self.transcript.steps {
            let Step {
                number,
                name,
                outcome,
                seen,
                wanted,
                ..
            } = step;
            write_line(
                text,
                &Line {
                    number: Some(*number),
                    name,
                    outcome: *outcome,
                    seen,
                    wanted,
                },
                width,
            )?;
        }
        writeln!(text, "\ntime    {}", format_time(self.transcript.time_s))?;
        writeln!(text, "policy  sha256:{}", self.transcript.policy_digest)?;
        writeln!(text, "root    {}", self.anchor.label())?;
        for note in &self.notes {
            writeln!(text, "note    {note}")?;
        }
        writeln!(text)?;
        match self.refusal() {
            None => writeln!(text, "ACCEPTED under {}", self.anchor.label()),
            Some(refusal) => self.write_refusal(text, &refusal),
        }
    }

    fn write_refusal(&self, text: &mut String, refusal: &Refusal<'_>) -> std::fmt::Result {
        let code = refusal
            .code
            .map(|code| format!(" {code}"))
            .unwrap_or_default();
        writeln!(
            text,
            "REFUSED{code} at step \"{}\": {}",
            refusal.name,
            one_line(refusal.seen)
        )?;
        match (&self.foreign_root, refusal.code) {
            (Some(foreign), _) => writeln!(
                text,
                "Why: the collateral says that it ends in \"{}\", not in {}. Evidence under another root is never accepted \
                 here; there is nothing in it to mend.",
                one_line(foreign),
                self.anchor.label()
            ),
            (None, Some(code)) => writeln!(text, "What to do: {}", code.remedy()),
            (None, None) => Ok(()),
        }
    }
}

/// One printed step; the appraisal's carry the numbers of the gate's order.
struct Line<'a> {
    number: Option<u8>,
    name: &'a str,
    outcome: Outcome,
    seen: &'a str,
    wanted: &'a str,
}

fn write_line(text: &mut String, line: &Line<'_>, width: usize) -> std::fmt::Result {
    let number = line
        .number
        .map(|number| number.to_string())
        .unwrap_or_default();
    writeln!(
        text,
        "{number:>2}  {}  {:width$}  {}",
        line.outcome,
        line.name,
        one_line(line.seen)
    )?;
    if line.outcome == Outcome::Fail && !line.wanted.is_empty() {
        let wanted = one_line(line.wanted);
        writeln!(text, "{:10}{:width$}  wanted: {wanted}", "", "")?;
    }
    Ok(())
}
