//! What a command says of collateral: one entry a set, each part with its dates; as a table or as one JSON object.

use std::{fmt::Write as _, path::Path};

use attestation::{Collateral, Family, Verifier, collateral::Validity, one_line, rfc_3339};
use serde_json::{Value, json};

use crate::{Exit, checks::chain, output::counted};

const SCHEMA: &str = "cocoon-attest/collateral/1";
const DAY_S: u64 = 86_400;
const HEAD: [&str; 7] = [
    "FMSPC",
    "CA",
    "NUMBER",
    "PART",
    "ISSUED",
    "NEXT UPDATE",
    "LEFT",
];

/// Entries in the order in which they were read.
#[derive(Debug)]
pub(crate) struct Listing {
    now_s: u64,
    entries: Vec<Entry>,
    exit: Exit,
}

/// One set of collateral, or what should have been one.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Where it is or should be: a file, a position in a bundle.
    pub(crate) origin: String,
    /// What it is for, as far as that is known.
    pub(crate) family: Option<Family>,
    /// What it says; `None` where it does not parse.
    pub(crate) collateral: Option<Collateral>,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// What became of an entry.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It verifies, under the root of this label.
    Verified(String),
    /// It was written.
    Written,
    /// It was there already.
    Unchanged,
    /// It is of no use, or may not be kept.
    Refused(String),
    /// Nobody had it.
    Unreachable(String),
    /// There is none.
    Empty,
}

impl Outcome {
    const fn name(&self) -> &'static str {
        match self {
            Self::Verified(_) => "verified",
            Self::Written => "written",
            Self::Unchanged => "unchanged",
            Self::Refused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Empty => "empty",
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(reason) | Self::Unreachable(reason) => Some(reason),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Verified(label) => format!("verifies under {label}"),
            Self::Written => "verified, and written".to_owned(),
            Self::Unchanged => "verified, and there already".to_owned(),
            Self::Refused(reason) => format!("REFUSED: {reason}"),
            Self::Unreachable(reason) => format!("NOT FETCHED: {reason}"),
            Self::Empty => "holds NO COLLATERAL".to_owned(),
        }
    }
}

impl Entry {
    /// Collateral that lies somewhere, verified by itself.
    pub(crate) fn verified(
        origin: String,
        collateral: Collateral,
        verifier: &Verifier,
        now_s: u64,
    ) -> Self {
        let outcome = match verifier.verify_collateral(collateral.clone(), now_s) {
            Ok(_) => Outcome::Verified(verifier.anchor().label().to_owned()),
            Err(error) => Outcome::Refused(chain(&error)),
        };
        Self {
            origin,
            family: collateral.family(),
            collateral: Some(collateral),
            outcome,
        }
    }

    /// What should have been collateral.
    pub(crate) fn refused(origin: String, error: &dyn std::error::Error) -> Self {
        Self {
            origin,
            family: None,
            collateral: None,
            outcome: Outcome::Refused(chain(error)),
        }
    }

    fn parts(&self) -> &[Validity] {
        self.collateral
            .as_ref()
            .map_or(&[], |collateral| collateral.validities())
    }

    fn rows(&self, now_s: u64) -> Vec<[String; 7]> {
        let number = self
            .collateral
            .as_ref()
            .map(Collateral::evaluation_data_number);
        let row = |part: &Validity| {
            let (fmspc, ca) = names(self.family);
            [
                fmspc,
                ca,
                number.unwrap_or_default().to_string(),
                part.part.to_string(),
                rfc_3339(part.issued_s),
                rfc_3339(part.next_update_s),
                left(part.next_update_s, now_s),
            ]
        };
        self.parts().iter().map(row).collect()
    }

    fn to_json(&self, now_s: u64) -> Value {
        let part = |part: &Validity| {
            json!({
                "part": part.part.to_string(),
                "issued": rfc_3339(part.issued_s),
                "next_update": rfc_3339(part.next_update_s),
                "days_left": part.next_update_s.saturating_sub(now_s) / DAY_S,
                "expired": now_s >= part.next_update_s,
            })
        };
        let collateral = self.collateral.as_ref();
        json!({
            "origin": self.origin,
            "fmspc": self.family.map(|family| hex::encode(family.fmspc)),
            "ca": self.family.map(|family| family.ca.as_str()),
            "tee": collateral.map(Collateral::tee),
            "evaluation_data_number": collateral.map(Collateral::evaluation_data_number),
            "parts": self.parts().iter().map(part).collect::<Vec<_>>(),
            "outcome": self.outcome.name(),
            "reason": self.outcome.reason(),
        })
    }
}

impl Listing {
    /// Everything that a file or folder holds; that it holds nothing is an entry of its own.
    pub(crate) fn of(path: &Path, now_s: u64, mut entries: Vec<Entry>) -> Self {
        if entries.is_empty() {
            entries.push(Entry {
                origin: path.display().to_string(),
                family: None,
                collateral: None,
                outcome: Outcome::Empty,
            });
        }
        Self::new(now_s, entries)
    }

    /// The exit follows from the worst entry.
    pub(crate) fn new(now_s: u64, entries: Vec<Entry>) -> Self {
        let has = |is: fn(&Outcome) -> bool| entries.iter().any(|entry| is(&entry.outcome));
        let exit = if has(|outcome| matches!(outcome, Outcome::Refused(_) | Outcome::Empty)) {
            Exit::Findings
        } else if has(|outcome| matches!(outcome, Outcome::Unreachable(_))) {
            Exit::Unreachable
        } else {
            Exit::Success
        };
        Self {
            now_s,
            entries,
            exit,
        }
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn to_json(&self) -> Value {
        let entries = self.entries.iter().map(|entry| entry.to_json(self.now_s));
        json!({
            "schema": SCHEMA,
            "time": rfc_3339(self.now_s),
            "entries": entries.collect::<Vec<_>>(),
        })
    }

    /// A row for each part, then a line for each entry.
    pub(crate) fn to_text(&self) -> String {
        let rows: Vec<_> = self
            .entries
            .iter()
            .flat_map(|entry| entry.rows(self.now_s))
            .collect();
        let mut text = if rows.is_empty() {
            String::new()
        } else {
            table(&rows) + "\n"
        };
        for entry in &self.entries {
            let outcome = one_line(&entry.outcome.text());
            let _ = writeln!(text, "{}: {outcome}", one_line(&entry.origin));
        }
        text
    }
}

fn names(family: Option<Family>) -> (String, String) {
    family.map_or(("unknown".to_owned(), "unknown".to_owned()), |family| {
        (hex::encode(family.fmspc), family.ca.to_string())
    })
}

fn left(next_update_s: u64, now_s: u64) -> String {
    if now_s >= next_update_s {
        let days = now_s.saturating_sub(next_update_s) / DAY_S;
        format!("EXPIRED {} ago", counted(days, "day"))
    } else {
        counted(next_update_s.saturating_sub(now_s) / DAY_S, "day")
    }
}

/// Columns as wide as their widest cell, two spaces apart.
fn table(rows: &[[String; 7]]) -> String {
    let head = HEAD.map(str::to_owned);
    let mut widths = [0_usize; 7];
    for row in rows.iter().chain([&head]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = String::new();
    for row in [&head].into_iter().chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
