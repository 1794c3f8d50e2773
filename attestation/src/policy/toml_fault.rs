//! Where a text stops being TOML, in one line: the parser's own error draws the place in several.

use std::fmt;

/// The first place at which a text is not TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TomlFault {
    /// Both count from 1.
    place: Option<(usize, usize)>,
    message: String,
}

impl TomlFault {
    pub(super) fn new(text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let message: Vec<_> = error.message().lines().map(str::trim).collect();
        Self {
            place: before.map(place_behind),
            message: message.join(", "),
        }
    }
}

/// Line and column of the character that follows this text.
fn place_behind(text: &str) -> (usize, usize) {
    let lines = text.matches('\n').count();
    let (_, line) = text.rsplit_once('\n').unwrap_or(("", text));
    (
        lines.saturating_add(1),
        line.chars().count().saturating_add(1),
    )
}

impl fmt::Display for TomlFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(formatter, "line {line}, column {column}: ")?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for TomlFault {}
