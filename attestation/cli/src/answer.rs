//! What a command answers, before it is rendered.

use serde_json::Value;

use crate::{
    Exit,
    output::{Document, Paint},
    verdict::Verdict,
};

/// An answer in both renderings, and how the process then ends.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Information, without a verdict.
    Information(Document),
    /// A verdict with its steps.
    Verdict(Box<Verdict>),
    /// Findings in a shape of their own.
    Findings(Findings),
    /// A file for another program: the same whatever the style.
    Script(String),
    /// Something was written; what and where.
    Written(Document, String),
}

/// Findings in a shape of their own.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) json: Value,
    pub(crate) text: String,
    pub(crate) exit: Exit,
}

impl Answer {
    pub(crate) fn text(&self, paint: Paint) -> String {
        match self {
            Self::Information(document) => document.to_text(),
            Self::Verdict(verdict) => verdict.to_text(paint),
            Self::Findings(findings) => findings.text.clone(),
            Self::Script(script) => script.clone(),
            Self::Written(..) => String::new(),
        }
    }

    pub(crate) fn json(&self) -> String {
        match self {
            Self::Information(document) | Self::Written(document, _) => {
                format!("{}\n", document.to_json())
            }
            Self::Verdict(verdict) => format!("{}\n", verdict.to_json()),
            Self::Findings(findings) => format!("{}\n", findings.json),
            Self::Script(script) => script.clone(),
        }
    }

    /// What is worth knowing beside the answer.
    pub(crate) fn note(&self) -> Option<&str> {
        match self {
            Self::Written(_, note) => Some(note),
            _ => None,
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Information(_) | Self::Script(_) | Self::Written(..) => Exit::Success,
            Self::Verdict(verdict) if verdict.passed() => Exit::Success,
            Self::Verdict(_) => Exit::Findings,
            Self::Findings(findings) => findings.exit,
        }
    }
}
