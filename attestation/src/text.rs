//! Text that a stranger may have written, for one line of a terminal or a log.

/// Writes out whatever could start another line or rearrange this one (controls, and the bidirectional controls of
/// Unicode Annex 9), so that no evidence draws a verdict of its own.
#[must_use]
pub fn one_line(text: &str) -> String {
    one_line_of(text.chars())
}

/// The same of characters, so that only a text's beginning need be read.
pub(crate) fn one_line_of(characters: impl Iterator<Item = char>) -> String {
    let mut line = String::new();
    for character in characters {
        match character {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                line.extend(character.escape_unicode());
            }
            _ if character.is_control() => line.extend(character.escape_unicode()),
            _ => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn what_moves_the_cursor_is_written_out() {
        assert_eq!(one_line("GPU-1 ä 東"), "GPU-1 ä 東");
        assert_eq!(one_line("a\nb\u{1b}[2J"), "a\\u{a}b\\u{1b}[2J");
        assert_eq!(one_line("a\u{202e}b\u{2066}"), "a\\u{202e}b\\u{2066}");
    }
}
