//! An explanation for a terminal: a table of events, then registers, closing event and differences.

use std::fmt::{self, Write as _};

use attestation::event_log::{Difference, Event, Subject};

use super::{Explanation, Row, covers};

/// As much of a description as leaves an event on one or two lines; JSON has all of it.
const DESCRIPTION_CHARACTERS_MAX: usize = 96;
/// Enough of a digest to recognise it by.
const DIGEST_DIGITS: usize = 16;

pub(super) fn render(explanation: &Explanation) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, explanation);
    text
}

fn write(text: &mut String, explanation: &Explanation) -> fmt::Result {
    let log = &explanation.log;
    writeln!(text, "{}, {} events", log.format, log.events.len())?;
    write_events(text, &log.events)?;
    writeln!(text, "\nregisters")?;
    for row in explanation.rows() {
        write_row(text, explanation, &row)?;
    }
    if let Some((outcome, seen)) = explanation.closing() {
        writeln!(text, "\nclosing event\n  {outcome}  {seen}")?;
    }
    if explanation.reference.is_some() {
        write_differences(text, &explanation.differences())?;
    }
    for (position, note) in explanation.notes().iter().enumerate() {
        let gap = if position == 0 { "\n" } else { "" };
        writeln!(text, "{gap}note  {note}")?;
    }
    Ok(())
}

fn write_events(text: &mut String, events: &[Event]) -> fmt::Result {
    let names: Vec<String> = events.iter().map(Event::type_name).collect();
    let width = names.iter().map(String::len).max().unwrap_or_default();
    writeln!(
        text,
        "   #  register  {:width$}  {:DIGEST_DIGITS$}  covers   description",
        "type", "digest"
    )?;
    for ((number, event), name) in (1..).zip(events).zip(&names) {
        let register = if event.extends() {
            event.register.name()
        } else {
            "-"
        };
        let digest: String = event.digest.to_string();
        writeln!(
            text,
            "{number:4}  {register:8}  {name:width$}  {digest:.DIGEST_DIGITS$}  {:7}  {}",
            covers(event),
            shortened(&Subject::of(event).to_string())
        )?;
    }
    Ok(())
}

fn write_row(text: &mut String, explanation: &Explanation, row: &Row) -> fmt::Result {
    let Row {
        register,
        replayed,
        wanted,
        outcome,
    } = row;
    writeln!(text, "  {outcome}  {register}  {replayed}")?;
    match (wanted, &explanation.registers) {
        (Some(wanted), Some(registers)) if wanted != replayed => {
            writeln!(text, "               {wanted} in the {}", registers.source)
        }
        _ => Ok(()),
    }
}

fn write_differences(text: &mut String, differences: &[Difference<'_>]) -> fmt::Result {
    let Some((first, others)) = differences.split_first() else {
        return writeln!(text, "\nreference\n  no event differs");
    };
    writeln!(
        text,
        "\nfirst difference from the reference\n  where         event {} of {}, entry {} of the log\n  type          {}\n  what          {}\n  how           it {}\n  digest        {}\n  reference     {}\n  likely cause  {}",
        first.position,
        first.register,
        first.entry,
        first.type_name(),
        shortened(&first.subject().to_string()),
        first.change,
        optional(first.event),
        optional(first.reference),
        first.cause()
    )?;
    for difference in others {
        writeln!(text, "  also          {difference}")?;
    }
    Ok(())
}

fn optional(event: Option<&Event>) -> String {
    event.map_or_else(
        || "none: the log ends".to_owned(),
        |event| event.digest.to_string(),
    )
}

/// Descriptions are ASCII and escaped already.
fn shortened(text: &str) -> String {
    match text.split_at_checked(DESCRIPTION_CHARACTERS_MAX) {
        Some((head, rest)) if !rest.is_empty() => format!("{head}..."),
        _ => text.to_owned(),
    }
}
