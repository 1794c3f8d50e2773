//! Steps of this tool's own: what it looked at beside the attestation, in the shape of the attestation's steps.

use std::error::Error;

use attestation::Outcome;
use serde::Serialize;

/// One step: what was looked at, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What is looked at, in a few words.
    pub(crate) name: &'static str,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// The value seen, or why there is none.
    pub(crate) seen: String,
    /// The value wanted.
    pub(crate) wanted: String,
}

impl Check {
    /// A step that compares: it passes where `seen` is `wanted`.
    pub(crate) fn equal(
        name: &'static str,
        seen: impl Into<String>,
        wanted: impl Into<String>,
    ) -> Self {
        let (seen, wanted) = (seen.into(), wanted.into());
        let outcome = if seen == wanted {
            Outcome::Pass
        } else {
            Outcome::Fail
        };
        Self {
            name,
            outcome,
            seen,
            wanted,
        }
    }

    /// A step that looks for `seen` among `wanted`.
    pub(crate) fn one_of(name: &'static str, seen: impl Into<String>, wanted: &[String]) -> Self {
        let seen = seen.into();
        let outcome = if wanted.contains(&seen) {
            Outcome::Pass
        } else {
            Outcome::Fail
        };
        let wanted = if wanted.is_empty() {
            "none".to_owned()
        } else {
            format!("one of {}", wanted.join(", "))
        };
        Self {
            name,
            outcome,
            seen,
            wanted,
        }
    }

    pub(crate) fn pass(name: &'static str, seen: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Pass,
            seen: seen.into(),
            wanted: String::new(),
        }
    }

    /// A step that failed because something could not be read or verified.
    pub(crate) fn fail(name: &'static str, error: &dyn Error, wanted: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Fail,
            seen: chain(error),
            wanted: wanted.into(),
        }
    }

    /// A step that an earlier failure made impossible.
    pub(crate) fn skip(name: &'static str) -> Self {
        Self {
            name,
            outcome: Outcome::Skip,
            seen: "not reached".to_owned(),
            wanted: "every step before it to pass".to_owned(),
        }
    }

    /// Every step of these is required: one that was skipped is no pass.
    pub(crate) fn passed(&self) -> bool {
        self.outcome == Outcome::Pass
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
