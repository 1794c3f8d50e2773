//! What both programs do with a command line, and the exit codes that systemd's units know them by. Commands that a person
//! gives answer in plain lines; what runs as a service logs instead.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::config::chain;

/// For `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 stopped in order, 1 error, 64 usage, 78 configuration";

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;
/// `EX_CONFIG` of sysexits.h.
pub const CONFIGURATION: u8 = 78;

/// Reads the process's command line. Help, version and mistakes are printed; the process then ends with the code given.
pub fn parse<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        // Nothing can be said where standard error is closed.
        let _ = error.print();
        if error.use_stderr() {
            ExitCode::from(USAGE)
        } else {
            ExitCode::SUCCESS
        }
    })
}

/// Prints a line for the person who gave the command. Where nobody listens there is nobody to tell.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints why a person's command failed.
pub fn say_error(error: &(dyn std::error::Error + 'static)) {
    let _ = writeln!(io::stderr(), "error: {}", chain(error));
}
