//! What a new policy changes in an old one, rule by rule, by meaning and not by text.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Constraint, Floor, Rule};
use crate::AppraisalPolicy;

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Refuses more, accepts nothing more.
    Stricter,
    /// Accepts more, refuses nothing more.
    Laxer,
    /// Both, or neither can be said.
    Other,
    /// Changes no verdict, such as a new name.
    Neutral,
}

/// One consequence of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// Which way it goes.
    pub direction: Direction,
    /// What it is, in a few words.
    pub text: String,
}

/// A rule that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleChange {
    /// The key's path.
    pub path: &'static str,
    /// All effects together.
    pub direction: Direction,
    /// What was demanded; absent where the rule is new.
    pub before: Option<Constraint>,
    /// What is demanded; absent where the rule has gone.
    pub after: Option<Constraint>,
    /// Each consequence.
    pub effects: Vec<Effect>,
}

impl AppraisalPolicy {
    /// The rules that differ in `newer`, in the order of the file.
    #[must_use]
    pub fn changes(&self, newer: &Self) -> Vec<RuleChange> {
        let (before, after) = (self.rules(), newer.rules());
        let mut paths: Vec<&'static str> = before.iter().map(|rule| rule.path).collect();
        let added = after.iter().map(|rule| rule.path);
        paths.extend(added.filter(|path| !before.iter().any(|rule| rule.path == *path)));
        let changes = paths
            .into_iter()
            .map(|path| change(path, find(&before, path), find(&after, path)));
        changes.flatten().collect()
    }
}

fn find(rules: &[Rule], path: &str) -> Option<Constraint> {
    let rule = rules.iter().find(|rule| rule.path == path)?;
    Some(rule.constraint.clone())
}

fn change(
    path: &'static str,
    before: Option<Constraint>,
    after: Option<Constraint>,
) -> Option<RuleChange> {
    let effects = match (&before, &after) {
        (Some(before), Some(after)) if before == after => return None,
        (Some(before), Some(after)) => effects(before, after),
        (None, Some(after)) => vec![stricter(format!("applies now: {after}"))],
        (Some(before), None) => vec![laxer(format!("no longer applies: {before}"))],
        (None, None) => return None,
    };
    let direction = together(&effects);
    Some(RuleChange {
        path,
        direction,
        before,
        after,
        effects,
    })
}

/// The direction that all of them share. What changes no verdict does not count beside others.
fn together(effects: &[Effect]) -> Direction {
    let directions = effects.iter().map(|effect| effect.direction);
    let mut decisive = directions.filter(|direction| *direction != Direction::Neutral);
    match decisive.next() {
        None => Direction::Neutral,
        Some(first) if decisive.all(|direction| direction == first) => first,
        Some(_) => Direction::Other,
    }
}

fn effects(before: &Constraint, after: &Constraint) -> Vec<Effect> {
    use Constraint as C;
    match (before, after) {
        (C::Any, after) => vec![stricter(format!("no longer any, but {after}"))],
        (_, C::Any) => vec![laxer("any".to_owned())],
        (C::OneOf(before), C::OneOf(after)) => allowed(before, after),
        (C::NoneOf(before), C::NoneOf(after)) => denied(before, after),
        (C::AtLeast(before), C::AtLeast(after)) => floor("the floor", before, after),
        (C::AtLeastByName(before), C::AtLeastByName(after)) => floors(before, after),
        (C::GraceS(from), C::GraceS(to)) if from > to => vec![stricter(arrow(before, after))],
        (C::Presence(from), C::Presence(to)) if from < to => vec![stricter(arrow(before, after))],
        (C::GraceS(_), C::GraceS(_)) | (C::Presence(_), C::Presence(_)) => {
            vec![laxer(arrow(before, after))]
        }
        (C::Bits { .. }, C::Bits { .. }) => vec![bits(before, after)],
        (C::References(before), C::References(after)) => references(before, after),
        _ => vec![other(arrow(before, after))],
    }
}

fn allowed(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<Effect> {
    let added = after.difference(before);
    let removed = before.difference(after);
    removed
        .map(|value| stricter(format!("no longer allows {value}")))
        .chain(added.map(|value| laxer(format!("allows {value}"))))
        .collect()
}

fn denied(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<Effect> {
    let added = after.difference(before);
    let removed = before.difference(after);
    added
        .map(|value| stricter(format!("denies {value}")))
        .chain(removed.map(|value| laxer(format!("no longer denies {value}"))))
        .collect()
}

fn floor(name: &str, before: &Floor, after: &Floor) -> Vec<Effect> {
    let text = format!("{name} goes from {before} to {after}");
    match before.numbers.cmp(&after.numbers) {
        std::cmp::Ordering::Less => vec![stricter(text)],
        std::cmp::Ordering::Equal => Vec::new(),
        std::cmp::Ordering::Greater => vec![laxer(text)],
    }
}

fn floors(before: &BTreeMap<String, Floor>, after: &BTreeMap<String, Floor>) -> Vec<Effect> {
    let kept = before.iter().flat_map(|(name, floor_before)| {
        after.get(name).map_or_else(
            || vec![stricter(format!("no longer allows {name}"))],
            |floor_after| floor(name, floor_before, floor_after),
        )
    });
    let added = after.iter().filter(|(name, _)| !before.contains_key(*name));
    kept.chain(added.map(|(name, floor)| laxer(format!("allows {name} from {floor}"))))
        .collect()
}

fn references(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Effect> {
    let kept = before.iter().filter_map(|(values, name)| {
        let text = match after.get(values) {
            Some(same) if same == name => return None,
            Some(renamed) => {
                return Some(neutral(format!(
                    "calls {name} {renamed}: no verdict changes"
                )));
            }
            None => format!("no longer allows {name} ({values})"),
        };
        Some(stricter(text))
    });
    let added = after
        .iter()
        .filter(|(values, _)| !before.contains_key(*values));
    kept.chain(added.map(|(values, name)| laxer(format!("allows {name} ({values})"))))
        .collect()
}

/// One demand on bits implies another if it looks at the same bits and more, and agrees on them.
fn bits(before: &Constraint, after: &Constraint) -> Effect {
    let text = arrow(before, after);
    if implies(after, before) {
        stricter(text)
    } else if implies(before, after) {
        laxer(text)
    } else {
        other(text)
    }
}

fn implies(narrow: &Constraint, wide: &Constraint) -> bool {
    let (
        Constraint::Bits { mask, required },
        Constraint::Bits {
            mask: wide_mask,
            required: wide_required,
        },
    ) = (narrow, wide)
    else {
        return false;
    };
    let [mask, required, wide_mask, wide_required] =
        [mask, required, wide_mask, wide_required].map(|bytes| u64::from_le_bytes(*bytes));
    wide_mask & !mask == 0 && required & wide_mask == wide_required
}

fn arrow(before: &Constraint, after: &Constraint) -> String {
    format!("from {before} to {after}")
}

const fn stricter(text: String) -> Effect {
    effect(Direction::Stricter, text)
}

const fn laxer(text: String) -> Effect {
    effect(Direction::Laxer, text)
}

const fn other(text: String) -> Effect {
    effect(Direction::Other, text)
}

const fn neutral(text: String) -> Effect {
    effect(Direction::Neutral, text)
}

const fn effect(direction: Direction, text: String) -> Effect {
    Effect { direction, text }
}

#[cfg(test)]
mod tests;
