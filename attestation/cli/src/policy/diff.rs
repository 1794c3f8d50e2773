//! `policy diff`: what a new policy changes, by meaning.

use std::fmt::Write as _;

use attestation::{
    Outcome, one_line,
    policy::rules::{Direction, RuleChange},
};
use serde_json::json;

use crate::{
    Exit, World,
    answer::{Answer, Findings},
    arguments::PolicyDiff,
    output::Paint,
    verify::read_policy,
};

pub(crate) fn diff(arguments: &PolicyDiff, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let old = read_policy(&arguments.old, world)?;
    let new = read_policy(&arguments.new, world)?;
    let changes = old.changes(&new);
    let laxer = changes
        .iter()
        .any(|change| matches!(change.direction, Direction::Laxer | Direction::Other));
    let paint = Paint(world.machine.colour);
    Ok(Answer::Findings(Findings {
        json: json!({
            "schema": "cocoon-attest/policy-diff/1",
            "old_digest": hex::encode(old.digest()),
            "new_digest": hex::encode(new.digest()),
            "stricter": count(&changes, Direction::Stricter),
            "laxer": count(&changes, Direction::Laxer),
            "other": count(&changes, Direction::Other),
            "neutral": count(&changes, Direction::Neutral),
            "changes": changes,
        }),
        text: shown(&changes, paint),
        exit: if arguments.deny_laxer && laxer {
            Exit::Findings
        } else {
            Exit::Success
        },
    }))
}

fn count(changes: &[RuleChange], direction: Direction) -> usize {
    let same = |change: &&RuleChange| change.direction == direction;
    changes.iter().filter(same).count()
}

fn shown(changes: &[RuleChange], paint: Paint) -> String {
    let mut text = String::new();
    for change in changes {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  {}", word(change.direction, paint), change.path);
        for effect in &change.effects {
            let _ = writeln!(
                text,
                "  {}  {}",
                word(effect.direction, paint),
                one_line(&effect.text)
            );
        }
    }
    let count = |direction| count(changes, direction);
    let _ = writeln!(
        text,
        "{} stricter, {} laxer, {} other, {} neutral",
        count(Direction::Stricter),
        count(Direction::Laxer),
        count(Direction::Other),
        count(Direction::Neutral)
    );
    text
}

fn word(direction: Direction, paint: Paint) -> String {
    match direction {
        Direction::Stricter => paint.word(Outcome::Pass, "stricter"),
        Direction::Laxer => paint.word(Outcome::Fail, "laxer   "),
        Direction::Other => paint.warning("other   "),
        Direction::Neutral => paint.word(Outcome::Skip, "neutral "),
    }
}
