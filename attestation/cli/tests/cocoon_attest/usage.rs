//! The contract of the command line: help, exit codes, and that no root can be chosen.

use crate::harness::shipped;

#[test]
fn help_documents_the_exit_codes() {
    for arguments in [
        &["--help"][..],
        &["verify", "--help"],
        &["explain", "--help"],
        &["receipt", "verify", "--help"],
        &["collateral", "fetch", "--help"],
    ] {
        let said = shipped(arguments);
        assert_eq!(said.exit, 0, "{arguments:?}");
        for code in ["0  ", "1  ", "2  ", "3  ", "4  "] {
            assert!(said.output.contains(code), "{arguments:?}: {}", said.output);
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

#[test]
fn no_command_takes_a_root() {
    for command in [
        &["inspect"][..],
        &["verify"],
        &["explain"],
        &["report-data"],
        &["receipt", "verify"],
    ] {
        let help = shipped(&[command, &["--help"]].concat())
            .output
            .to_lowercase();
        for word in [
            "--root",
            "--anchor",
            "--trust",
            "--ca",
            "--insecure",
            "simulat",
        ] {
            assert!(!help.contains(word), "{command:?} offers {word}");
        }
    }
}
