//! `cocoon` as a function, in worlds that a child process cannot be given: terminals, and a clock that stands.

use client::Exit;
use client::cli;
use client::config::Environment;
use client::program::{Terminals, World};

use crate::fake::Fake;
use crate::support::ACCESS_TOKEN;

/// Exit, standard output and standard error of a run with its streams on a terminal.
async fn on_a_terminal(fake: &Fake, arguments: &[&str], no_color: bool) -> (Exit, String, String) {
    let environment = Environment::from_lookup(|name| {
        let value = match name {
            "COCOON_GATEWAY" => fake.server.url(),
            "COCOON_ACCESS_TOKEN" => ACCESS_TOKEN.to_owned(),
            "COCOON_CA_FILE" => fake.server.ca_file().display().to_string(),
            "HOME" => fake.server.home.path().display().to_string(),
            "NO_COLOR" if no_color => "1".to_owned(),
            _ => return None,
        };
        Some(value.into())
    });
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut world = World {
        environment,
        now_ms: &|| 1_795_000_090_000,
        input: &mut std::io::empty(),
        output: &mut output,
        errors: &mut errors,
        terminals: Terminals {
            input: true,
            output: true,
            errors: false,
        },
    };
    let arguments = std::iter::once(&"cocoon").chain(arguments);
    let exit = cli::run(arguments.map(Into::into).collect(), &mut world).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (exit, text(output), text(errors))
}

fn submitted(fake: &Fake) -> String {
    fake.write("a", b"abc");
    let ran = fake.cocoon(&["submit", "sha256_batch", "a"]).expect(0);
    ran.output.trim().to_owned()
}

#[tokio::test]
async fn bytes_do_not_go_to_a_terminal_unasked() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    let (exit, output, errors) = on_a_terminal(&fake, &["output", &id], false).await;
    assert_eq!((exit, output.as_str()), (Exit::Error, ""));
    assert!(
        errors.contains("write -o - to print it all the same"),
        "{errors}"
    );
}

#[tokio::test]
async fn a_terminal_has_colours_unless_they_are_declined() {
    let fake = Fake::honest();
    submitted(&fake);
    let (exit, coloured, _) = on_a_terminal(&fake, &["list"], false).await;
    assert_eq!(exit, Exit::Success);
    assert!(coloured.contains("\u{1b}["));
    let (_, plain, _) = on_a_terminal(&fake, &["list"], true).await;
    assert!(!plain.contains('\u{1b}'));
}

#[tokio::test]
async fn a_list_is_a_table() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    let (_, output, _) = on_a_terminal(&fake, &["list"], true).await;
    let expected = format!(
        "\
TASK                        OPERATION     STATE      AGE     ATTEMPTS  WORKER    OUTPUT
{id}  sha256_batch  succeeded  1m 30s  1/3       worker-1  32 B
"
    );
    assert_eq!(output, expected);
}

#[tokio::test]
async fn a_task_is_a_page() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    let (_, output, _) = on_a_terminal(&fake, &["status", &id], true).await;
    let expected = format!(
        "\
task       {id}
user       alice
operation  sha256_batch version 1
state      succeeded
priority   4
attempts   1 of 3
submitted  2026-11-18T11:06:40Z
started    2026-11-18T11:06:40Z
finished   2026-11-18T11:06:40Z
worker     worker-1
"
    );
    // The two digests have tests of their own.
    let shown: Vec<_> = output
        .lines()
        .filter(|line| !line.starts_with("digest") && !line.starts_with("output"))
        .collect();
    assert_eq!(shown, expected.lines().collect::<Vec<_>>());
}
