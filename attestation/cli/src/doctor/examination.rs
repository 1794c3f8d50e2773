//! One thing that was looked at, and how it is.

use attestation::Outcome;
use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Examination {
    /// What it is, in a few words.
    pub(super) name: &'static str,
    /// How it is.
    pub(super) outcome: Outcome,
    /// What was seen, or why nothing was.
    pub(super) seen: String,
    /// What to do; there exactly if it failed.
    pub(super) remedy: Option<String>,
}

impl Examination {
    pub(super) fn pass(name: &'static str, seen: impl Into<String>) -> Self {
        Self::new(name, Outcome::Pass, seen.into(), None)
    }

    pub(super) fn fail(
        name: &'static str,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(name, Outcome::Fail, seen.into(), Some(remedy.into()))
    }

    pub(super) fn skip(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, Outcome::Skip, why.into(), None)
    }

    pub(super) fn passed(&self) -> bool {
        self.outcome == Outcome::Pass
    }

    const fn new(
        name: &'static str,
        outcome: Outcome,
        seen: String,
        remedy: Option<String>,
    ) -> Self {
        Self {
            name,
            outcome,
            seen,
            remedy,
        }
    }
}

/// What stands where only a trust domain has something to show.
pub(super) const NO_TD: &str = "not a trust domain";
