//! Asking before something is lost.

use std::io::{BufRead, BufReader, Read};

use client::Exit;
use client::failure::Failure;
use client::program::World;

/// An answer is a word; whatever is longer is none.
const ANSWER_BYTES_MAX: u64 = 64;

/// Goes on only after `--yes`, or after a person typed `yes`.
pub(crate) fn confirm(question: &str, yes: bool, world: &mut World<'_>) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !world.terminals.input {
        return Err(Failure::sentence(
            Exit::Error,
            "this asks first, and standard input is no terminal",
        )
        .with_remedy("say --yes to go on without being asked"));
    }
    write!(world.errors, "{question} Type yes to go on: ")?;
    world.errors.flush()?;
    if answer(world.input)? == "yes" {
        Ok(())
    } else {
        Err(Failure::sentence(Exit::Error, "nothing was done"))
    }
}

/// One line, or as much of it as could be an answer.
fn answer(input: &mut dyn Read) -> Result<String, Failure> {
    let mut line = String::new();
    BufReader::new(input.take(ANSWER_BYTES_MAX)).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use client::config::Environment;
    use client::program::Terminals;

    use super::*;

    fn asked(answer: &str, terminals: Terminals, yes: bool) -> (bool, String) {
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let mut world = World {
            environment: Environment::default(),
            now_ms: &|| 0,
            input: &mut Cursor::new(answer.to_owned()),
            output: &mut output,
            errors: &mut errors,
            terminals,
        };
        let confirmed = confirm("Delete it?", yes, &mut world).is_ok();
        (confirmed, String::from_utf8(errors).unwrap())
    }

    #[test]
    fn only_yes_is_yes() {
        let terminals = Terminals {
            input: true,
            ..Terminals::default()
        };
        for (answer, confirmed) in [
            ("yes\n", true),
            ("yes", true),
            ("y\n", false),
            ("\n", false),
            ("", false),
        ] {
            let (seen, question) = asked(answer, terminals, false);
            assert_eq!(seen, confirmed, "{answer:?}");
            assert_eq!(question, "Delete it? Type yes to go on: ");
        }
    }

    #[test]
    fn a_script_must_say_yes() {
        assert!(!asked("yes\n", Terminals::default(), false).0);
        assert_eq!(asked("", Terminals::default(), true), (true, String::new()));
    }
}
