//! Writes the transcript: a step is opened with what it wants and must be ended.

use std::ops::RangeInclusive;

use crate::{ErrorCode, Outcome, Step, text::one_line_of};

/// The longest value seen, in characters: the facts fit many times over, an error that quotes its input need not.
const SEEN_CHARACTERS_MAX: usize = 4096;

/// The steps taken so far.
#[derive(Default)]
pub(super) struct Steps(Vec<Step>);

/// Whether a step saw what it wanted.
#[derive(Clone, Copy)]
pub(super) enum Verdict {
    Holds,
    Fails,
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

impl Steps {
    /// Open a step.
    pub(super) fn step(
        &mut self,
        number: u8,
        name: &'static str,
        wanted: impl Into<String>,
    ) -> OpenStep<'_> {
        OpenStep {
            steps: self,
            number,
            name,
            wanted: wanted.into(),
        }
    }

    /// Note that the appraisal ended at `end` and did not come to these steps. They were required.
    pub(super) fn not_reached(&mut self, numbers: RangeInclusive<u8>, end: u8) {
        for number in numbers {
            self.step(number, "not reached", format!("step {end} to pass"))
                .skip_required(format!("step {end} failed"));
        }
    }

    pub(super) fn into_vec(self) -> Vec<Step> {
        self.0
    }
}

/// A step that has begun. Ends with one of its methods; all of them are required steps except [`OpenStep::skip`].
#[must_use = "a step that does not end leaves no trace in the transcript"]
pub(super) struct OpenStep<'a> {
    steps: &'a mut Steps,
    number: u8,
    name: &'static str,
    wanted: String,
}

impl OpenStep<'_> {
    pub(super) fn pass(self, seen: impl Into<String>) {
        self.close(true, Outcome::Pass, None, &seen.into());
    }

    pub(super) fn fail(self, code: ErrorCode, seen: impl Into<String>) {
        self.close(true, Outcome::Fail, Some(code), &seen.into());
    }

    pub(super) fn end(self, verdict: Verdict, code: ErrorCode, seen: impl Into<String>) {
        match verdict {
            Verdict::Holds => self.pass(seen),
            Verdict::Fails => self.fail(code, seen),
        }
    }

    /// Skip a step that is not required here.
    pub(super) fn skip(self, seen: impl Into<String>) {
        self.close(false, Outcome::Skip, None, &seen.into());
    }

    /// Skip a step that is required: the appraisal fails.
    pub(super) fn skip_required(self, seen: impl Into<String>) {
        self.close(true, Outcome::Skip, None, &seen.into());
    }

    fn close(self, required: bool, outcome: Outcome, code: Option<ErrorCode>, seen: &str) {
        let Self {
            steps,
            number,
            name,
            wanted,
        } = self;
        steps.0.push(Step {
            number,
            name: name.to_owned(),
            required,
            outcome,
            code,
            seen: one_line_of(seen.chars().take(SEEN_CHARACTERS_MAX)),
            wanted,
        });
    }
}

/// An error with its sources, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    sources.fold(error.to_string(), |line, source| {
        format!("{line}: {source}")
    })
}

/// A list for people.
pub(super) fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    if values.is_empty() {
        "none".to_owned()
    } else {
        values.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_stays_one_bounded_line() {
        let mut steps = Steps::default();
        let forged = "PEM\r\nACCEPTED under Intel SGX Root CA\u{1b}[2J\u{9b}\u{202e}";
        steps
            .step(4, "chain", "a chain")
            .fail(ErrorCode::PckChainInvalid, forged);
        steps.step(5, "long", "short").pass("é".repeat(100_000));
        let [forged, long] = &steps.into_vec()[..] else {
            panic!("two steps")
        };
        assert_eq!(
            forged.seen,
            r"PEM\u{d}\u{a}ACCEPTED under Intel SGX Root CA\u{1b}[2J\u{9b}\u{202e}"
        );
        assert_eq!(long.seen.chars().count(), SEEN_CHARACTERS_MAX);
    }
}
