//! Tables for people: plain columns that also `grep` and `awk` read, coloured only on a terminal.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use jiff::Timestamp;
use protocol::task::TaskState;

use crate::terminal::{Style, within_line};

/// A table with these column heads.
#[must_use]
pub fn table(style: Style, heads: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(
            heads
                .iter()
                .map(|head| Cell::new(head).add_attribute(Attribute::Bold)),
        );
    if style.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    // Columns stand two spaces apart and begin at the left edge.
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// A two-column table of names and values.
#[must_use]
pub fn facts(style: Style, facts: &[(&str, String)]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if !style.colour {
        table.force_no_tty();
    }
    for (name, value) in facts {
        table.add_row([cell(name), cell(value)]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Text that may come from a peer: it stays in its row.
#[must_use]
pub fn cell(text: impl AsRef<str>) -> Cell {
    Cell::new(within_line(text.as_ref()))
}

/// A state in its colour.
#[must_use]
pub fn state_cell(state: TaskState) -> Cell {
    let cell = cell(state.as_str());
    match state {
        TaskState::Queued => cell,
        TaskState::Running => cell.fg(Color::Cyan),
        TaskState::Succeeded => cell.fg(Color::Green),
        TaskState::Cancelled | TaskState::Expired => cell.fg(Color::Yellow),
        TaskState::DeadLetter => cell.fg(Color::Red),
    }
}

/// A value, or a dash where there is none.
#[must_use]
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Unix milliseconds as UTC, to the second.
#[must_use]
pub fn time(unix_ms: u64) -> String {
    let s = i64::try_from(unix_ms / 1_000).ok();
    let timestamp = s.and_then(|s| Timestamp::from_second(s).ok());
    timestamp.map_or_else(
        || format!("{unix_ms} ms"),
        |timestamp| timestamp.to_string(),
    )
}

/// A length of time in its two largest units, as in `2h 5m`.
#[must_use]
pub fn duration(ms: u64) -> String {
    let s = ms / 1_000;
    let units = [
        ("d", s / 86_400),
        ("h", s / 3_600 % 24),
        ("m", s / 60 % 60),
        ("s", s % 60),
    ];
    let text: Vec<_> = units
        .iter()
        .skip_while(|(_, count)| *count == 0)
        .take(2)
        .filter(|(_, count)| *count > 0)
        .map(|(unit, count)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() {
        format!("{ms}ms")
    } else {
        text.join(" ")
    }
}

/// A number of things, as in `1 attempt` and `2 attempts`.
#[must_use]
pub fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// A size in binary units.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_plain_text() {
        let mut table = table(Style::default(), &["TASK", "STATE"]);
        table.add_row([cell("one"), state_cell(TaskState::Succeeded)]);
        table.add_row([cell("a\u{1b}[2J\nb"), state_cell(TaskState::DeadLetter)]);
        let lines: Vec<_> = table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        assert_eq!(
            lines,
            [
                "TASK     STATE",
                "one      succeeded",
                "a\u{fffd}[2J b  dead-letter"
            ]
        );
    }

    #[test]
    fn colour_is_only_where_it_was_asked_for() {
        let style = Style {
            colour: true,
            ..Style::default()
        };
        let mut coloured = table(style, &["STATE"]);
        coloured.add_row([state_cell(TaskState::Succeeded)]);
        assert!(coloured.to_string().contains('\u{1b}'));
    }

    #[test]
    fn times_and_durations_read_well() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_795_441_755_123), "2026-11-23T13:49:15Z");
        assert_eq!(time(u64::MAX), "18446744073709551615 ms");
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (61_000, "1m 1s"),
            (7_500_000, "2h 5m"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(duration(ms), text);
        }
        assert_eq!(or_dash::<u8>(None), "-");
        assert_eq!(counted(1, "attempt"), "1 attempt");
        assert_eq!(counted(0, "attempt"), "0 attempts");
    }
}
