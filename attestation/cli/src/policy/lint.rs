//! `policy lint`: every mistake with its path, and what is wide open.

use std::{error::Error, fmt::Write as _};

use attestation::{AppraisalPolicy, Outcome, PolicyError, one_line};
use serde::Serialize;
use serde_json::json;

use super::warnings;
use crate::{
    Exit, World,
    answer::{Answer, Findings},
    arguments::PolicyLint,
    checks::chain,
    input,
    output::{Paint, counted},
};

/// Something about one key.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Remark {
    /// The key's path; empty where the file as a whole is meant.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Remark {
    pub(crate) fn new(path: &str, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            text: text.into(),
        }
    }
}

pub(crate) fn lint(arguments: &PolicyLint, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let text = input::read_text(&arguments.policy, world.input)?;
    let (mistakes, warnings, digest) = match AppraisalPolicy::from_toml(&text) {
        Ok(policy) => {
            let digest = Some(hex::encode(policy.digest()));
            (Vec::new(), warnings::of(&policy.rules()), digest)
        }
        Err(error) => (mistakes(&error), Vec::new(), None),
    };
    let found = !mistakes.is_empty() || (arguments.deny_warnings && !warnings.is_empty());
    let paint = Paint(world.machine.colour);
    Ok(Answer::Findings(Findings {
        json: json!({
            "schema": "cocoon-attest/policy-lint/1",
            "sound": mistakes.is_empty(),
            "policy_digest": digest,
            "mistakes": mistakes,
            "warnings": warnings,
        }),
        text: shown(&mistakes, &warnings, paint),
        exit: if found { Exit::Findings } else { Exit::Success },
    }))
}

fn mistakes(error: &PolicyError) -> Vec<Remark> {
    let PolicyError::Mistakes(mistakes) = error else {
        let text = match error.source() {
            None => error.to_string(),
            Some(_) => chain(error),
        };
        return vec![Remark::new("", text)];
    };
    let remark = |mistake: &String| match mistake.split_once(": ") {
        Some((path, text)) => Remark::new(path, text),
        None => Remark::new("", mistake.clone()),
    };
    mistakes.iter().map(remark).collect()
}

fn shown(mistakes: &[Remark], warnings: &[Remark], paint: Paint) -> String {
    let mut text = String::new();
    let rows = mistakes
        .iter()
        .map(|remark| (paint.word(Outcome::Fail, "mistake"), remark))
        .chain(
            warnings
                .iter()
                .map(|remark| (paint.warning("warning"), remark)),
        );
    for (word, Remark { path, text: said }) in rows {
        let path = if path.is_empty() { "policy" } else { path };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word}  {}: {}", one_line(path), one_line(said));
    }
    let _ = writeln!(
        text,
        "{}, {}",
        counted(mistakes.len(), "mistake"),
        counted(warnings.len(), "warning")
    );
    text
}
