//! The transcript of an appraisal: every step in order, with what was seen and what was wanted.
//!
//! One object for all: the gateway stores it, `cocoon-attest` prints it, the dashboard shows it. Steps carry the
//! numbers of the gate's order; 1 and 2 (frames, authenticator) belong to the channel and come before.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ErrorCode, rfc_3339};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Seen as wanted.
    Pass,
    /// Not as wanted.
    Fail,
    /// Not carried out. Of a required step, that is a failure.
    Skip,
}

/// One step of an appraisal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Place in the gate's order, 3 to 11. One number may cover several steps.
    pub number: u8,
    /// What is looked at, in a few words.
    pub name: String,
    /// Whether the appraisal fails without it.
    pub required: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed; absent unless it did.
    pub code: Option<ErrorCode>,
    /// The value seen.
    pub seen: String,
    /// The value wanted.
    pub wanted: String,
}

/// An appraisal's steps, under which root, policy and time they were taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// The trust anchor's label; anything but Intel's says `NOT INTEL`.
    pub trust_anchor: String,
    /// SHA-256 of the appraisal policy's text, in hexadecimal.
    pub policy_digest: String,
    /// The time of the appraisal, in seconds since the Unix epoch.
    pub time_s: u64,
    /// The steps in order.
    pub steps: Vec<Step>,
}

impl Transcript {
    /// Why the appraisal refuses: the first failed step's code; [`ErrorCode::RequiredStepSkipped`] if a required step
    /// was not carried out, or if there is no step at all; `None` if it does not refuse.
    #[must_use]
    pub fn refusal(&self) -> Option<ErrorCode> {
        let failed = self.steps.iter().find(|step| step.outcome == Outcome::Fail);
        let skipped = self
            .steps
            .iter()
            .any(|step| step.required && step.outcome == Outcome::Skip);
        match failed {
            Some(step) => Some(step.code.unwrap_or(ErrorCode::Internal)),
            None if skipped || self.steps.is_empty() => Some(ErrorCode::RequiredStepSkipped),
            None => None,
        }
    }

    /// The steps that failed with that code.
    pub fn failures(&self, code: ErrorCode) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(move |step| step.code == Some(code))
    }
}

/// A table for people; every refusal with its remedy below.
impl fmt::Display for Transcript {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "Trust anchor  {}", self.trust_anchor)?;
        writeln!(formatter, "Policy        sha256:{}", self.policy_digest)?;
        writeln!(formatter, "Time          {}", rfc_3339(self.time_s))?;
        let width = self
            .steps
            .iter()
            .map(|step| step.name.chars().count())
            .max()
            .unwrap_or(0);
        for step in &self.steps {
            write!(
                formatter,
                "{:>2}  {:4}  {:width$}  {}",
                step.number, step.outcome, step.name, step.seen
            )?;
            if step.outcome == Outcome::Pass {
                writeln!(formatter)?;
            } else {
                writeln!(formatter, "  (wanted: {})", step.wanted)?;
            }
        }
        for code in self.steps.iter().filter_map(|step| step.code) {
            writeln!(formatter, "{code}  {}. {}", code.title(), code.remedy())?;
        }
        match self.refusal() {
            None => writeln!(formatter, "ACCEPTED under {}", self.trust_anchor),
            Some(code) => writeln!(formatter, "REFUSED {code}: {}", code.title()),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(required: bool, outcome: Outcome, code: Option<ErrorCode>) -> Step {
        let (seen, wanted) = ("seen".to_owned(), "wanted".to_owned());
        Step {
            number: 3,
            name: "quote".into(),
            required,
            outcome,
            code,
            seen,
            wanted,
        }
    }

    fn transcript(steps: Vec<Step>) -> Transcript {
        Transcript {
            trust_anchor: "NOT INTEL: test".into(),
            policy_digest: "00".into(),
            time_s: 1,
            steps,
        }
    }

    #[test]
    fn a_required_step_that_was_skipped_is_a_failure() {
        let pass = step(true, Outcome::Pass, None);
        let optional = step(false, Outcome::Skip, None);
        let required = step(true, Outcome::Skip, None);
        assert_eq!(transcript(vec![pass.clone(), optional]).refusal(), None);
        assert_eq!(
            transcript(vec![pass, required]).refusal(),
            Some(ErrorCode::RequiredStepSkipped)
        );
        assert_eq!(
            transcript(Vec::new()).refusal(),
            Some(ErrorCode::RequiredStepSkipped)
        );
    }

    #[test]
    fn the_first_failure_names_the_refusal() {
        let steps = vec![
            step(true, Outcome::Skip, None),
            step(true, Outcome::Fail, Some(ErrorCode::TdDebuggable)),
            step(true, Outcome::Fail, Some(ErrorCode::ReleaseUnknown)),
        ];
        assert_eq!(transcript(steps).refusal(), Some(ErrorCode::TdDebuggable));
        assert_eq!(
            transcript(vec![step(true, Outcome::Fail, None)]).refusal(),
            Some(ErrorCode::Internal)
        );
    }

    #[test]
    fn a_transcript_reads_well_and_survives_json() {
        let failed = transcript(vec![step(
            true,
            Outcome::Fail,
            Some(ErrorCode::TdDebuggable),
        )]);
        let text = failed.to_string();
        assert!(
            text.contains(" 3  FAIL  quote  seen  (wanted: wanted)\n"),
            "{text}"
        );
        assert!(
            text.ends_with("REFUSED E501: the TD is debuggable\n"),
            "{text}"
        );
        let json = serde_json::to_string(&failed).unwrap();
        assert_eq!(serde_json::from_str::<Transcript>(&json).unwrap(), failed);
    }
}
