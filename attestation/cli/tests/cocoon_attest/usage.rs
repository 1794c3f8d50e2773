//! The contract of the command line: help, exit codes, and that no root can be chosen.

use crate::harness::shipped;

/// Every command that can be run, by its words.
pub(crate) const COMMANDS: &[&[&str]] = &[
    &[],
    &["bundle", "create"],
    &["collateral", "export"],
    &["collateral", "fetch"],
    &["collateral", "import"],
    &["collateral", "show"],
    &["completions"],
    &["doctor"],
    &["explain"],
    &["inspect"],
    &["man"],
    &["policy", "diff"],
    &["policy", "lint"],
    &["policy", "simulate"],
    &["receipt", "verify"],
    &["report-data"],
    &["schema"],
    &["verify"],
];

#[test]
fn the_help_of_every_command_has_its_exit_codes_and_an_example() {
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let said = shipped(&[command, &[flag][..]].concat());
            assert_eq!(said.exit, 0, "{command:?}");
            for code in ["\n  0  ", "\n  1  ", "\n  2  ", "\n  3"] {
                assert!(said.output.contains(code), "{command:?}: {}", said.output);
            }
            let (_, examples) = said.output.split_once("Examples:").unwrap();
            let name = ["cocoon-attest", &command.join(" ")].join(" ");
            assert!(
                examples.contains(name.trim_end()),
                "{command:?}: {examples}"
            );
        }
    }
}

/// So that the list above cannot fall behind.
#[test]
fn no_command_is_left_out_of_these_tests() {
    let words = |text: &str| -> Vec<String> {
        let (_, list) = text.split_once("Commands:\n").unwrap();
        let lines = list.lines().take_while(|line| line.starts_with("  "));
        let words = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        words
            .filter(|word| !word.is_empty() && *word != "help")
            .map(str::to_owned)
            .collect()
    };
    let mut seen = vec![Vec::new()];
    for word in words(&shipped(&["-h"]).output) {
        let help = shipped(&[&word, "-h"]).output;
        if help.contains("Commands:") {
            seen.extend(
                words(&help)
                    .into_iter()
                    .map(|verb| vec![word.clone(), verb]),
            );
        } else {
            seen.push(vec![word]);
        }
    }
    seen.sort();
    assert_eq!(seen, COMMANDS);
}

/// The examples are what people paste: each must at least be understood.
#[test]
fn every_example_parses() {
    for command in COMMANDS {
        let help = shipped(&[command, &["--help"][..]].concat()).output;
        let (_, examples) = help.split_once("Examples:").unwrap();
        for example in examples
            .lines()
            .filter(|line| line.contains("cocoon-attest"))
        {
            let (_, arguments) = example.split_once("cocoon-attest").unwrap();
            let words = arguments.split_whitespace();
            let words: Vec<_> = words
                .take_while(|word| !matches!(*word, "|" | "<" | ">"))
                .collect();
            let said = shipped(&[&words[..], &["--help"]].concat());
            assert_eq!(said.exit, 0, "{example}: {said:?}");
        }
    }
}

#[test]
fn bad_usage_is_an_error_and_not_a_finding() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["verify"],
        &["inspect", "/nonexistent"],
    ] {
        let said = shipped(arguments);
        assert_eq!(said.exit, 1, "{arguments:?}: {said:?}");
        assert!(!said.errors.is_empty(), "{arguments:?}");
    }
}

/// A program that asks for JSON gets it, whatever is wrong.
#[test]
fn bad_usage_is_json_where_json_is_asked_for() {
    for (arguments, words) in [
        (
            &["frobnicate", "--json"][..],
            "unrecognized subcommand 'frobnicate'",
        ),
        (
            &["verify", "--json"],
            "required arguments were not provided",
        ),
        (&["--json", "completions", "bash"], "no JSON"),
        (&["man", "--json"], "no JSON"),
    ] {
        let said = shipped(arguments);
        assert_eq!(said.exit, 1, "{arguments:?}: {said:?}");
        let json = said.json();
        assert_eq!(json["schema"], "cocoon-attest/error/1");
        let error = json["error"][0].as_str().unwrap();
        assert!(error.contains(words), "{error}");
        assert!(!said.errors.is_empty(), "{said:?}");
    }
}

/// On a full disk there is no answer, and somebody should know why.
#[test]
fn an_answer_that_cannot_be_written_is_an_error_with_a_reason() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cocoon-attest"))
        .arg("schema")
        .stdout(std::fs::File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("cannot write the answer: "), "{errors}");
}

#[test]
fn no_command_takes_a_root() {
    for command in COMMANDS {
        let help = shipped(&[command, &["--help"][..]].concat())
            .output
            .to_lowercase();
        for word in [
            "--root",
            "--anchor",
            "--trust",
            "--ca",
            "--insecure",
            "--simulat",
        ] {
            // There it names one of Intel's two CAs of platforms, to ask for its CRL.
            let names_an_issuer = *command == ["collateral", "fetch"] && word == "--ca";
            assert!(
                names_an_issuer || !help.contains(word),
                "{command:?} offers {word}"
            );
        }
    }
}
