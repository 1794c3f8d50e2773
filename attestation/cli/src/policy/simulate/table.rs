//! The table of a simulation, for people.

use std::{collections::BTreeSet, fmt::Write as _};

use attestation::{Outcome, one_line};

use super::{Effect, Opinion, Row, Unreadable};
use crate::output::Paint;

/// An attestation's id has 128 digits; so many tell a pool's apart.
const ID_DIGITS_SHOWN: usize = 16;

/// One row before its columns are aligned.
type Cells = [String; 5];

pub(super) fn shown(rows: &[Row], unreadable: &[Unreadable], paint: Paint) -> String {
    let head = ["EFFECT", "WORKER", "ATTESTATION", "BEFORE", "AFTER"].map(str::to_owned);
    let cells: Vec<Cells> = rows.iter().map(cells).collect();
    let width = |column: usize| {
        let lengths = cells
            .iter()
            .chain([&head])
            .filter_map(|row| row.get(column));
        lengths.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text = line(&head, widths, None, paint);
    for (row, cells) in rows.iter().zip(&cells) {
        text.push_str(&line(cells, widths, Some(row.effect), paint));
    }
    for Unreadable { file, error } in unreadable {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "unreadable  {}: {}", one_line(file), one_line(error));
    }
    let count = |effect| rows.iter().filter(|row| row.effect == effect).count();
    let _ = writeln!(
        text,
        "\n{} would be cut, {} kept, {} gained, {} refused either way, {} not appraised, {} unreadable",
        count(Effect::Cut),
        count(Effect::Kept),
        count(Effect::Gained),
        count(Effect::Refused),
        count(Effect::Unappraised),
        unreadable.len()
    );
    if !rows.is_empty() && count(Effect::Unappraised) == rows.len() {
        let reasons: BTreeSet<_> = rows.iter().map(|row| opinion(&row.before)).collect();
        let reasons: Vec<_> = reasons.into_iter().collect();
        let _ = writeln!(
            text,
            "Nothing was appraised by either policy: {}",
            reasons.join(", ")
        );
    }
    text
}

fn cells(row: &Row) -> Cells {
    let effect = match row.effect {
        Effect::Kept => "kept",
        Effect::Cut => "CUT",
        Effect::Gained => "gained",
        Effect::Refused => "refused",
        Effect::Unappraised => "-",
    };
    let id = row.attestation.as_deref().unwrap_or("-");
    let worker = row.worker.as_deref().unwrap_or(&row.file);
    [
        effect.to_owned(),
        one_line(worker),
        id.chars().take(ID_DIGITS_SHOWN).collect(),
        opinion(&row.before),
        opinion(&row.after),
    ]
}

fn opinion(opinion: &Opinion) -> String {
    match (opinion.code, &opinion.step) {
        (None, _) => "accepted".to_owned(),
        (Some(code), Some(step)) => format!("{code} {step}"),
        (Some(code), None) => code.to_string(),
    }
}

fn line(cells: &Cells, widths: [usize; 5], effect: Option<Effect>, paint: Paint) -> String {
    let padded = cells.iter().zip(widths);
    let padded: Vec<_> = padded
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    let text = padded.join("  ");
    let text = text.trim_end();
    let text = match effect {
        Some(Effect::Cut) => paint.word(Outcome::Fail, text),
        Some(Effect::Gained) => paint.word(Outcome::Pass, text),
        _ => text.to_owned(),
    };
    format!("{text}\n")
}
