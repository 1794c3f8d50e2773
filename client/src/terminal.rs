//! Where the programs write: answers to standard output, everything else to standard error.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

use comfy_table::Table;
use serde::Serialize;

/// How to write. `--json`, `--quiet`, `NO_COLOR` and what the streams are connected to decide it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent switches, each set by its own flag or fact"
)]
pub struct Style {
    /// One JSON value on standard output; errors as JSON too.
    pub json: bool,
    /// No notes and no progress: answers and errors alone.
    pub quiet: bool,
    pub colour: bool,
    /// Standard error is a terminal, so a progress bar can be drawn over itself.
    pub progress: bool,
}

/// The two streams, and how to write on them.
pub struct Terminal<'a> {
    pub output: &'a mut dyn Write,
    pub errors: &'a mut dyn Write,
    pub style: Style,
}

impl Terminal<'_> {
    /// A line of the answer.
    pub fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.output, "{}", plain(&text.to_string()))
    }

    /// Bytes of the answer, as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.output.flush()
    }

    /// The answer as one JSON value.
    pub fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        self.json_text(&text)?;
        writeln!(self.output)
    }

    /// The answer as JSON text that is at hand: byte for byte, but for characters that could steer a terminal. Those stand
    /// in strings alone, where their escape is the same value.
    pub fn json_text(&mut self, text: &str) -> io::Result<()> {
        self.bytes(escaped(text).as_bytes())
    }

    /// The answer as a table whose cells are [`plain`] already.
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        for line in table.lines() {
            writeln!(self.output, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Something worth knowing beside the answer; silent with `--quiet`.
    pub fn note(&mut self, text: impl Display) -> io::Result<()> {
        if self.style.quiet {
            return Ok(());
        }
        writeln!(self.errors, "{}", plain(&text.to_string()))
    }

    /// Something that must be seen, `--quiet` or not.
    pub fn warning(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.errors, "{}", plain(&text.to_string()))
    }
}

impl std::fmt::Debug for Terminal<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Terminal")
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

/// Text without characters that steer a terminal: it can neither move the cursor nor set the window's title, nor be shown
/// in another order than it is written in.
#[must_use]
pub fn plain(text: &str) -> String {
    let shown = |character: char| {
        if steers(character) {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        }
    };
    text.chars().map(shown).collect()
}

/// [`plain`] text of a peer as a part of our own line: it cannot begin another one that would pass for ours.
#[must_use]
pub fn within_line(text: &str) -> String {
    plain(text).replace('\n', " ")
}

/// JSON with what steers a terminal as escapes.
pub(crate) fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(steers) {
        return Cow::Borrowed(json);
    }
    // All of them lie in the basic plane: one escape each.
    let escape = |character: char| {
        if steers(character) {
            format!("\\u{:04x}", u32::from(character))
        } else {
            character.to_string()
        }
    };
    Cow::Owned(json.chars().map(escape).collect())
}

/// Control characters but the line break, and those of Unicode's that turn the direction of text or break lines (UAX #9,
/// UAX #14).
fn steers(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    turns || (character.is_control() && character != '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_steer_the_terminal() {
        assert_eq!(
            plain("a\u{1b}[2Jb\r\nc\t"),
            "a\u{fffd}[2Jb\u{fffd}\nc\u{fffd}"
        );
    }

    #[test]
    fn a_peer_cannot_begin_a_line_or_turn_its_direction() {
        assert_eq!(
            within_line("fault\nreceipt: holds\u{2028}x\u{202e}y"),
            "fault receipt: holds\u{fffd}x\u{fffd}y"
        );
    }

    #[test]
    fn json_keeps_its_value_and_cannot_steer_either() {
        let value = serde_json::json!({"fault": "a\u{9b}2J\u{7f}\u{202e}ä\n"});
        let written = value.to_string();
        let text = escaped(&written);
        assert!(!text.chars().any(steers), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }

    #[test]
    fn quiet_silences_notes_alone() {
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let style = Style {
            quiet: true,
            ..Style::default()
        };
        let mut terminal = Terminal {
            output: &mut output,
            errors: &mut errors,
            style,
        };
        terminal.note("note").unwrap();
        terminal.warning("warning").unwrap();
        terminal.line("answer").unwrap();
        assert_eq!(
            (output, errors),
            (b"answer\n".to_vec(), b"warning\n".to_vec())
        );
    }
}
