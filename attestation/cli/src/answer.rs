//! What a command answers, before it is rendered.

use serde_json::Value;

use crate::{Exit, collateral::Listing, explain::Explanation, output::Document, verdict::Verdict};

/// An answer in both renderings, and how the process then ends.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Information, without a verdict.
    Information(Document),
    /// Collateral, entry by entry.
    Collateral(Listing),
    /// An event log, and what it explains.
    Explanation(Box<Explanation>),
    /// A verdict with its steps.
    Verdict(Box<Verdict>),
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Information(document) => document.to_text(),
            Self::Collateral(listing) => listing.to_text(),
            Self::Explanation(explanation) => explanation.to_text(),
            Self::Verdict(verdict) => verdict.to_text(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Information(document) => document.to_json(),
            Self::Collateral(listing) => listing.to_json(),
            Self::Explanation(explanation) => explanation.to_json(),
            Self::Verdict(verdict) => verdict.to_json(),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Information(_) => Exit::Success,
            Self::Collateral(listing) => listing.exit(),
            Self::Explanation(explanation) if explanation.passed() => Exit::Success,
            Self::Verdict(verdict) if verdict.passed() => Exit::Success,
            Self::Explanation(_) | Self::Verdict(_) => Exit::Findings,
        }
    }
}
