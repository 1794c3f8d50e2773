//! A verdict as it is printed: the loud line where the root is not Intel's, steps, and what to do.

use std::{fmt::Write as _, ops::Range};

use attestation::{
    Collateral, ErrorCode, Outcome, Step, Transcript, TrustAnchor, one_line, rfc_3339,
};
use serde_json::{Value, json};

use crate::{
    checks::Check,
    output::{Document, Paint},
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
    /// When all of the collateral is in date.
    pub(crate) in_date_s: Range<u64>,
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

/// From the last part's issue to the first part's next update; empty where they never were in date together.
pub(crate) fn in_date_s(collateral: &Collateral) -> Range<u64> {
    let parts = collateral.validities().iter();
    let issued_s = parts.map(|part| part.issued_s).max();
    issued_s.unwrap_or_default()..collateral.next_update_s()
}

/// The step that a refusal names.
struct Refusal<'a> {
    name: &'a str,
    seen: &'a str,
    code: Option<ErrorCode>,
    /// How many steps failed beside it.
    more_count: usize,
}

/// The step that a transcript's refusal names: the first that failed, else the first that was required and skipped.
pub(crate) fn refused_step(transcript: &Transcript) -> Option<&Step> {
    let mut steps = transcript.steps.iter();
    let failed = steps.clone().find(|step| step.outcome == Outcome::Fail);
    failed.or_else(|| steps.find(|step| step.required && step.outcome == Outcome::Skip))
}

impl Verdict {
    /// Every step passed, and nothing required was left out.
    pub(crate) fn passed(&self) -> bool {
        self.checks.iter().all(Check::passed) && self.transcript.refusal().is_none()
    }

    /// The first step that stands in the way.
    fn refusal(&self) -> Option<Refusal<'_>> {
        let failed = |outcome: &Outcome| *outcome == Outcome::Fail;
        let checks = self.checks.iter().map(|check| check.outcome).filter(failed);
        let steps = self.transcript.steps.iter().map(|step| step.outcome);
        let more_count = checks.chain(steps.filter(failed)).skip(1).count();
        let check = self.checks.iter().find(|check| !check.passed());
        if let Some(check) = check {
            return Some(Refusal {
                name: check.name,
                seen: &check.seen,
                code: None,
                more_count,
            });
        }
        let code = self.transcript.refusal()?;
        let step = refused_step(&self.transcript);
        Some(Refusal {
            name: step.map_or("appraisal", |step| &step.name),
            seen: step.map_or("no step was taken", |step| &step.seen),
            code: Some(code),
            more_count,
        })
    }

    /// What a reader can do who has files and no gateway.
    fn remedy(&self, code: ErrorCode) -> String {
        let Range { start, end } = &self.in_date_s;
        match code {
            ErrorCode::CollateralExpired
            | ErrorCode::CollateralNotYetValid
            | ErrorCode::CrlExpired
                if start < end =>
            {
                format!(
                    "Verify at a time from {} until {} with --time, or bring collateral of another time.",
                    rfc_3339(*start),
                    rfc_3339(*end)
                )
            }
            code => code.remedy().to_owned(),
        }
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
            "remedy": code.map(|code| self.remedy(code)),
            "subject": subject,
            "checks": self.checks,
            "transcript": self.transcript,
            "notes": self.notes,
        })
    }

    pub(crate) fn to_text(&self, paint: Paint) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_text(&mut text, paint);
        text
    }

    fn write_text(&self, text: &mut String, paint: Paint) -> std::fmt::Result {
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
        self.write_steps(text, paint)?;
        writeln!(text, "\ntime    {}", rfc_3339(self.transcript.time_s))?;
        writeln!(text, "policy  sha256:{}", self.transcript.policy_digest)?;
        writeln!(text, "root    {}", self.anchor.label())?;
        for note in &self.notes {
            writeln!(text, "note    {note}")?;
        }
        writeln!(text)?;
        match self.refusal() {
            None => {
                let word = paint.word(Outcome::Pass, "ACCEPTED");
                writeln!(text, "{word} under {}", self.anchor.label())
            }
            Some(refusal) => self.write_refusal(text, &refusal, paint),
        }
    }

    fn write_steps(&self, text: &mut String, paint: Paint) -> std::fmt::Result {
        let checks = self.checks.iter().map(Line::from);
        let steps = self.transcript.steps.iter().map(Line::from);
        let lines: Vec<Line<'_>> = checks.chain(steps).collect();
        let widths = lines.iter().map(|line| line.name.chars().count());
        let width = widths.max().unwrap_or_default();
        lines
            .iter()
            .try_for_each(|line| write_line(text, line, width, paint))
    }

    fn write_refusal(
        &self,
        text: &mut String,
        refusal: &Refusal<'_>,
        paint: Paint,
    ) -> std::fmt::Result {
        let code = refusal
            .code
            .map(|code| format!(" {code}"))
            .unwrap_or_default();
        let more = match refusal.more_count {
            0 => String::new(),
            count => format!(" (and {count} more)"),
        };
        writeln!(
            text,
            "{}{code} at step \"{}\"{more}: {}",
            paint.word(Outcome::Fail, "REFUSED"),
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
            (None, Some(code)) => writeln!(text, "What to do: {}", self.remedy(code)),
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

impl<'a> From<&'a Check> for Line<'a> {
    fn from(check: &'a Check) -> Self {
        Self {
            number: None,
            name: check.name,
            outcome: check.outcome,
            seen: &check.seen,
            wanted: &check.wanted,
        }
    }
}

impl<'a> From<&'a Step> for Line<'a> {
    fn from(step: &'a Step) -> Self {
        Self {
            number: Some(step.number),
            name: &step.name,
            outcome: step.outcome,
            seen: &step.seen,
            wanted: &step.wanted,
        }
    }
}

fn write_line(text: &mut String, line: &Line<'_>, width: usize, paint: Paint) -> std::fmt::Result {
    let number = line
        .number
        .map(|number| number.to_string())
        .unwrap_or_default();
    writeln!(
        text,
        "{number:>2}  {}  {:width$}  {}",
        paint.outcome(line.outcome),
        line.name,
        one_line(line.seen)
    )?;
    if line.outcome == Outcome::Fail && !line.wanted.is_empty() {
        let wanted = one_line(line.wanted);
        writeln!(text, "{:10}{:width$}  wanted: {wanted}", "", "")?;
    }
    Ok(())
}
